"""A customer's server that writes down each request before it answers, and can misbehave in every way the suite needs."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Literal

from standardwebhooks import Webhook, WebhookVerificationError

from tests.chaos.ledger import Ledger
from tests.listening import Listener

DRIP_EVERY = 0.2
BOMB = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What to do with a request: an ordinary answer after some seconds, or something hostile."""

    status: int = 200
    after: float = 0.0
    kind: Literal["plain", "hang", "reset", "cut", "drip", "huge", "bomb"] = "plain"


# (endpoint name, message id, how many requests for this pair came before) → what to do.
Plan = Callable[[str, str, int], Answer]


@dataclass
class LedgerReceiver(Listener):
    """Listens on a free port of this machine; an endpoint's name is its path."""

    ledger: Ledger
    plan: Plan = lambda name, message, earlier: Answer()
    secrets: dict[str, str] = field(default_factory=dict)
    # Endpoint name → requests being answered now, and the most there ever were.
    open: dict[str, int] = field(default_factory=dict)
    most_open: dict[str, int] = field(default_factory=dict)
    # When each (message id, endpoint name) came first, by the monotonic clock.
    first_seen: dict[tuple[str, str], float] = field(default_factory=dict)
    arrivals: dict[str, list[float]] = field(default_factory=dict)
    # Receives without writing down: for showing that the comparison notices.
    forgetful: bool = False
    # Whether a connection may be used again. Where one breaks that was, a sender may repeat the request without a further attempt.
    reusable: bool = True
    # The name or address in its endpoints' URLs.
    host: str = "127.0.0.1"
    _earlier: dict[tuple[str, str], int] = field(default_factory=dict)

    def url(self, name: str) -> str:
        return f"http://{self.host}:{self.port}/{name}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            if not await self._answer(first.split(" ")[1].lstrip("/"), headers, body, reader, writer):
                return

    async def _answer(
        self, name: str, headers: dict[str, str], body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Write down and answer one request; whether the connection can be used again."""
        message = headers.get("webhook-id", "")
        now = time.monotonic()
        self.first_seen.setdefault((message, name), now)
        self.arrivals.setdefault(name, []).append(now)
        earlier = self._earlier.get((message, name), 0)
        self._earlier[message, name] = earlier + 1
        self.open[name] = self.open.get(name, 0) + 1
        self.most_open[name] = max(self.most_open.get(name, 0), self.open[name])
        try:
            answer = self.plan(name, message, earlier)
            if not self.forgetful:
                sha256 = hashlib.sha256(body).hexdigest()
                verified = self._verify(name, headers, body)
                # What is never answered in full counts as not taken, whatever its status.
                status = answer.status if answer.kind == "plain" else 0
                await self.ledger.append(message=message, endpoint=name, status=status, verified=verified, sha256=sha256)
            if answer.after:
                await asyncio.sleep(answer.after)
            return await _misbehave(answer, reader, writer, self.reusable)
        finally:
            self.open[name] -= 1

    def _verify(self, name: str, headers: dict[str, str], body: bytes) -> bool:
        """By an independent library; the time of signing is not judged here, for clocks that are set wrong on purpose."""
        hook = Webhook(self.secrets[name])
        try:
            stamp = int(headers["webhook-timestamp"])
            made = hook.sign(headers["webhook-id"], datetime.fromtimestamp(stamp, UTC), body.decode())
        except (KeyError, ValueError, WebhookVerificationError):
            return False
        return made in headers.get("webhook-signature", "").split(" ")


async def _misbehave(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reusable: bool) -> bool:
    match answer.kind:
        case "plain":
            connection = b"" if reusable else b"Connection: close\r\n"
            writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: 2\r\n%s\r\nok" % (answer.status, connection))
            await writer.drain()
            return reusable
        case "hang":
            await reader.read()  # until the sender hangs up
        case "reset":
            writer.transport.abort()
        case "cut":
            writer.write(b"HTTP/1.1 200 Said\r\nContent-Length: 100\r\n\r\nhalf")
            await writer.drain()
        case "drip":
            writer.write(b"HTTP/1.1 500 Said\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(DRIP_EVERY)
        case "huge":
            writer.write(b"HTTP/1.1 500 Said\r\nContent-Length: 1000000000\r\n\r\n")
            with suppress(OSError):
                for _ in range(1000):
                    writer.write(b"x" * 1_000_000)
                    await writer.drain()
        case "bomb":
            packed = bomb()
            writer.write(b"HTTP/1.1 500 Said\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
            await writer.drain()
    return False


@cache
def bomb() -> bytes:
    """64 MiB of zeros, packed; takes a moment the first time."""
    return gzip.compress(b"\0" * BOMB, 9)
