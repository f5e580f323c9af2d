"""One message to a hundred thousand applications: how fast they get it, and that a worker killed half way leaves none out and none twice."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg

from benchmarks.harness import Bench, Figure, Graphook, alternate, at_least, bare_program
from graphook.clock import now, to_us
from graphook.ids import new_id
from tests.operations import operations
from tests.stories.test_recovery import child_processes, kill

PATIENCE = 900.0
# A killed worker's task is taken up again when its lease has run out.
LEASE_SECONDS = 30


async def measure(bench: Bench) -> list[Figure]:
    """Messages a second, without endpoints. The limit is COPY of as many messages with their content and a delivery, two connections."""
    count = bench.scaled(100_000, 2000)
    async with bench.graphook() as graphook:
        (app,) = await graphook.applications(1, bench.hook)
        where = (graphook.database_url, graphook.org_id, app["id"], app["endpoint"]["id"])
        await _add_applications(graphook, count - 1)

        async def broadcast() -> float:
            began = time.monotonic()
            await _finished(graphook, await _begin(graphook, "bench"))
            return count / (time.monotonic() - began)

        async def copied() -> float:
            done = bare_program("copy", *where, str(count // 100), "2")
            return count / done["seconds"]

        values, limits = await alternate(bench.rounds, broadcast, copied, warm_up=False)
        took = await _killed_half_way(graphook, count)
    return [at_least(f"broadcast to {count:,} applications", values, "messages/s", limits, 0.3, 0.6, killed_and_finished_s=took)]


async def _killed_half_way(graphook: Graphook, count: int) -> float:
    """Kill the worker in the middle of a broadcast and start another one. Raises when an application got nothing, or got it twice."""
    began = time.monotonic()
    task = await _begin(graphook, "bench.killed")
    while (await _task(graphook, task))["progress"] < 50:
        await asyncio.sleep(0.005)
    worker = graphook.processes.pop()
    for pid in (*await child_processes(worker.popen.pid), worker.popen.pid):
        kill(pid)
    await asyncio.to_thread(worker.popen.wait)
    half = await _task(graphook, task)
    if half["status"] != "RUNNING":
        raise RuntimeError("the broadcast was over before the worker was killed; ask for more applications")
    graphook.start_worker()
    done = await _finished(graphook, task)
    of_task = "FROM message WHERE event_type = 'bench.killed' AND org_id = $1"
    ((messages, applications),) = await graphook.ask(f"SELECT count(*), count(DISTINCT app_id) {of_task}", graphook.org_id)
    if not messages == applications == done["data"]["created"] == count:
        raise RuntimeError(f"{count} applications should have one message each: {messages} messages in {applications}, {done['data']}")
    return time.monotonic() - began


async def _begin(graphook: Graphook, event_type: str) -> str:
    given = {"eventType": event_type, "payload": {"text": "x" * 1000}}
    return str((await graphook.tenant.do("MessageBroadcast", input=given))["id"])


async def _task(graphook: Graphook, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await graphook.tenant.execute(operations()["BackgroundTask"], {"id": task_id})
    return found


async def _finished(graphook: Graphook, task_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE + LEASE_SECONDS
    while (found := await _task(graphook, task_id))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            raise RuntimeError(f"the broadcast is not finished after {PATIENCE:g} s: {graphook.said()}")
        await asyncio.sleep(0.02)
    if found["status"] != "FINISHED":
        raise RuntimeError(f"the broadcast failed: {found['data']}")
    return found


async def _add_applications(graphook: Graphook, count: int) -> None:
    """More applications, written as the service would have written them."""
    at = now()
    rows = [(new_id("app_", at), graphook.org_id, "bench", "{}", to_us(at), to_us(at)) for _ in range(count)]
    connection = await asyncpg.connect(graphook.database_url)
    try:
        columns = ["id", "org_id", "name", "metadata", "created_at", "updated_at"]
        await connection.copy_records_to_table("application", columns=columns, records=rows)
    finally:
        await connection.close()
