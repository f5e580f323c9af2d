"""The connections of the sender: when one is used again, and that nothing of one request or response ends up in another."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
import tracemalloc
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from graphook.connector import GuardedResolver, NotAllowed, dial
from graphook.http_connection import MAX_HEADERS, Answer, Connection, ConnectionClosed
from graphook.http_pool import KEPT_SECONDS, Pool
from graphook.sender import Outcome, Sender
from graphook.ssrf import Policy, Target, check_url, parse_network
from tests.graphook.hostile import OK, Hostile, Script, answering, hostile, read_request
from tests.waiting import PATIENCE, until

LOOPBACK = Policy(allow_subnets=(parse_network("127.0.0.0/8"),))
HEAD = b"HTTP/1.1 200 OK\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


async def loopback(_host: str) -> Sequence[str]:
    return ["127.0.0.1"]


def trusted(host: str) -> tuple[ssl.SSLContext, dict[str, Any]]:
    """A receiver's certificate for a name, and the options of a sender that trusts it and looks for every name on this machine."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(host).configure_cert(server)
    authority.configure_trust(client)
    return server, {"tls": client, "lookup": loopback}


@asynccontextmanager
async def sender(**options: Any) -> AsyncIterator[Sender]:
    found = Sender(LOOPBACK, **{"timeout_seconds": PATIENCE, **options})
    await found.open()
    try:
        yield found
    finally:
        await found.close()


