"""The guarded client: what it dials, under which name, and how much it reads."""

from __future__ import annotations

import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import Sequence
from typing import Any

import pytest
import trustme

from graphook.guarded_http import NoAnswer, guarded_client, post_form
from graphook.ssrf import Policy, parse_network
from tests.graphook.hostile import hostile, read_request
from tests.graphook.test_sender import client_side, server_side, to_loopback
from tests.waiting import PATIENCE

LOOPBACK = Policy(allow_subnets=(parse_network("127.0.0.0/8"),))
JSON = b'{"a": 1}'
heads: list[bytes] = []


def saying(answer: bytes) -> Any:
    """A script that answers so."""

    async def script(reader: Reader, writer: Writer) -> None:
        heads.append(await read_request(reader))
        writer.write(answer)
        await writer.drain()

    return script


def http(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A response."""
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def post(url: str, policy: Policy = LOOPBACK, limit: int = 1000, **options: Any) -> tuple[int, dict[str, Any]] | str:
    """What was answered, or what went wrong."""
    async with guarded_client(policy, **options) as client:
        try:
            return await post_form(client, url, {"a": "b c"}, credentials=("u", "p"), limit=limit, timeout_seconds=PATIENCE)
        except NoAnswer as failure:
            return failure.fault


async def test_an_object_is_read_whatever_the_status() -> None:
    async with hostile(saying(http(JSON, status=b"418 Teapot"))) as there:
        assert await post(there.url()) == (418, {"a": 1})
    assert b"Authorization: Basic dTpw" in heads[-1]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (http(JSON + b" " * 1000), "too_large"),
        (http(JSON, b"Content-Encoding: br"), "not_json"),
        (http(b"\xff"), "not_json"),
        (http(b"[]"), "not_json"),
        (http(b""), "not_json"),
        (http(JSON).replace(b"application/json", b"text/plain"), "not_json"),
        (http(b"", b"Location: /else", status=b"307 Elsewhere"), "redirect"),
        (http(JSON).replace(b"Length: 8", b"Length: 80"), "protocol"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "protocol"),
        (b"nonsense\r\n\r\n", "protocol"),
        (b"", "protocol"),
    ],
)
async def test_any_other_answer_is_none(answer: bytes, fault: str) -> None:
    async with hostile(saying(answer)) as there:
        assert await post(there.url()) == fault


async def test_what_never_ends_is_ended() -> None:
    async def drip(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
            await writer.drain()

    async with hostile(drip) as there:
        assert await post(there.url()) == "too_large"


async def test_a_name_is_dialled_at_its_allowed_addresses_only() -> None:
    async def lookup(host: str) -> Sequence[str]:
        return {"mixed.example.com": ["10.0.0.1", "127.0.0.1"], "inside.example.com": ["10.0.0.1", "::1"]}[host]

    async with hostile(saying(http(JSON))) as there:
        assert await post(there.url("mixed.example.com"), lookup=lookup) == (200, {"a": 1})
        assert b"Host: mixed.example.com:" in heads[-1]
        assert await post(there.url("inside.example.com"), lookup=lookup) == "blocked"
        assert there.connections == 1


async def test_a_name_without_an_address_and_a_port_without_a_listener_are_told_apart() -> None:
    async def lookup(host: str) -> Sequence[str]:
        raise OSError

    async with hostile(None) as there:
        url = there.url()
    assert await post("https://nowhere.example.com/", lookup=lookup) == "dns"
    assert await post(url) == "connection"


@pytest.mark.parametrize(("certified", "fault"), [("provider.example.com", None), ("other.example.com", "tls")])
async def test_a_certificate_is_for_the_name_that_was_asked_for(certified: str, fault: str | None) -> None:
    authority = trustme.CA()
    tls: ssl.SSLContext = server_side(authority.issue_cert(certified))
    async with hostile(saying(http(JSON)), tls=tls) as there:
        found = await post(there.url("provider.example.com"), tls=client_side(authority), lookup=to_loopback)
    assert found == (fault or (200, {"a": 1}))
