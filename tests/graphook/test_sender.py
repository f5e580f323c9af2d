"""The sender against receivers, names and certificates that mean it harm: an outcome within the limit each time, and the next request works."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import socket
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.utils import format_datetime
from typing import Any

import pytest
import trustme

from graphook.sender import Outcome, Sender
from graphook.settings import Settings
from graphook.ssrf import Policy, parse_network
from tests.graphook.hostile import OK, Script, answering, hostile, read_request
from tests.growth import growth
from tests.waiting import PATIENCE

LOOPBACK = Policy(allow_subnets=(parse_network("127.0.0.0/8"),))
# Seconds, for what does not end by itself, and milliseconds for a machine that has other things to do.
LIMIT, GRACE = 0.5, 10_000
HEAD = b"HTTP/1.1 200 OK\r\n"
FAT = b"X-A: " + b"a" * 16_000 + b"\r\n\r\n"


@asynccontextmanager
async def sender(policy: Policy = LOOPBACK, *, timeout: float = PATIENCE, **options: Any) -> AsyncIterator[Sender]:
    found = Sender(policy, timeout_seconds=timeout, **options)
    await found.open()
    try:
        yield found
    finally:
        await found.close()


async def post(sending: Sender, url: str) -> Outcome:
    """The outcome of one request: within the limit, and without a word about what is inside."""
    outcome = await sending.send(url, [("Content-Type", "application/json"), ("webhook-id", "msg_1")], b'{"n":1}')
    assert outcome.duration_ms <= 1000 * LIMIT + GRACE
    assert (outcome.error is None) == (outcome.error_code is None)
    for inside in ("127.", "10.", "::", "Errno", "aiohttp", "ssl", "Exception", url):
        assert inside not in (outcome.error or "")
    return outcome


async def outcome_of(script: Script, **options: Any) -> Outcome:
    """What comes of a receiver's script. Afterwards the receiver behaves, and the next request must succeed."""
    async with hostile(script) as receiver, sender(**options) as sending:
        outcome = await post(sending, receiver.url())
        receiver.script = None
        assert (await post(sending, receiver.url())).body == b"ok"
    return outcome


# Answers that are no answers