async def twice(response: bytes, body: bytes = b"{}") -> tuple[Outcome, Outcome, int]:
    """The outcomes of two requests, the first answered with these bytes and the second with `ok`, and how many connections they took."""

    async def script(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(response)
        await writer.drain()
        receiver.script = None
        await Hostile(None).serve(reader, writer)

    async with hostile(script) as receiver, sender() as sending:
        first = await sending.send(receiver.url(), [], body)
        second = await sending.send(receiver.url(), [], b"{}")
        return first, second, receiver.connections


KEPT = {
    "a length": OK,
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    "chunks and trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: b\r\nX-Status: 500\r\n\r\n",
    "an old receiver that keeps": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "interim responses": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
}


@pytest.mark.parametrize("name", KEPT)
async def test_a_connection_whose_response_ended_well_is_used_again(name: str) -> None:
    first, second, connections = await twice(KEPT[name])

    assert (first.error_code, first.body) in {(None, b"ok"), (None, b"")}
    assert (second.body, second.headers, connections) == (b"ok", (("Content-Length", "2"),), 1)


NOT_KEPT = {
    "another response behind it": OK + EVIL,
    "a byte behind it": OK + b"H",
    "nonsense behind it": OK + b"\x00\xff",
    "a response behind chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL,
    "a response behind none": b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL,
    "a body where there is none": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n" + EVIL,
    "a length where there is none": b"HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n",
    "chunks where there are none": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a wish to close": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
    "a wish to close, and more": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok" + EVIL,
    "an old receiver": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("name", NOT_KEPT)
async def test_any_other_connection_is_not_used_again_and_its_leftovers_answer_nothing(name: str) -> None:
    first, second, connections = await twice(NOT_KEPT[name])

    assert (first.error_code, first.body) in {(None, b"ok"), (None, b"")}
    assert (second.body, connections) == (b"ok", 2)


async def early(reader: Reader, writer: Writer) -> None:
    """Answer as soon as the head has come, and read no further."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    await writer.drain()
    await asyncio.Event().wait()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_response_before_the_request_was_written_ends_the_connection(scheme: str) -> None:
    server, options = trusted("hook.example.com") if scheme == "https" else (None, {"lookup": loopback})
    async with hostile(early, tls=server) as receiver, sender(**options) as sending:
        first = await sending.send(receiver.url("hook.example.com"), [], bytes(32_000_000))
        receiver.script = None
        second = await sending.send(receiver.url("hook.example.com"), [], b"{}")

        assert (first.status_code, first.body, second.body, receiver.connections) == (200, b"ok", b"ok", 2)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_requests_that_slow_receivers_do_not_take_share_one_body(scheme: str) -> None:
    async def slow(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(writer)
        await ready.wait()
        await reader.readexactly(len(body))
        writer.write(OK)

    ready, asked, body = asyncio.Event(), list[Writer](), bytes(12_000_000)
    server, options = trusted("hook.example.com") if scheme == "https" else (None, {"lookup": loopback})
    async with hostile(slow, tls=server) as receiver, sender(**options) as sending:
        tracemalloc.start()
        sends = [asyncio.create_task(sending.send(receiver.url("hook.example.com"), [], body)) for _ in range(8)]
        await until(lambda: len(asked) == 8, "every receiver to be asked")
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        ready.set()
        outcomes = await asyncio.gather(*sends)

    assert [outcome.body for outcome in outcomes] == [b"ok"] * 8
    assert held < len(body), f"{held} bytes for eight requests with one body"


async def endless(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(HEAD + b"Content-Length: 1000000000\r\n\r\n")
    while True:
        writer.write(bytes(100_000))
        await writer.drain()


ENDS: dict[str, tuple[Script, str | None]] = {
    "more than is read": (endless, None),
    "no answer in time": (answering(then_close=False), "timeout"),
    "nothing": (answering(b""), "connection"),
    "nonsense": (answering(b"nonsense\r\n\r\n"), "protocol"),
    "a header that is too large": (answering(HEAD + b"X-A: " + b"a" * 70_000), "response_header_limit"),
    "half a body": (answering(HEAD + b"Content-Length: 100\r\n\r\nhalf"), "protocol"),
}


@pytest.mark.parametrize("name", ENDS)
async def test_what_an_answer_brought_is_given_back_with_it_however_it_ended(name: str) -> None:
    script, error_code = ENDS[name]
    async with hostile(script) as receiver, sender(timeout_seconds=0.5 if error_code == "timeout" else PATIENCE) as sending:
        gc.collect()
        gc.disable()  # which comes by after 100,000 objects, each of which may hold what is read in one turn of the loop
        try:
            assert (await sending.send(receiver.url(), [], b"{}")).error_code == error_code
            await asyncio.sleep(0)  # for what was called back last
            assert not [kept for kept in gc.get_objects() if isinstance(kept, Answer)]
        finally:
            gc.enable()


async def test_a_response_to_nothing_ends_a_kept_connection() -> None:
    ended = asyncio.Event()

    async def talkative(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await answered.wait()
        writer.write(EVIL)
        with contextlib.suppress(ConnectionError):  # ended with bytes unread
            await reader.read()
        ended.set()

    answered = asyncio.Event()
    async with hostile(talkative) as receiver, sender() as sending:
        await sending.send(receiver.url(), [], b"{}")
        receiver.script = None
        answered.set()
        await asyncio.wait_for(ended.wait(), PATIENCE)

        assert (await sending.send(receiver.url(), [], b"{}")).body == b"ok"
        assert receiver.connections == 2


async def test_an_answer_to_a_request_that_was_given_up_is_nobodys() -> None:
    async def late(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        receiver.script = None
        asked.set()
        await reader.read()
        ended.set()
        writer.write(EVIL)

    asked, ended = asyncio.Event(), asyncio.Event()
    async with hostile(late) as receiver, sender() as sending:
        first = asyncio.create_task(sending.send(receiver.url(), [], b"{}"))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        first.cancel()
        await asyncio.wait_for(ended.wait(), KEPT_SECONDS / 2)
        second = await sending.send(receiver.url(), [], b"{}")

        assert (first.cancelled(), second.body, receiver.connections) == (True, b"ok", 2)


NO_ANSWER = {
    "a folded header": HEAD + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "lines that end in LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a bare CR in a header": HEAD + b"X-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n",
    "a blank before the colon": HEAD + b"Content-Length : 0\r\n\r\n",
    "the same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "lengths in a list": HEAD + b"Content-Length: 2, 2\r\n\r\nok",
    "a length with a sign": HEAD + b"Content-Length: +2\r\n\r\nok",
    "chunks and a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
    "an upgrade nobody asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n" + OK,
    "an upgrade to nothing": b"HTTP/1.1 101 Switching\r\n\r\n" + OK,
    "an interim response with a body": b"HTTP/1.1 100 Continue\r\nContent-Length: 44\r\n\r\n" + EVIL + OK,
    "no status line": b"ok",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_ANSWER)
async def test_what_receivers_may_read_differently_is_no_answer(name: str) -> None:
    async with hostile(answering(NO_ANSWER[name], then_close=False)) as receiver, sender() as sending:
        outcome = await sending.send(receiver.url(), [], b"{}")

    assert (outcome.status_code, outcome.error_code, outcome.body) == (0, "protocol", b"")


async def test_interim_responses_without_headers_are_limited_too() -> None:
    interim = b"HTTP/1.1 100 \r\n\r\n"
    async with hostile(answering(interim * (MAX_HEADERS + 1) + OK, then_close=False)) as receiver, sender() as sending:
        assert (await sending.send(receiver.url(), [], b"{}")).error_code == "protocol"


async def test_a_body_that_ends_with_the_connection_is_whole_unless_it_was_reset() -> None:
    async def reset(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(HEAD + b"\r\nok")
        await writer.drain()
        await arrived.wait()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    arrived = asyncio.Event()
    async with hostile(answering(HEAD + b"\r\nok")) as receiver, sender() as sending:
        whole = await sending.send(receiver.url(), [], b"{}")
        receiver.script = reset
        asyncio.get_running_loop().call_later(0.1, arrived.set)
        broken = await sending.send(receiver.url(), [], b"{}")

    assert (whole.status_code, whole.error_code, whole.body) == (200, None, b"ok")
    # On a busy machine the reset may overtake the response.
    assert (broken.status_code, broken.error_code, broken.body) in {(200, "protocol", b"ok"), (0, "connection", b"")}


@pytest.mark.parametrize(
    "header",
    [
        ("X-A: b\r\nX-B", "c"),
        ("X-A\n", "b"),
        ("X A", "b"),
        ("", "b"),
        ("X-Ä", "b"),
        ("X-A", "b\nX-B: c"),
        ("X-A", "b\r"),
        ("X-A", "b\x0bc"),
        ("X-A", "b\u2028c"),
        ("X-A", "\ud800"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("Host", "other.example.com"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
    ],
)
async def test_a_header_that_would_make_another_request_is_not_sent(header: tuple[str, str]) -> None:
    async with hostile() as receiver, sender() as sending:
        outcome = await sending.send(receiver.url(), [("X-Good", "a"), header], b"{}")

        assert (outcome.status_code, outcome.error_code, receiver.connections) == (0, "request", 0)


@pytest.mark.parametrize("method", ["", "POST / HTTP/1.1\r\nX-A: b\r\n\r\nPOST", "GET /other"])
async def test_a_method_that_would_make_another_request_is_not_sent(method: str) -> None:
    async with hostile() as receiver, sender() as sending:
        assert (await sending.send(receiver.url(), [], b"{}", method)).error_code == "request"
        assert receiver.connections == 0


@pytest.mark.parametrize("path", ["/ HTTP/1.1\r\nX-A: b", "/\nX-A: b", "/ x", "/\x00", "/\u2028"])
async def test_a_url_that_would_make_another_request_is_not_sent(path: str) -> None:
    async with hostile() as receiver, sender() as sending:
        assert (await sending.send(f"http://127.0.0.1:{receiver.port}{path}", [], b"{}")).error_code == "blocked"
        assert receiver.connections == 0


async def test_a_request_is_put_when_asked_for() -> None:
    async with hostile() as receiver, sender() as sending:
        await sending.send(receiver.url(), [("Accept", "text/plain")], b"{}", "PUT")

        assert receiver.heads == [
            b"PUT /hook HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\nContent-Length: 2\r\nAccept: text/plain\r\n\r\n"
            % receiver.port
        ]


async def test_requests_that_are_out_or_wait_fail_when_the_sender_closes() -> None:
    async with hostile(answering(then_close=False)) as receiver, sender(connections=1) as sending:
        requests = [asyncio.create_task(sending.send(receiver.url(), [], b"{}")) for _ in range(3)]
        await until(lambda: receiver.connections == 1, "a request to be out")
        await sending.close()

        assert [(await request).error_code for request in requests] == ["connection"] * 3
        assert receiver.connections == 1


async def test_tls_is_kept_like_any_other_connection() -> None:
    server, options = trusted("hook.example.com")
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)

    async with hostile(tls=server) as receiver, sender(**options) as sending:
        for body in (b"{}", bytes(1_000_000), b"{}"):
            assert (await sending.send(receiver.url("hook.example.com"), [], body)).body == b"ok"

        assert (receiver.connections, names) == (1, ["hook.example.com"])


# The pool and its dialling


@asynccontextmanager
async def pool(**options: Any) -> AsyncIterator[Pool]:
    resolver = GuardedResolver(LOOPBACK)
    found = Pool(LOOPBACK, resolver, ssl.create_default_context(), **{"connections": 8, "response_limit": 100, **options})
    try:
        yield found
    finally:
        found.close()
        await resolver.close()


async def ask(asked: Pool, receiver: Hostile) -> bytes:
    answer = Answer()
    await asked.exchange(check_url(receiver.url(), LOOPBACK), b"POST /hook HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"", answer)
    return bytes(answer.body)


async def test_a_connection_that_is_not_used_for_a_while_is_closed() -> None:
    async with hostile() as receiver, pool(kept_seconds=0.05) as asked:
        await ask(asked, receiver)

        await until(lambda: not receiver._writers, "the connection to be closed")
        assert await ask(asked, receiver) == b"ok"
        assert receiver.connections == 2


async def test_a_connection_is_used_for_so_long_at_most_however_busy_it_is() -> None:
    async with hostile() as receiver, pool(longest_seconds=0.2) as asked:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while receiver.connections < 2 and loop.time() < began + 5:
            assert await ask(asked, receiver) == b"ok"

        assert (receiver.connections, loop.time() - began >= 0.2) == (2, True)
        await until(lambda: len(receiver._writers) == 1, "the first connection to be closed")


async def test_a_request_that_the_receiver_has_had_for_a_while_is_not_sent_again_when_it_closes_a_kept_connection() -> None:
    async def closes(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await read_request(reader)
        requests.append(asyncio.get_running_loop().time())
        await until(lambda: asyncio.get_running_loop().time() > requests[0] + 0.2, "a while")

    requests: list[float] = []
    async with hostile(closes) as receiver, pool(race_seconds=0.1) as asked:
        assert await ask(asked, receiver) == b"ok"
        with pytest.raises(ConnectionClosed):
            await ask(asked, receiver)

        assert receiver.connections == 1


async def test_no_more_connections_are_kept_than_may_be_out() -> None:
    async with hostile() as one, hostile() as two, hostile() as three, pool(connections=2) as asked:
        for receiver in (one, two, three):
            assert await ask(asked, receiver) == b"ok"

        await until(lambda: not one._writers, "the longest kept to be closed")
        for receiver in (two, three):
            assert await ask(asked, receiver) == b"ok"
        assert [receiver.connections for receiver in (one, two, three)] == [1, 1, 1]


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    async def lookup(_host: str) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.3", "127.0.0.1"]

    async with hostile() as receiver, sender(lookup=lookup) as sending:
        assert (await sending.send(receiver.url("hook.example.com"), [], b"{}")).body == b"ok"


@pytest.mark.parametrize(("address", "port"), [("10.0.0.1", 80), ("::1", 80), ("127.0.0.1", 6379)])
async def test_what_is_dialled_is_checked_even_if_nothing_before_it_was(address: str, port: int) -> None:
    async def lookup(_host: str) -> Sequence[str]:
        return [address]

    class Unchecked(GuardedResolver):
        async def resolve(self, host: str) -> list[str]:
            return list(await lookup(host))

    resolver = Unchecked(LOOPBACK)
    target = Target("http", "hook.example.com", port, None, "/")
    try:
        with pytest.raises(NotAllowed):
            await dial(target, resolver, LOOPBACK, ssl.create_default_context(), lambda: Connection(("http", "", 0), 100))
    finally:
        await resolver.close()


async def test_a_peer_that_is_not_what_was_dialled_is_checked_too() -> None:
    """The system takes 0.0.0.0 for itself."""
    policy = Policy(allow_subnets=(parse_network("0.0.0.0/8"),))
    resolver = GuardedResolver(policy)
    async with hostile() as receiver:
        target = check_url(receiver.url("0.0.0.0"), policy)
        try:
            with pytest.raises(NotAllowed):
                await dial(target, resolver, policy, ssl.create_default_context(), lambda: Connection(("http", "", 0), 100))
        finally:
            await resolver.close()
        assert receiver.heads == []
