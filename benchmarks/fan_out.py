"""One message to ten thousand endpoints: how soon it is accepted, and what others' creates take until it is delivered."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from benchmarks import queries
from benchmarks.harness import Bench, Figure, Graphook, alternate, at_most
from benchmarks.load import at_rate, saturate
from graphook.clock import now, to_us
from graphook.ids import new_id
from graphook.secrets import KeyRing
from graphook.signing import generate_secret
from tests.deployment import SECRET_KEY

RATE = 50
PATIENCE = 300.0
_SENT = "SELECT count(*) FROM attempt WHERE app_id = $1"


async def measure(bench: Bench) -> list[Figure]:
    """Milliseconds. The limits are an ordinary `messageCreate` on the idle service, and others' creates without the big message."""
    endpoints = bench.scaled(10_000, 1200)
    async with bench.graphook() as graphook:
        big, *others = await graphook.applications(9, bench.hook)
        await _add_endpoints(graphook, big["id"], bench.hook, endpoints - 1)
        others_make = queries.creates(graphook.token, [app["id"] for app in others])
        big_make = queries.creates(graphook.token, [big["id"]])
        created = 0
        sent_after: list[float] = []

        async def with_big() -> tuple[float, float]:
            nonlocal created
            stop = asyncio.Event()
            load = asyncio.create_task(at_rate(graphook.port, others_make, RATE, PATIENCE, stop=stop))
            await asyncio.sleep(0.5)
            began = time.monotonic()
            accepted = (await saturate(graphook.port, big_make, 1, count=1)).checked()
            while (await graphook.ask(_SENT, big["id"]))[0][0] < endpoints * (len(sent_after) + 1):
                if time.monotonic() - began > PATIENCE:
                    raise RuntimeError(f"the fan-out is not done after {PATIENCE:g} s: {graphook.said()}")
                await asyncio.sleep(0.2)
            sent_after.append(time.monotonic() - began)
            stop.set()
            meanwhile = (await load).checked()
            created += endpoints + len(meanwhile.latencies)
            await graphook.delivered(created)
            return accepted.milliseconds(50), meanwhile.milliseconds(99)

        async def without() -> tuple[float, float]:
            nonlocal created
            single = (await saturate(graphook.port, others_make, 1, count=20)).checked()
            seconds = bench.scaled(10, 2)
            alone = (await at_rate(graphook.port, others_make, RATE, seconds)).checked()
            created += 20 + RATE * seconds
            await graphook.delivered(created)
            return single.milliseconds(50), alone.milliseconds(99)

        values, limits = await alternate(bench.rounds, with_big, without, warm_up=False)
    accepted, p99 = [value[0] for value in values], [value[1] for value in values]
    name = f"one message to {endpoints:,} endpoints"
    return [
        at_most(f"{name}, accepted", accepted, "ms", [limit[0] for limit in limits], 500, 100, all_sent_after_s=sent_after),
        at_most(f"{name}, others' create p99", p99, "ms", [limit[1] for limit in limits], 200, 100),
    ]


async def _add_endpoints(graphook: Graphook, app_id: str, url: str, count: int) -> None:
    """More endpoints of an application, written as the service would have written them."""
    ring = KeyRing([SECRET_KEY])
    at = now()
    rows = []
    for _ in range(count):
        endpoint_id = new_id("ep_", at)
        sealed = {
            column: ring.encrypt(text, f"endpoint.{column}:{endpoint_id}")
            for column, text in (("headers", "{}"), ("secret", generate_secret()), ("old_secrets", "[]"))
        }
        rows.append((endpoint_id, graphook.org_id, app_id, url, "", "{}", *sealed.values(), to_us(at), to_us(at), 1, False))
    columns = "id org_id app_id url description metadata headers secret old_secrets created_at updated_at version disabled".split()
    connection = await asyncpg.connect(graphook.database_url)
    try:
        await connection.copy_records_to_table("endpoint", columns=columns, records=rows)
    finally:
        await connection.close()
