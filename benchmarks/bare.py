"""The limits: what each figure is compared with, written as plainly as the same libraries allow and doing nothing else.

As an application (`uvicorn benchmarks.bare:app`) a plain route, the same list and the same broadcast; as a program (`python -m benchmarks.bare
copy|send|post|exchange …`) COPY of the rows of messages, and loops that post: of our sender, of aiohttp, and of raw protocols.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import orjson
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.load import saturate
from benchmarks.queries import EVENT_TYPE, payload
from graphook.clock import now, to_us
from graphook.ids import new_id
from graphook.sender import Sender
from graphook.ssrf import Policy

_LIST = """
    SELECT m.id, m.event_id, m.event_type, m.channels, m.tags, m.created_at, m.expires_at, m.app_id, m.org_id, convert_from(c.body, 'UTF8') AS body
    FROM message m JOIN message_content c ON c.message_id = m.id AND c.expires_at = m.expires_at
    WHERE m.app_id = $1 ORDER BY m.id DESC LIMIT 100"""
_sockets: set[WebSocket] = set()


async def plain(request: Request) -> Response:
    """Reads JSON, writes JSON, does nothing."""
    orjson.loads(await request.body())
    return Response(orjson.dumps({"data": {"messageCreate": {"message": {"id": "msg_0"}, "errors": []}}}), media_type="application/json")


async def listed(request: Request) -> Response:
    """A hundred rows of ten fields, read by one query."""
    rows = await request.app.state.pool.fetch(_LIST, request.path_params["app_id"])
    return Response(orjson.dumps([dict(row) for row in rows]), media_type="application/json")


async def kept(request: Request) -> Response:
    """The same rows from memory."""
    state = request.app.state
    if not hasattr(state, "rows"):
        state.rows = [dict(row) for row in await state.pool.fetch(_LIST, request.path_params["app_id"])]
    return Response(orjson.dumps(state.rows), media_type="application/json")


async def relay(request: Request) -> Response:
    """Commits the payload of a `messageCreate`, then sends it on."""
    body = orjson.dumps(orjson.loads(await request.body())["variables"]["input"]["payload"])
    await request.app.state.pool.execute("INSERT INTO bench_relay (id, body) VALUES ($1, $2)", new_id("msg_"), body)
    async with request.app.state.client.post(os.environ["BENCH_HOOK"], data=body) as response:
        await response.read()
    return Response(b"{}", media_type="application/json")


async def publish(request: Request) -> Response:
    """Sends the body to every socket as it is."""
    text = (await request.body()).decode()
    for socket in list(_sockets):
        await socket.send_text(text)
    return Response(b"{}", media_type="application/json")


async def socket(websocket: WebSocket) -> None:
    """A subscriber to what is published."""
    await websocket.accept(subprotocol="graphql-transport-ws")
    _sockets.add(websocket)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        _sockets.discard(websocket)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if url := os.environ.get("BENCH_DATABASE_URL"):
            app.state.pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=4, max_size=10))
        app.state.client = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        yield


app = Starlette(
    routes=[
        Route("/graphql", plain, methods=["POST"]),
        Route("/list/{app_id}", listed, methods=["POST"]),
        Route("/kept/{app_id}", kept, methods=["POST"]),
        Route("/relay", relay, methods=["POST"]),
        Route("/publish", publish, methods=["POST"]),
        WebSocketRoute("/graphql", socket),
    ],
    lifespan=_lifespan,
)


async def copy_rows(
    url: str, org_id: str, app_id: str, endpoint_id: str, batches: int, connections: int, *, delivered: bool = False
) -> None:
    """COPY the rows of `batches` hundred messages with one delivery each, in transactions of a hundred; `delivered` adds their attempts."""
    numbers = iter(range(batches))
    async with asyncpg.create_pool(url, min_size=connections, max_size=connections) as pool:

        async def run() -> None:
            async with pool.acquire() as connection:
                for number in numbers:
                    await _copy_batch(connection, org_id, app_id, endpoint_id, number, delivered)

        await asyncio.gather(*(run() for _ in range(connections)))


async def _copy_batch(connection: asyncpg.Connection, org_id: str, app_id: str, endpoint_id: str, number: int, delivered: bool) -> None:
    at = now()
    created_at, expires_at = to_us(at), to_us(at + timedelta(days=90))
    ids = [new_id("msg_", at) for _ in range(100)]
    state = 3 if delivered else 0
    async with connection.transaction():
        await connection.copy_records_to_table(
            "message",
            columns=["id", "org_id", "app_id", "event_type", "created_at", "expires_at"],
            records=[(id, org_id, app_id, EVENT_TYPE, created_at, expires_at) for id in ids],
        )
        await connection.copy_records_to_table(
            "message_content",
            columns=["message_id", "expires_at", "body"],
            records=[(id, expires_at, payload(number * 100 + n, created_at)) for n, id in enumerate(ids)],
        )
        await connection.copy_records_to_table(
            "delivery",
            columns=["message_id", "endpoint_id", "run", "org_id", "app_id", "state", "due_at"],
            records=[(id, endpoint_id, 0, org_id, app_id, state, created_at) for id in ids],
        )
        if delivered:
            await connection.copy_records_to_table(
                "attempt", columns=_ATTEMPT, records=[_attempt(id, endpoint_id, org_id, app_id, created_at) for id in ids]
            )


_ATTEMPT = (
    "id message_id endpoint_id run claim org_id app_id status trigger_type url response_status_code response response_headers request_headers "
    "sensitive_headers started_at duration_ms"
).split()
_HEADERS = orjson.dumps(
    [["Content-Type", "application/json"], ["Webhook-Id", "msg_" + "0" * 27], ["Webhook-Timestamp", "1700000000"]]
).decode()


def _attempt(message_id: str, endpoint_id: str, org_id: str, app_id: str, at: int) -> tuple[object, ...]:
    url = "http://127.0.0.1:8080/hook"
    return (new_id("atmpt_"), message_id, endpoint_id, 0, 1, org_id, app_id, 0, 0, url, 200, b"ok", _HEADERS, _HEADERS, "[]", at, 1)


_DELIVERY_HEADERS = [
    ("Content-Type", "application/json"),
    ("User-Agent", "graphook/0.1.0 (+https://hooks.example.com/)"),
    ("webhook-id", "msg_" + "0" * 27),
    ("webhook-timestamp", "1700000000"),
    ("webhook-signature", "v1," + "A" * 43 + "="),
]


async def send(url: str, count: int, connections: int) -> None:
    """POST `count` payloads, with the headers that deliveries have, with the sender that workers use, on kept connections."""
    numbers = itertools.count()
    sender = Sender(Policy(allow_subnets=(ip_network("127.0.0.0/8"),)), connections=connections)
    await sender.open()

    async def run() -> None:
        while (number := next(numbers)) < count:
            outcome = await sender.send(url, _DELIVERY_HEADERS, payload(number, 0))
            assert outcome.error_code is None, outcome.error

    await asyncio.gather(*(run() for _ in range(connections)))
    await sender.close()


async def post(url: str, count: int, connections: int) -> None:
    """POST `count` payloads with aiohttp, on kept connections."""
    numbers = itertools.count()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def run() -> None:
            while (number := next(numbers)) < count:
                async with session.post(url, data=payload(number, 0), headers={"Content-Type": "application/json"}) as response:
                    await response.read()

        await asyncio.gather(*(run() for _ in range(connections)))


async def exchange(url: str, count: int, connections: int) -> None:
    """POST `count` payloads over raw asyncio and httptools, on kept connections: as little as a sender in Python can do."""
    place = urlsplit(url)
    assert place.port is not None

    def make(number: int, _due: int) -> bytes:
        body = payload(number, 0)
        head = (
            f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    (await saturate(place.port, make, connections, count=count)).checked()


def main() -> None:
    """Do what the arguments say, then print the seconds and the CPU seconds that it took as JSON."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    copy = commands.add_parser("copy")
    for name in ("url", "org_id", "app_id", "endpoint_id"):
        copy.add_argument(name)
    copy.add_argument("batches", type=int)
    copy.add_argument("connections", type=int)
    copy.add_argument("--delivered", action="store_true")
    for name in ("send", "post", "exchange"):
        posts = commands.add_parser(name)
        posts.add_argument("url")
        posts.add_argument("count", type=int)
        posts.add_argument("connections", type=int)
    arguments = vars(parser.parse_args())
    programs: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"copy": copy_rows, "send": send, "post": post, "exchange": exchange}
    work = programs[arguments.pop("command")]
    began, cpu = time.monotonic(), time.process_time()
    uvloop.run(work(**arguments))
    print(orjson.dumps({"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}).decode())


if __name__ == "__main__":
    main()
