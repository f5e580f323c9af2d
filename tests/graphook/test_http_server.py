"""How much a stranger may send before anything of it is looked at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from uvicorn.server import ServerState

from graphook.http_server import MAX_HEAD, HttpProtocol
from tests.deployment import Deployment
from tests.waiting import PATIENCE

# What `head` has beside the value of its last header.
BESIDE = len("/graphql") + len("Host: x\r\n") + len("X: \r\n")
CHUNKED = b"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def head(length: int) -> bytes:
    """A request whose path and headers come to so many bytes."""
    return b"POST /graphql HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (length - BESIDE) + b"\r\n\r\n"


async def answers(deployment: Deployment, pieces: list[bytes]) -> bytes:
    """All that is answered to these bytes, sent piece by piece, until the server closes the connection."""
    to = urlsplit(deployment.url)
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(to.hostname, to.port)
        received = b""
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            received = await reader.readuntil(b"}]}")
        except ConnectionError:  # it was closed with bytes of ours unread
            pass
        finally:
            writer.close()
    return received


@pytest.mark.parametrize("size", [1_000_000, 1000])
async def test_a_head_is_taken_up_to_the_limit_and_refused_beyond(deployment: Deployment, size: int) -> None:
    for length, status in ((MAX_HEAD, b"401"), (MAX_HEAD + 1, b"431")):
        sent = head(length)
        answer = await answers(deployment, [sent[at : at + size] for at in range(0, len(sent), size)])

        assert answer.split()[1] == status, length
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert said == {"errors": [{"message": "The head of the request has more than 65536 bytes.", "extensions": {"code": "HTTP_431"}}]}


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /", b"x" * 5000),
        (b"GET / HTTP/1.1\r\nX: ", b"x" * 5000),
        (b"GET / HTTP/1.1\r\n", b"X: " + b"x" * 500 + b"\r\n"),
        (CHUNKED + b"5;a=", b"x" * 5000),
        (CHUNKED + b"0\r\n", b"X: " + b"x" * 500 + b"\r\n"),
    ],
    ids=["path", "header", "headers", "chunk", "trailers"],
)
async def test_what_never_ends_is_ended(deployment: Deployment, begin: bytes, more: bytes) -> None:
    to = urlsplit(deployment.url)
    _, writer = await asyncio.open_connection(to.hostname, to.port)

    async def write_on() -> None:
        writer.write(begin)
        while True:
            writer.write(more)
            await writer.drain()

    try:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionError):
                await write_on()
    finally:
        writer.close()


class Impatient(HttpProtocol):
    """One that waits for less than a test."""

    head_seconds = 0.2


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[int]:
    """The port of a server without patience."""
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    made = partial(Impatient, config=config, server_state=ServerState(), app_state={})
    async with await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def dripping(scope: Any, receive: Any, send: Any) -> None:
    """An answer that takes longer than a head may."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    for _ in range(3):
        await asyncio.sleep(0.15)  # which is what this is about
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_come_in_time_is_not_waited_for(sent: bytes) -> None:
    async with listening(dripping) as port, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"xxx")).startswith(b"HTTP/1.1 200 OK"), "an answer may take its time"
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()
