"""The server of `graphook serve`: where it listens, what it prints once it does, and what it starts before and stops after."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import uvicorn

from graphook.garbage import settle_in
from graphook.graphql_socket import MAX_FRAME
from graphook.http_server import HttpProtocol
from graphook.logs import configure_logging
from graphook.process import CannotStart
from graphook.settings import Settings
from graphook.settings_reference import unknown_variables
from models.migrate import check_start

log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; 0 is a free port. Raises `CannotStart`."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            advice = "Choose another with --port (make run PORT=…)."
        else:
            advice = "Name an address of this machine with --host or GRAPHOOK_HOST: 127.0.0.1 for itself, 0.0.0.0 for every network."
        raise CannotStart(f"Cannot listen on {host}, port {port}: {reason}. {advice}") from error


class _Server(uvicorn.Server):
    """Says where it listens once it does, and ends streams when it is to stop.

    What is served is started and stopped here, not in a task of uvicorn's: that one tells why nothing starts with a traceback, and is cut off,
    with another, by a second Ctrl-C.
    """

    def __init__(
        self, config: uvicorn.Config, running: AbstractAsyncContextManager[object], announce: Callable[[int], None], stopping: asyncio.Event
    ) -> None:
        super().__init__(config)
        self._running = running
        self._announce = announce
        self._stopping = stopping
        self._stack = AsyncExitStack()

    async def startup(self, sockets: Any = None) -> None:
        await self._stack.enter_async_context(self._running)
        await super().startup(sockets)
        if self.started:
            self._announce(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: Any = None) -> None:
        async with self._stack:
            self._stopping.set()
            await super().shutdown(sockets)


def serve(settings: Settings, *, worker: bool | None = None) -> None:
    """Serve until stopped, and print the addresses and the development token."""
    configure_logging(settings.log_level, settings.log_format)
    for unknown in unknown_variables(os.environ):
        log.warning("%s", unknown)
    asyncio.run(check_start(settings))
    listening = listen(settings.host, settings.port)
    # To load the schema takes longer than to say why it would be for nothing.
    from graphook.app import create_app

    tokens: list[str | None] = [None]
    app = create_app(settings, worker=worker, on_ready=lambda token: tokens.__setitem__(0, token))

    def announce(port: int) -> None:
        base = f"http://{'[' + settings.host + ']' if ':' in settings.host else settings.host}:{port}"
        lines = [f"GraphQL:  {base}/graphql", f"GraphiQL: {base}/graphiql"]
        if tokens[0] is not None:
            lines += [f"data: {settings.sqlite_path.parent.resolve()}", f"token: {tokens[0]}", "Ctrl-C stops it."]
        print("\n".join(lines), flush=True)
        settle_in()

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=HttpProtocol,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME,
        timeout_graceful_shutdown=5,
        server_header=False,
        lifespan="off",
    )
    _Server(config, app.router.lifespan_context(app), announce, app.stopping).run(sockets=[listening])