NEVER_200 = {
    "slow headers": (answering(HEAD, b"X-A: b\r\n", every=0.05, for_ever=True), "timeout"),
    "silence": (answering(then_close=False), "timeout"),
    "a head of one endless line": (answering(HEAD + b"X-A: ", b"a" * 8192, for_ever=True), "response_header_limit"),
    "headers without end": (answering(HEAD, b"X-A: b\r\n" * 1000, for_ever=True), "protocol"),
    "one header too large": (answering(HEAD + b"X-A: " + b"a" * 17_000 + b"\r\nContent-Length: 0\r\n\r\n"), "response_header_limit"),
    "200 headers": (answering(HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"\r\n"), "protocol"),
    "a head too large in all": (
        answering(HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 15_000) for n in range(5)) + b"Content-Length: 0\r\n\r\n"),
        "response_header_limit",
    ),
    "a status line too long": (answering(b"HTTP/1.1 200 " + b"O" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n"), "response_header_limit"),
    "interim responses without end": (answering(b"HTTP/1.1 100 Continue\r\n" + FAT, for_ever=True), "response_header_limit"),
    "early hints without end": (answering(b"HTTP/1.1 103 Early Hints\r\n" + FAT, for_ever=True), "response_header_limit"),
    "a header without a colon": (answering(HEAD + b"nonsense\r\n\r\n"), "protocol"),
    "a header name with a blank": (answering(HEAD + b"X A: b\r\n\r\n"), "protocol"),
    "a NUL in a header": (answering(HEAD + b"X-A: a\x00b\r\n\r\n"), "protocol"),
    "status abc": (answering(b"HTTP/1.1 abc OK\r\n\r\n"), "protocol"),
    "status 99": (answering(b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n"), "protocol"),
    "a status of four digits": (answering(b"HTTP/1.1 2000 High\r\nContent-Length: 0\r\n\r\n"), "protocol"),
    "not HTTP": (answering(b"SSH-2.0-OpenSSH_9.6\r\n"), "protocol"),
    "a length that is no number": (answering(HEAD + b"Content-Length: -1\r\n\r\n"), "protocol"),
    "two lengths": (answering(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "protocol"),
    "a length and chunks": (answering(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "protocol"),
    "an end in mid-head": (answering(HEAD + b"Content-Len"), "connection"),
    "an end before any answer": (answering(), "connection"),
}


@pytest.mark.parametrize("name", NEVER_200)
async def test_an_answer_that_does_not_begin_has_no_status_and_a_code(name: str) -> None:
    script, code = NEVER_200[name]

    outcome = await outcome_of(script, timeout=LIMIT if code == "timeout" else PATIENCE)

    assert (outcome.status_code, outcome.error_code, outcome.body) == (0, code, b"")
    assert outcome.headers == ()


@pytest.mark.parametrize("where", ["a header", "the status line"])
async def test_an_answer_within_the_limits_is_taken_however_long(where: str) -> None:
    head = HEAD + b"X-A: " + b"a" * 15_000 + b"\r\n" if where == "a header" else b"HTTP/1.1 200 " + b"O" * 15_000 + b"\r\n"

    outcome = await outcome_of(answering(head + b"Content-Length: 2\r\n\r\nok"))

    assert (outcome.status_code, outcome.error_code, outcome.body) == (200, None, b"ok")


BROKEN_BODY = {
    "a body byte by byte": (answering(HEAD + b"Content-Length: 1000\r\n\r\n", b"a", every=0.05, for_ever=True), "timeout"),
    "a body that stops": (answering(HEAD + b"Content-Length: 1000\r\n\r\na", then_close=False), "timeout"),
    "an end in mid-body": (answering(HEAD + b"Content-Length: 1000\r\n\r\na"), "protocol"),
    "an end in mid-chunk": (answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\na"), "protocol"),
    "chunks of nonsense": (answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n"), "protocol"),
    "a chunk size beyond any": (answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n" + b"f" * 40 + b"\r\n"), "protocol"),
    "trailers without end": (answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"X-A: b\r\n" * 1000, for_ever=True), "protocol"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_BODY)
async def test_a_body_that_does_not_end_well_is_a_failure_with_its_status(name: str) -> None:
    script, code = BROKEN_BODY[name]

    outcome = await outcome_of(script, timeout=LIMIT if code == "timeout" else PATIENCE)

    assert (outcome.status_code, outcome.error_code) in {(200, code), (0, code)}
    assert set(outcome.body) <= {ord("a")}


async def test_a_body_without_end_is_cut_and_no_failure() -> None:
    outcome = await outcome_of(answering(HEAD + b"\r\n", b"a" * 8192, for_ever=True), response_limit=1000)

    assert (outcome.status_code, outcome.error_code, outcome.truncated, outcome.body) == (200, None, True, b"a" * 1000)


async def test_a_compressed_body_is_kept_as_it_came() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert len(bomb) < 20_000

    outcome = await outcome_of(answering(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb))

    assert (outcome.status_code, outcome.body, outcome.truncated) == (200, bomb, False)


@pytest.mark.parametrize("status", [200, 204, 304, 400, 410, 429, 500, 599, 600, 999])
async def test_any_status_of_three_digits_is_told_as_it_came(status: int) -> None:
    body = b"" if status in (204, 304) else b"Content-Length: 0\r\n"

    outcome = await outcome_of(answering(b"HTTP/1.1 %d Said\r\n" % status + body + b"\r\n"))

    assert (outcome.status_code, outcome.error_code) == (status, None)


async def test_a_few_interim_responses_are_passed_over() -> None:
    outcome = await outcome_of(answering(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK))

    assert (outcome.status_code, outcome.body) == (200, b"ok")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(status: int) -> None:
    async with hostile() as target, sender() as sending:
        script = answering(b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, target.url().encode()))
        async with hostile(script) as receiver:
            outcome = await post(sending, receiver.url())

        assert (outcome.status_code, outcome.error_code, target.connections) == (status, None, 0)


async def test_a_cookie_is_not_kept() -> None:
    script = answering(HEAD + b"Set-Cookie: a=b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    async with hostile(script) as receiver, sender(lookup=to_loopback) as sending:
        url = receiver.url("hook.example.com")  # a jar would keep nothing of a bare address
        assert ("Set-Cookie", "a=b") in (await post(sending, url)).headers
        receiver.script = None
        await post(sending, url)

        assert b"cookie" not in receiver.heads[0].lower()


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("7", 7, 7),
        (" 2.5 ", 2.5, 2.5),
        ("0", 0, 0),
        ("9" * 60, 10**58, 10**61),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
    ],
)
async def test_retry_after_is_read_as_seconds_or_a_date(text: str, low: float, high: float) -> None:
    outcome = await outcome_of(answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: %s\r\n\r\n" % text.encode()))

    assert outcome.retry_after is not None
    assert low <= outcome.retry_after <= high


async def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    text = format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1), usegmt=True).encode()

    outcome = await outcome_of(answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: %s\r\n\r\n" % text))

    assert outcome.retry_after is not None
    assert 3000 < outcome.retry_after <= 3600


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e9", "1.2.3", "Thu, 99 Xyz 9999 99:99:99 GMT", "9" * 100, "\u0663", "NaN", "inf"])
async def test_a_retry_after_that_says_nothing_is_passed_over(text: str) -> None:
    outcome = await outcome_of(answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: %s\r\n\r\n" % text.encode()))

    assert (outcome.status_code, outcome.retry_after, outcome.error_code) == (503, None, None)


# Connections


async def test_a_kept_connection_that_was_closed_is_replaced_once_without_a_failure() -> None:
    async def one_each(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await read_request(reader)  # and closes instead of answering

    async with hostile(one_each) as receiver, sender() as sending:
        assert (await post(sending, receiver.url())).body == b"ok"
        second = await post(sending, receiver.url())

        assert (second.status_code, second.body, receiver.connections) == (200, b"ok", 2)


async def test_a_new_connection_that_is_closed_is_a_failure_at_once() -> None:
    async with hostile(answering()) as receiver, sender() as sending:
        assert (await post(sending, receiver.url())).error_code == "connection"
        assert receiver.connections == 1


async def test_a_kept_connection_that_breaks_off_in_an_answer_is_not_tried_again() -> None:
    async def breaks_off(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await read_request(reader)
        writer.write(HEAD)
        await writer.drain()

    async with hostile(breaks_off) as receiver, sender() as sending:
        assert (await post(sending, receiver.url())).body == b"ok"
        second = await post(sending, receiver.url())

        assert (second.status_code, second.error_code, receiver.connections) == (0, "connection", 1)


async def test_a_refused_connection_is_a_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with sender() as sending:
            outcome = await post(sending, f"http://127.0.0.1:{unused.getsockname()[1]}/")

    assert (outcome.status_code, outcome.error_code) == (0, "connection")


async def test_no_more_requests_are_out_than_the_limit() -> None:
    out = most = 0

    async def slow(reader: Reader, writer: Writer) -> None:
        nonlocal out, most
        while True:
            await read_request(reader)
            out += 1
            most = max(most, out)
            await asyncio.sleep(0.02)
            out -= 1
            writer.write(OK)
            await writer.drain()

    async with hostile(slow) as receiver, sender(connections=2) as sending:
        outcomes = await asyncio.gather(*(sending.send(receiver.url(), [], b"{}") for _ in range(8)))

    assert ({outcome.status_code for outcome in outcomes}, most) == ({200}, 2)


async def test_waiting_for_a_connection_is_at_the_expense_of_the_limit() -> None:
    async with hostile(answering(then_close=False)) as receiver, sender(connections=1, timeout=LIMIT) as sending:
        outcomes = await asyncio.gather(*(post(sending, receiver.url()) for _ in range(5)))

    assert {outcome.error_code for outcome in outcomes} == {"timeout"}


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile() as proxy, hostile() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        async with sender() as sending:
            assert (await post(sending, receiver.url())).status_code == 200
        assert (proxy.connections, receiver.connections) == (0, 1)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def to_loopback(_host: str) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_a_good_certificate_is_taken(authority: trustme.CA) -> None:
    tls = server_side(authority.issue_cert("hook.example.com"))
    async with hostile(tls=tls) as receiver, sender(tls=client_side(authority), lookup=to_loopback) as sending:
        assert (await post(sending, receiver.url("hook.example.com"))).status_code == 200


@pytest.mark.parametrize("fault", ["another host", "expired", "another authority"])
async def test_a_bad_certificate_is_refused_before_anything_is_sent(authority: trustme.CA, fault: str) -> None:
    issuer = trustme.CA() if fault == "another authority" else authority
    name = "other.example.com" if fault == "another host" else "hook.example.com"
    past = datetime.datetime(2020, 1, 1)  # noqa: DTZ001
    dates: Any = {"not_before": past, "not_after": past + datetime.timedelta(days=1)} if fault == "expired" else {}
    tls = server_side(issuer.issue_cert(name, **dates))

    async with hostile(tls=tls) as receiver, sender(tls=client_side(authority), lookup=to_loopback) as sending:
        outcome = await post(sending, receiver.url("hook.example.com"))

        assert (outcome.status_code, outcome.error_code, receiver.heads) == (0, "tls", [])


async def test_tls_to_a_plain_port_is_a_failure_of_tls() -> None:
    async def plain(reader: Reader, writer: Writer) -> None:
        await reader.read(100)
        writer.write(OK)
        await writer.drain()

    async with hostile(plain) as receiver, sender() as sending:
        outcome = await post(sending, receiver.url().replace("http:", "https:"))

    assert (outcome.status_code, outcome.error_code) == (0, "tls")


def test_a_sender_that_would_not_verify_is_not_made() -> None:
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    with pytest.raises(ValueError):
        Sender(Policy(), tls=unverified)


# Names and addresses


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        ([], "dns"),
        (["10.0.0.1"], "blocked"),
        (["169.254.169.254", "::1", "fd00::1"], "blocked"),
        (["::ffff:127.0.0.1"], "blocked"),
        (["0.0.0.0"], "blocked"),
    ],
)
async def test_a_name_without_a_public_address_is_not_dialled(addresses: list[str], code: str) -> None:
    async def lookup(_host: str) -> Sequence[str]:
        return addresses

    async with sender(Policy(), lookup=lookup) as sending:
        outcome = await post(sending, "https://hook.example.com/")

    assert (outcome.status_code, outcome.error_code) == (0, code)


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label too long")])
async def test_a_lookup_that_fails_is_a_failure_of_dns(error: Exception) -> None:
    async def lookup(_host: str) -> Sequence[str]:
        raise error

    async with sender(lookup=lookup) as sending:
        assert (await post(sending, "http://hook.example.com/")).error_code == "dns"


async def test_long_urls_are_not_remembered() -> None:
    async def lookup(_host: str) -> Sequence[str]:
        return []

    async with sender(lookup=lookup) as sending:
        with growth() as grown:
            for n in range(50):
                outcome = await sending.send(f"https://hook.example.com/{n}/".ljust(60_000, "x"), [], b"{}")
                assert outcome.error_code == "dns"

    assert grown() < 20 * 60_000


async def test_a_name_that_turns_inwards_after_it_was_good_is_blocked() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def lookup(_host: str) -> Sequence[str]:
        return answers.pop(0)

    async with hostile() as receiver, sender(lookup=lookup, dns_kept=0) as sending:
        first = await post(sending, receiver.url("hook.example.com"))
        await _idle_connections_end(sending)
        second = await post(sending, receiver.url("hook.example.com"))

        assert (first.status_code, second.error_code, receiver.connections) == (200, "blocked", 1)


async def test_a_name_that_leads_into_a_denied_network_is_blocked() -> None:
    settings = Settings.load(allow_subnets="127.0.0.0/8", deny_subnets="127.0.0.1")
    async with hostile() as receiver, sender(settings.ssrf_policy(), lookup=to_loopback) as sending:
        for host in ("hook.example.com", "127.0.0.1"):
            assert (await post(sending, receiver.url(host))).error_code == "blocked"

        assert receiver.connections == 0


async def _idle_connections_end(sending: Sender) -> None:
    await sending.close()
    await sending.open()


async def test_one_dead_name_does_not_hold_up_the_others() -> None:
    async def lookup(host: str) -> Sequence[str]:
        if host == "dead.example.com":
            await asyncio.sleep(60)
        return ["127.0.0.1"]

    async with hostile() as receiver, sender(lookup=lookup, timeout=LIMIT) as sending:
        dead = [asyncio.create_task(post(sending, "http://dead.example.com/")) for _ in range(100)]
        await asyncio.sleep(0)
        assert (await post(sending, receiver.url("hook.example.com"))).status_code == 200
        assert not any(task.done() for task in dead)
        assert {outcome.error_code for outcome in await asyncio.gather(*dead)} == {"timeout"}


@pytest.mark.parametrize(
    "host", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.0.0.1.", "10.0.0.1", "[fe80::1%25lo]", "localhost"]
)  # fmt: skip
async def test_an_inside_address_in_any_form_is_blocked_without_a_connection(host: str) -> None:
    async with hostile() as receiver, sender(Policy()) as sending:
        outcome = await post(sending, receiver.url(host))

        assert (outcome.status_code, outcome.error_code, receiver.connections) == (0, "blocked", 0)


@pytest.mark.parametrize("header", [("X-A", "a\r\nX-B: c"), ("X-A", "a\x00")])
async def test_a_header_that_would_change_the_request_is_not_sent(header: tuple[str, str]) -> None:
    async with hostile() as receiver, sender() as sending:
        outcome = await sending.send(receiver.url(), [header], b"{}")

        assert (outcome.status_code, outcome.error_code, receiver.heads) == (0, "request", [])


async def test_what_is_sent_is_what_was_asked_for() -> None:
    async with hostile() as receiver, sender() as sending:
        await post(sending, f"{receiver.url()}//x/../y?a=%zz&b")

        (head,) = receiver.heads
        assert head.startswith(b"POST /hook//x/../y?a=%zz&b HTTP/1.1\r\n")
        names = sorted(line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:-2])
        assert names == [b"accept", b"accept-encoding", b"content-length", b"content-type", b"host", b"webhook-id"]
