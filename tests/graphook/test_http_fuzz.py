"""Responses at random, split and mangled at random: always an outcome, never beyond a limit, and never another request's answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphook.http_connection import MAX_HEADERS, Answer, Connection, ConnectionClosed, Malformed, TooMuch
from graphook.sender import Sender
from graphook.ssrf import Policy, parse_network
from tests.graphook.hostile import answering, hostile

LIMIT = 200
ENDED = (ConnectionClosed, Malformed, TooMuch)
LOOPBACK = Policy(allow_subnets=(parse_network("127.0.0.0/8"),))


class Wire(asyncio.Transport):
    """A transport that takes what is written and brings nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None:
        assert not self.aborted

    def abort(self) -> None:
        self.aborted = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


@dataclass(frozen=True)
class Response:
    """A valid response, and what is to be read of it."""

    wire: bytes
    status: int
    headers: int
    body: bytes
    until_end: bool
    keep: bool


@st.composite
def responses(draw: st.DrawFn, body: bytes | None = None) -> Response:
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 410, 500, 999])) if body is None else 200
    if body is None:
        body = b"" if status in (204, 304) else draw(st.binary(max_size=300))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.0"]))
    interim = b"".join(
        draw(st.lists(st.sampled_from([b"HTTP/1.1 100 \r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]), max_size=3))
    )
    headers = draw(
        st.lists(st.sampled_from([b"X-A: b", b"X-Empty:", b"X-Blank: \t c \t", b"Content-Encoding: gzip", b"X-High: \xe4\xff"]), max_size=5)
    )
    closes = draw(st.booleans())
    if closes:
        headers.append(b"Connection: close")
    framing = (
        "none" if status in (204, 304) else draw(st.sampled_from(["length", "chunks", "end"] if version == b"1.1" else ["length", "end"]))
    )
    wire_body = body
    if framing == "length":
        headers.append(b"content-LENGTH: %d" % len(body))
    elif framing == "chunks":
        headers.append(b"Transfer-Encoding: Chunked")
        size = draw(st.integers(1, 50))
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        trailers = draw(st.sampled_from([b"", b"X-Trailer: x\r\n", b"X-Status: 500\r\nContent-Type: a\r\n"]))
        wire_body = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailers + b"\r\n"
    head = b"HTTP/%b %d Reason\r\n" % (version, status) + b"".join(header + b"\r\n" for header in draw(st.permutations(headers))) + b"\r\n"
    return Response(
        interim + head + wire_body, status, len(headers), body, framing == "end", not closes and framing != "end" and version == b"1.1"
    )


@contextmanager
def connected() -> Iterator[Connection]:
    loop = asyncio.new_event_loop()

    async def make() -> Connection:
        return Connection(("http", "a.example", 80), LIMIT)

    try:
        connection = loop.run_until_complete(make())
        connection.connection_made(Wire())
        yield connection
    finally:
        loop.close()


def feed(connection: Connection, wire: bytes, cuts: Sequence[int]) -> None:
    """Bring the bytes in pieces, as long as the connection takes any."""
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    for begin, end in itertools.pairwise(edges):
        transport = cast(Wire | None, connection._transport)
        if begin < end and transport is not None and not transport.aborted:
            connection.data_received(wire[begin:end])


CUTS = st.lists(st.integers(0, 2000), max_size=12)


@settings(max_examples=300, deadline=None)
@given(responses(), CUTS)
def test_a_valid_response_is_read_however_it_is_split(response: Response, cuts: list[int]) -> None:
    with connected() as connection:
        answer = Answer()
        done = connection.request(b"", b"", answer)
        feed(connection, response.wire, cuts)
        if response.until_end:
            assert done.done() == (len(response.body) > LIMIT)
            connection.eof_received()

        assert done.done()
        assert done.exception() is None
        assert (answer.status_code, len(answer.headers), bytes(answer.body)) == (response.status, response.headers, response.body[:LIMIT])
        assert answer.truncated == (len(response.body) > LIMIT)
        assert all(value == value.strip(" \t") for _, value in answer.headers)
        assert connection.reusable == (response.keep and not answer.truncated)


PIECES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"\r\n", b"\n", b"\r\n\r\n", b"\x00", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"]),
    st.sampled_from([b"X: " + b"a" * 20_000 + b"\r\n", b"X: a\r\n" * 200, b"ffffffffffffffff\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"HTTP/1.1 101 \r\n"]),
)  # fmt: skip
CHANGES = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 30), PIECES), max_size=4)


def mangled(wire: bytes, changes: Sequence[tuple[int, int, bytes]]) -> bytes:
    for at, length, piece in changes:
        at %= len(wire) + 1
        wire = wire[:at] + piece + wire[at + length :]
    return wire


@settings(max_examples=500, deadline=None)
@given(st.one_of(responses().map(lambda response: response.wire), st.binary()), CHANGES, CUTS, st.sampled_from(["eof", "lost", "reset"]))
def test_whatever_comes_ends_within_the_limits(wire: bytes, changes: list[tuple[int, int, bytes]], cuts: list[int], end: str) -> None:
    with connected() as connection:
        answer = Answer()
        done = connection.request(b"", b"", answer)
        feed(connection, mangled(wire, changes), cuts)
        if end == "eof":
            connection.eof_received()
        connection.connection_lost(ConnectionResetError() if end == "reset" else None)

        assert done.done()
        assert not connection.reusable
        error = done.exception()
        assert error is None or isinstance(error, ENDED)
        assert len(answer.body) <= LIMIT
        assert len(answer.headers) <= MAX_HEADERS
        assert (answer.status_code == 0) <= (error is not None)
        assert answer.status_code == 0 or 200 <= answer.status_code <= 999


@settings(max_examples=500, deadline=None)
@given(responses(body=b"first"), CHANGES, CUTS, responses(body=b"second"), CUTS)
def test_a_connection_that_is_used_again_gives_the_second_answer(
    first: Response, changes: list[tuple[int, int, bytes]], cuts: list[int], second: Response, second_cuts: list[int]
) -> None:
    with connected() as connection:
        before = Answer()
        done = connection.request(b"", b"", before)
        feed(connection, mangled(first.wire, changes), cuts)
        if not connection.reusable:
            return
        assert done.exception() is None

        after = Answer()
        done = connection.request(b"", b"", after)
        feed(connection, second.wire, second_cuts)
        if second.until_end:
            connection.eof_received()

        assert done.done()
        assert done.exception() is None
        assert (after.status_code, len(after.headers), bytes(after.body)) == (second.status, second.headers, b"second")
        assert b"second" not in before.body


@pytest.mark.parametrize("at_a_time", [1, 1000])
def test_a_flood_ends_at_the_wire_budget_however_small_its_body(at_a_time: int) -> None:
    with connected() as connection:
        done = connection.request(b"", b"", Answer())
        connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        brought = 0
        while not done.done():
            connection.data_received(b"a" * 1000 * at_a_time)
            brought += 1000 * at_a_time

        assert isinstance(done.exception(), TooMuch)
        assert brought <= 1024 * 1024 + 8 * LIMIT + 1000 * at_a_time


@settings(max_examples=60, deadline=None)
@given(responses().map(lambda response: response.wire), CHANGES, CUTS)
def test_over_real_sockets_there_is_always_an_outcome_and_soon_an_answer_again(
    wire: bytes, changes: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    wire = mangled(wire, changes)
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    parts = [wire[begin:end] for begin, end in itertools.pairwise(edges)]

    async def ask() -> None:
        sender = Sender(LOOPBACK, timeout_seconds=5, response_limit=LIMIT)
        await sender.open()
        async with hostile(answering(*parts)) as receiver:
            outcome = await sender.send(receiver.url(), [], b"{}")
            assert outcome.error_code in {None, "connection", "protocol", "response_header_limit"}
            assert len(outcome.body) <= LIMIT
            receiver.script = None
            # Bytes that nobody asked for may come when the next request has taken the connection up: they are then its answer, and end it.
            answers = [(await sender.send(receiver.url(), [], b"{}")).body for _ in range(2)]
            assert answers[-1] == b"ok"
            await sender.close()

    asyncio.run(ask())
