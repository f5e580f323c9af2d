"""A small schema behind the real view and a real server, for tests of the transport alone."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect

from graphook.errors import InvalidInput, NotFound, Unauthenticated, Unavailable
from graphook.execution import Schema
from graphook.graphql_view import GraphQLView
from graphook.http_server import HttpProtocol
from graphook.seats import Seats
from tests.waiting import PATIENCE

TOKEN = "Bearer good"
CROWDED = "Bearer good and crowded"
MAX_CROWDED = 2
# Where patience itself is tried: of the view at IMPATIENT only, so that a busy machine fails no other test.
IMPATIENT = "/impatient"
BODY_SECONDS, INIT_SECONDS = 0.5, 0.5
RECHECK_SECONDS = 0.05
WS_MAX_SIZE = 1024 * 1024


@dataclass
class Context:
    """What the view asks of a context."""

    caller: Any
    headers: Mapping[str, str]
    authorization: str | None = None
    connection_params: dict[str, Any] | None = None
    seat: ExitStack = field(default_factory=ExitStack)

    def forget(self) -> None:
        """The toys remember nothing."""


Info = strawberry.Info[Context, None]


@strawberry.type
class Thing:
    id: strawberry.ID

    @strawberry.field
    def things(self, first: int | None = None) -> Things:
        return Things()


@strawberry.type
class Things:
    @strawberry.field
    def nodes(self) -> list[Thing]:
        return [Thing(id=strawberry.ID("1"))]


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "you") -> str:
        return f"hello {name}"

    @strawberry.field
    def caller(self, info: Info) -> str:
        return str(info.context.caller)

    @strawberry.field
    def things(self, first: int | None = None) -> Things:
        return Things()

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError("the password is hunter2")

    @strawberry.field
    def refused(self) -> str | None:
        raise InvalidInput("first is too large.", ("first",))

    @strawberry.field
    def away(self) -> str | None:
        raise Unavailable("The database cannot be reached; try again.")

    @strawberry.field
    async def slow(self) -> str | None:
        await asyncio.Event().wait()
        return None


@strawberry.type
class Mutation:
    @strawberry.mutation
    def write(self, text: str = "") -> str:
        _running[0].written.append(text)
        return text


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int = 3) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number

    @strawberry.subscription
    async def ticks(self) -> AsyncGenerator[int, None]:
        """One event, then silence for as long as anybody listens."""
        toy = _running[0]
        toy.listeners += 1
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            toy.listeners -= 1

    @strawberry.subscription
    async def attempts(self, app_id: str) -> AsyncGenerator[int, None]:
        raise NotFound(f"There is no application {app_id}.")
        yield 0

    @strawberry.subscription
    async def breaks(self) -> AsyncGenerator[int, None]:
        yield 0
        raise RuntimeError("the password is hunter2")


schema = Schema(Query, Mutation, Subscription, seconds=0.3)


@dataclass
class Toy:
    """The running server, and the switches that its authentication looks at."""

    port: int
    listeners: int = 0
    written: list[str] = field(default_factory=list)
    revoked: set[str | None] = field(default_factory=set)
    failure: Exception | None = None
    looks: int = 0  # that ended in the failure

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    async def authenticate(self, authorization: str | None) -> str:
        if self.failure is not None:
            self.looks += 1
            raise self.failure
        if authorization is None or not authorization.startswith(TOKEN) or authorization in self.revoked:
            raise Unauthenticated("This token is unknown, expired or revoked.")
        return f"caller of {authorization}"

    @asynccontextmanager
    async def socket(
        self, headers: Mapping[str, str] | None = None, protocol: str = "graphql-transport-ws", path: str = "/graphql"
    ) -> AsyncIterator[ClientConnection]:
        async with connect(
            f"ws://127.0.0.1:{self.port}{path}",
            subprotocols=[protocol],  # type: ignore[list-item]
            additional_headers=dict(headers or {}),
            max_size=None,
        ) as connection:
            yield connection


_running: list[Toy] = []


@contextmanager
def serving() -> Iterator[Toy]:
    """The server in a thread with a loop of its own, on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    toy = Toy(listener.getsockname()[1])
    seats = Seats(MAX_CROWDED, "connections")

    def admit(caller: str) -> AbstractContextManager[None]:
        return seats.held(caller) if CROWDED in caller else nullcontext()

    routes: list[BaseRoute] = []
    for path, body_seconds, init_seconds in (("/graphql", PATIENCE, PATIENCE), (IMPATIENT, BODY_SECONDS, INIT_SECONDS)):
        view = GraphQLView(schema, toy.authenticate, Context, admit=admit, recheck_seconds=RECHECK_SECONDS, body_seconds=body_seconds)
        view.connection_init_wait_timeout = timedelta(seconds=init_seconds)
        routes += Route(path, view), WebSocketRoute(path, view)
    app = Starlette(routes=routes)
    server = uvicorn.Server(
        uvicorn.Config(
            app, http=HttpProtocol, ws="websockets-sansio", ws_max_size=WS_MAX_SIZE, log_config=None, access_log=False, lifespan="off"
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    _running.append(toy)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)  # its start has no other sign
        yield toy
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        _running.clear()
