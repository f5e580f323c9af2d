"""Servers of tests, of whose connections nothing is left when they end."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from typing import Self


class Listener:
    """Listens on a free port of this machine while it is entered, and has `serve` talk with each client in a task of its own."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    closing: bool = False

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Talk with a client, whose connection is closed afterwards, and may break off."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[StreamWriter] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing = True
        await _stop(self._server)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that is cancelled before it begins closes nothing, and nothing is closed once the loop has stopped.
        left = list(self._writers)
        self.cut()
        await asyncio.gather(*(writer.wait_closed() for writer in left), return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self.closing:
            writer.close()
            return
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await self.serve(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the other side has gone
        finally:
            self._writers.discard(writer)
            writer.close()


async def _stop(server: asyncio.Server) -> None:
    """Close the server, and first be done with whom it is letting in: asyncio forgets, unclosed, who is half in when the server closes.

    The warning of that, an error here, would fail whichever test is running when the memory is collected.
    """
    while letting_in := [task for task in asyncio.all_tasks() if "_accept_connection" in repr(task.get_coro())]:
        await asyncio.wait(letting_in)
    server.close()
