"""Embedded SQLite with `synchronous=FULL`, from batches, against the same on PostgreSQL and Redis."""

from __future__ import annotations

import time

from benchmarks import cpu, queries
from benchmarks.harness import Bench, Figure, Graphook, alternate, at_least
from benchmarks.load import saturate

SIZE = 100


async def measure(bench: Bench) -> list[Figure]:
    """Messages a second from the first request to the last recorded attempt, on both at the same settings."""
    count = bench.scaled(10_000, 500)
    async with bench.graphook(embedded=True) as sqlite, bench.graphook() as postgresql:
        done = {"sqlite": 0, "postgresql": 0}
        costs: dict[str, list[dict[str, float]]] = {"sqlite": [], "postgresql": []}

        async def feed(name: str, graphook: Graphook) -> float:
            apps = await graphook.applications(16, bench.hook)
            make = queries.create_batches(graphook.token, [app["id"] for app in apps], SIZE)
            meter, began = cpu.Meter(graphook.roots), time.monotonic()
            (await saturate(graphook.port, make, 4, count=count // SIZE)).checked()
            done[name] += count
            await graphook.delivered(done[name])
            took = time.monotonic() - began
            costs[name].append({group: round(used / count * 1e6) for group, used in meter.read().items()})
            return count / took

        values, limits = await alternate(bench.rounds, lambda: feed("sqlite", sqlite), lambda: feed("postgresql", postgresql))
    return [at_least("embedded SQLite, from batches", values, "messages/s", limits, 0.5, 1.0, cpu_us=costs)]
