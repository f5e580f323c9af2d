"""`messageCreateBatch` of a hundred, durable on return, against COPY of the same rows with asyncpg."""

from __future__ import annotations

from benchmarks import cpu, queries
from benchmarks.harness import Bench, Figure, alternate, at_least, bare_program
from benchmarks.load import saturate

SIZE = 100
CONNECTIONS = 8


async def measure(bench: Bench) -> list[Figure]:
    """Messages a second with eight batches under way, each message with one delivery; COPY has as many connections and transactions as large."""
    batches = bench.scaled(200, 8)
    async with bench.graphook(worker=False) as graphook:
        apps = await graphook.applications(16, bench.hook)
        make = queries.create_batches(graphook.token, [app["id"] for app in apps], SIZE)
        costs: list[dict[str, float]] = []
        copy_costs: list[dict[str, float]] = []

        async def create() -> float:
            meter = cpu.Meter(graphook.roots)
            measured = (await saturate(graphook.port, make, CONNECTIONS, count=batches)).checked()
            costs.append({name: round(used / batches / SIZE * 1e6) for name, used in meter.read().items()})
            return measured.rate * SIZE

        async def copy() -> float:
            where = (graphook.database_url, graphook.org_id, apps[0]["id"], apps[0]["endpoint"]["id"])
            meter = cpu.Meter(graphook.roots)
            done = bare_program("copy", *where, str(batches), str(CONNECTIONS))
            used = {"copy": done["cpu"], "postgresql": meter.read()["postgresql"]}
            copy_costs.append({name: round(seconds / batches / SIZE * 1e6) for name, seconds in used.items()})
            return batches * SIZE / done["seconds"]

        values, limits = await alternate(bench.rounds, create, copy)
    return [at_least("messageCreateBatch of 100", values, "messages/s", limits, 0.25, 0.5, cpu_us=costs, copy_cpu_us=copy_costs)]
