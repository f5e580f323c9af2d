"""From when a `messageCreate` was due to the first byte at the receiver, at two hundred a second."""

from __future__ import annotations

import orjson

from benchmarks import queries
from benchmarks.harness import Bench, Figure, administer, alternate, at_most, http_get
from benchmarks.load import at_rate, percentile
from benchmarks.receivers import own_receiver

RATE = 200


async def measure(bench: Bench) -> list[Figure]:
    """p50 and p99 in milliseconds. The limit is a plain route that commits one row and then sends the payload on, at the same rate."""
    seconds = bench.scaled(20, 2)
    with own_receiver() as receiver:
        hook = f"http://127.0.0.1:{receiver}/hook"
        async with bench.graphook() as graphook:
            await administer(graphook.database_url, "CREATE TABLE bench_relay (id text PRIMARY KEY, body bytea NOT NULL)")
            apps = await graphook.applications(16, hook)
            make = queries.creates(graphook.token, [app["id"] for app in apps])
            created = 0

            async def arrivals() -> tuple[float, float]:
                taken = orjson.loads(await http_get(receiver, "/"))
                if len(taken) != RATE * seconds:
                    raise RuntimeError(f"{RATE * seconds} payloads were sent, {len(taken)} came")
                return percentile(taken, 50) * 1e3, percentile(taken, 99) * 1e3

            async def graphook_run() -> tuple[float, float]:
                nonlocal created
                (await at_rate(graphook.port, make, RATE, seconds)).checked()
                created += RATE * seconds
                await graphook.delivered(created)
                return await arrivals()

            with bench.bare(graphook.database_url, hook) as (port, _):

                async def relay_run() -> tuple[float, float]:
                    (
                        await at_rate(port, lambda number, due: make(number, due).replace(b" /graphql ", b" /relay ", 1), RATE, seconds)
                    ).checked()
                    return await arrivals()

                values, limits = await alternate(bench.rounds, graphook_run, relay_run)
    p50, p50_limit = [value[0] for value in values], [limit[0] for limit in limits]
    p99, p99_limit = [value[1] for value in values], [limit[1] for limit in limits]
    return [
        at_most("create → first byte, p50", p50, "ms", p50_limit, 20, 8),
        at_most("create → first byte, p99", p99, "ms", p99_limit, 100, 40),
    ]
