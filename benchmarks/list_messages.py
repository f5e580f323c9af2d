"""A list of a hundred messages with ten fields each, against the same rows read by one query and written by orjson."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks import cpu, queries
from benchmarks.harness import Bench, Figure, alternate, at_least
from benchmarks.load import saturate

DOCUMENT = """query List($appId: ID!) {
  messages(appId: $appId, first: 100) {
    nodes { id eventId eventType channels tags timestamp payload kind: __typename sentAt: timestamp type: eventType }
    pageInfo { endCursor hasNextPage } } }"""
CONNECTIONS = 16


async def measure(bench: Bench) -> list[Figure]:
    """Lists a second from one API process; the limit is a plain route. `of_memory` is the ratio to the same rows kept in memory."""
    seconds = bench.scaled(6, 1)
    async with bench.graphook(worker=False) as graphook:
        (app,) = await graphook.applications(1, None)
        await saturate(graphook.port, queries.create_batches(graphook.token, [app["id"]]), 2, count=3)
        make = queries.graphql(graphook.token, DOCUMENT, {"appId": app["id"]})
        costs: list[dict[str, float]] = []
        plain_costs: list[float] = []

        async def listed() -> float:
            meter = cpu.Meter(graphook.roots)
            measured = (await saturate(graphook.port, make, CONNECTIONS, seconds=seconds)).checked()
            costs.append({name: round(used / len(measured.latencies) * 1e6) for name, used in meter.read().items()})
            return measured.rate

        with bench.bare(graphook.database_url) as (port, pid):

            async def rate(path: str) -> float:
                request = queries.post(f"/{path}/{app['id']}", "none", b"{}")
                meter = cpu.Meter({"plain": pid})
                measured = (await saturate(port, lambda number, due: request, CONNECTIONS, seconds=seconds)).checked()
                plain_costs.append(meter.read()["plain"] / len(measured.latencies) * 1e6)
                return measured.rate

            values, limits = await alternate(bench.rounds, listed, lambda: rate("list"))
            by_cpu = median(plain_costs) / median(cost["api"] for cost in costs)
            of_memory = median(values) / await rate("kept")
    details: dict[str, Any] = {"cpu_us": costs, "plain_cpu_us": plain_costs, "ratio_by_cpu": by_cpu, "of_memory": of_memory}
    return [at_least("list of 100 messages", values, "lists/s", limits, 0.2, 0.5, **details)]
