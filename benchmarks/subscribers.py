"""From the commit of an attempt to each of two hundred subscribers of its application."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import orjson
from websockets.asyncio.client import ClientConnection, connect

from benchmarks import cpu, queries
from benchmarks.harness import Bench, Figure, alternate, at_most
from benchmarks.load import at_rate, percentile

DOCUMENT = """subscription Watch($appId: ID!) {
  messageAttempts(appId: $appId) { cursor attempt { id msgId endpointId status responseStatusCode responseDurationMs timestamp } } }"""
SUBSCRIBERS = 200
RATE = 5
_ATTEMPT = re.compile(r'"(atmpt_[0-9A-Za-z]{27})"')
_SENT = re.compile(r'"sent":(\d+)')


async def measure(bench: Bench) -> list[Figure]:
    """p99 in milliseconds over all subscribers, all of one application, at five attempts a second: a thousand frames a second.

    The commit's time is PostgreSQL's own (`track_commit_timestamp`). The limit is a plain route that hands the same text to as many sockets.
    """
    seconds = bench.scaled(15, 2)
    count = RATE * seconds
    async with bench.graphook() as graphook, AsyncExitStack() as stack:
        apps = await graphook.applications(1, bench.hook)
        make = queries.creates(graphook.token, [apps[0]["id"]])
        start = {"type": "subscribe", "id": "1", "payload": {"query": DOCUMENT, "variables": {"appId": apps[0]["id"]}}}
        init = {"type": "connection_init", "payload": {"authorization": f"Bearer {graphook.token}"}}
        heard = _Heard(lambda text: found[1] if (found := _ATTEMPT.search(text)) else None)
        for _ in range(SUBSCRIBERS):
            socket = await stack.enter_async_context(_connected(graphook.port))
            await socket.send(orjson.dumps(init).decode())
            await socket.recv()
            await socket.send(orjson.dumps(start).decode())
            # Answered in turn: the subscription is taken up.
            await socket.send('{"type":"ping"}')
            await socket.recv()
            stack.callback(asyncio.create_task(heard.listen(socket)).cancel)
        # Nobody may have asked the feed yet for its place: let everybody be there before anything happens.
        await asyncio.sleep(2)
        created = 0
        costs: list[dict[str, float]] = []

        async def watched() -> float:
            nonlocal created
            heard.frames.clear()
            meter = cpu.Meter(graphook.roots)
            (await at_rate(graphook.port, make, RATE, seconds)).checked()
            created += count
            await graphook.delivered(created)
            await heard.all(count * SUBSCRIBERS)
            costs.append({name: round(used / count / SUBSCRIBERS * 1e6) for name, used in meter.read().items()})
            rows = await graphook.ask(
                "SELECT id, pg_xact_commit_timestamp(xid::xid) AS at FROM attempt ORDER BY xid DESC, id DESC LIMIT $1", count
            )
            committed: dict[str, datetime] = {row["id"]: row["at"] for row in rows}
            lags = [(at - committed[attempt].astimezone(UTC).timestamp()) for attempt, at in heard.frames]
            return percentile(lags, 99) * 1e3

        with bench.bare() as (port, _):
            bare_heard = _Heard(lambda text: found[1] if (found := _SENT.search(text)) else None)
            for _ in range(SUBSCRIBERS):
                stack.callback(asyncio.create_task(bare_heard.listen(await stack.enter_async_context(_connected(port)))).cancel)
            padding = "x" * 450

            async def broadcast() -> float:
                bare_heard.frames.clear()

                def publish(number: int, due: int) -> bytes:
                    return queries.post("/publish", "none", orjson.dumps({"sent": time.time_ns(), "padding": padding}))

                (await at_rate(port, publish, RATE, seconds)).checked()
                await bare_heard.all(count * SUBSCRIBERS)
                return percentile([at - int(sent) / 1e9 for sent, at in bare_heard.frames], 99) * 1e3

            values, limits = await alternate(bench.rounds, watched, broadcast)
            # The bare application's sockets go before it does.
            await stack.aclose()
    return [at_most("attempt commit → 200 subscribers, p99", values, "ms", limits, 100, 30, cpu_us_per_frame=costs)]


class _Heard:
    """What came over sockets: what `find` makes of a frame's text, and when it was read (seconds since the epoch)."""

    def __init__(self, find: Callable[[str], str | None]) -> None:
        self._find = find
        self.frames: list[tuple[str, float]] = []

    async def listen(self, socket: ClientConnection) -> None:
        async for frame in socket:
            at = time.time()
            found = self._find(frame if isinstance(frame, str) else frame.decode())
            if found is not None:
                self.frames.append((found, at))

    async def all(self, count: int) -> None:
        """Return once so many frames came."""
        async with asyncio.timeout(60):
            while len(self.frames) < count:
                await asyncio.sleep(0.05)


def _connected(port: int) -> connect:
    return connect(f"ws://127.0.0.1:{port}/graphql", subprotocols=["graphql-transport-ws"], compression=None, max_queue=None)  # type: ignore[list-item]
