"""An open-loop load generator on raw asyncio and httptools: latency counts from when a request was due, not from when it was sent."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

# The whole request with that number, which was due at that time in nanoseconds of the monotonic clock.
Make = Callable[[int, int], bytes]
PATIENCE = 120.0


@dataclass
class Measured:
    """What a load saw: seconds from due to answered for each request that went well, those requests' numbers, and what the others got."""

    latencies: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return len(self.latencies) / self.seconds

    def milliseconds(self, percent: float) -> float:
        """A percentile of the latencies, in milliseconds."""
        return percentile(self.latencies, percent) * 1000

    def checked(self) -> Measured:
        """This, if every request was answered well: a figure of failing requests means nothing."""
        if self.failures or not self.latencies:
            raise RuntimeError(f"{len(self.failures)} of {len(self.failures) + len(self.latencies)} requests failed: {self.failures[:1]}")
        return self


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


async def at_rate(
    port: int, make: Make, rate: float, seconds: float, *, connections: int = 128, stop: asyncio.Event | None = None
) -> Measured:
    """Send `rate` requests a second whether or not earlier ones are answered; those that find no free connection wait, at their own expense.

    It ends after `seconds`, or when `stop` is set.
    """
    run = _Run(port, make)
    await run.open(connections)
    gap = 1e9 / rate
    start = time.monotonic_ns() + 10_000_000
    count = 0
    while count < rate * seconds and not (stop is not None and stop.is_set()):
        due = start + round(count * gap)
        while (ahead := due - time.monotonic_ns()) > 0:
            await asyncio.sleep(ahead / 1e9)
        run.offer(count, due)
        count += 1
    return await run.finished(count, start)


async def saturate(port: int, make: Make, connections: int, *, seconds: float | None = None, count: int | None = None) -> Measured:
    """Keep every connection busy for so many seconds, or until so many requests are answered."""
    run = _Run(port, make, until=None if seconds is None else time.monotonic_ns() + round(seconds * 1e9), count=count)
    await run.open(connections)
    start = time.monotonic_ns()
    for _ in range(connections):
        run.offer_next()
    return await run.finished(None, start)


class _Run:
    """The connections of one load and what they have to do."""

    def __init__(self, port: int, make: Make, *, until: int | None = None, count: int | None = None) -> None:
        self._port = port
        self._make = make
        self._until = until
        self._count = count
        self._next = 0
        self._idle: list[_Connection] = []
        self._all: list[_Connection] = []
        self._waiting: deque[tuple[int, int]] = deque()
        self._open = 0
        self._answered = 0
        self._moved = asyncio.Event()
        self._measured = Measured()

    async def open(self, connections: int) -> None:
        # Once for loads that run side by side: it takes 50 ms, in which what another of them sent would seem to wait.
        if gc.isenabled():
            gc.collect()
            gc.disable()
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
            self._all.append(connection)
        self._idle += self._all

    def offer(self, number: int, due: int) -> None:
        self._open += 1
        # A server closes connections that were idle for some seconds.
        while self._idle and self._idle[-1].lost:
            self._idle.pop()
        if self._idle:
            self._idle.pop().send(number, due, self._make(number, due))
        else:
            self._waiting.append((number, due))

    def offer_next(self) -> None:
        due = time.monotonic_ns()
        if (self._until is None or due < self._until) and (self._count is None or self._next < self._count):
            self._next += 1
            self.offer(self._next - 1, due)

    def answered(self, connection: _Connection, number: int, due: int, fault: str | None) -> None:
        now = time.monotonic_ns()
        self._open -= 1
        self._answered += 1
        if fault is None:
            self._measured.latencies.append((now - due) / 1e9)
            self._measured.numbers.append(number)
        else:
            self._measured.failures.append(fault)
        if not connection.lost:
            if self._waiting:
                number, due = self._waiting.popleft()
                connection.send(number, due, self._make(number, due))
            else:
                self._idle.append(connection)
                if self._until is not None or self._count is not None:
                    self.offer_next()
        if not self._open:
            self._moved.set()

    async def finished(self, count: int | None, start: int) -> Measured:
        """What was measured, once everything is answered."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self._open or (count is not None and self._answered < count):
                    self._moved.clear()
                    await self._moved.wait()
        finally:
            gc.enable()
            for connection in self._all:
                connection.close()
        self._measured.seconds = (time.monotonic_ns() - start) / 1e9
        return self._measured


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on it."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._asked: tuple[int, int] | None = None
        self._body = bytearray()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not say that it is one

    def send(self, number: int, due: int, request: bytes) -> None:
        assert self._transport is not None
        self._asked = (number, due)
        self._body.clear()
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._parser is not None:
            self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._parser is not None
        assert self._asked is not None
        status = self._parser.get_status_code()
        # GraphQL answers 200 with a list of errors, which is empty when all is well.
        well = status == 200 and b'"errors":[{' not in self._body
        asked, self._asked = self._asked, None
        self._run.answered(self, *asked, None if well else f"{status}: {bytes(self._body[:500]).decode(errors='replace')}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._asked is not None:
            asked, self._asked = self._asked, None
            self._run.answered(self, *asked, f"the connection was lost: {exc}")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
