"""Create, deliver and record, sustained: CPU per message over API, worker, PostgreSQL and Redis, from batches and from single messages."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from benchmarks import cpu, queries
from benchmarks.harness import Bench, Figure, Graphook, alternate, at_most, bare_program
from benchmarks.load import Make, at_rate, saturate

SIZE = 100
# Of what a saturated run gets through from the first request to the last record: the backlog must not grow.
SHARE = 0.8


async def measure(bench: Bench) -> list[Figure]:
    """The load comes at a steady rate just below what the deployment sustains; everything is delivered within the time that is measured.

    The limit is the CPU of the parts that cannot be left out: COPY of the same rows, the bare loop of the HTTP client and, for single
    messages, a plain route per message.
    """
    async with bench.graphook() as graphook:
        apps = await graphook.applications(16, bench.hook)
        ids = [app["id"] for app in apps]
        cycle = _Cycle(bench, graphook, apps[0])
        batches = await cycle.figure("CPU per message from batches", queries.create_batches(graphook.token, ids, SIZE), SIZE, 4, (0.7, 0.4))
        singles = await cycle.figure("CPU per message from singles", queries.creates(graphook.token, ids), 1, 64, (2.0, 1.2))
    return [batches, singles]


class _Cycle:
    """A deployment that is fed and watched until everything is recorded."""

    def __init__(self, bench: Bench, graphook: Graphook, app: Any) -> None:
        self._bench = bench
        self._graphook = graphook
        self._app = app
        self._created = 0

    async def figure(self, name: str, make: Make, size: int, connections: int, bounds: tuple[float, float]) -> Figure:
        bench, graphook = self._bench, self._graphook
        rate = await self._capacity(make, size, connections) * SHARE
        seconds = bench.scaled(15, 2)
        runs: list[dict[str, float]] = []
        limits: list[dict[str, float]] = []

        async def run() -> float:
            meter, began = cpu.Meter(graphook.roots), time.monotonic()
            measured = (await at_rate(graphook.port, make, rate / size, seconds)).checked()
            sent_after = time.monotonic() - began
            count = len(measured.latencies) * size
            await self._delivered(count)
            took = time.monotonic() - began
            used = {group: value / count * 1e3 for group, value in meter.read().items()}
            runs.append(
                {**used, "per_second": count / took, "drained_after_s": took - sent_after, "accept_p99_ms": measured.milliseconds(99)}
            )
            return sum(used.values())

        async def limit() -> float:
            count = bench.scaled(10_000, 1000)
            where = (graphook.database_url, graphook.org_id, self._app["id"], self._app["endpoint"]["id"])
            meter = cpu.Meter(graphook.roots)
            copied = bare_program("copy", *where, str(count // 100), "2", "--delivered")
            self._created += count
            parts = {"copy": copied["cpu"], "postgresql": meter.read()["postgresql"]}
            parts["client"] = bare_program("post", bench.hook, str(count), "64")["cpu"]
            if size == 1:
                with bench.bare() as (port, pid):
                    meter = cpu.Meter({"plain": pid})
                    await saturate(port, make, connections, count=count)
                    parts |= meter.read()
            limits.append({part: value / count * 1e3 for part, value in parts.items()})
            return sum(limits[-1].values())

        values, bare = await alternate(bench.rounds, run, limit, warm_up=False)
        shown: dict[str, Any] = {"sustained_per_second": median(run["per_second"] for run in runs), "cpu_ms": runs, "limit_cpu_ms": limits}
        return at_most(name, values, "ms CPU", bare, *bounds, **shown)

    async def _capacity(self, make: Make, size: int, connections: int) -> float:
        """Messages a second from the first request to the last record of a saturated run."""
        count = self._bench.scaled(8000, 600) // size
        began = time.monotonic()
        (await saturate(self._graphook.port, make, connections, count=count)).checked()
        await self._delivered(count * size)
        return count * size / (time.monotonic() - began)

    async def _delivered(self, count: int) -> None:
        self._created += count
        await self._graphook.delivered(self._created)
