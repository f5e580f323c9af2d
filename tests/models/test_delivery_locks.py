"""What several processes write at once is locked in one order, and no plan of the claim reads the backlog."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from graphook import database
from graphook.clock import now
from graphook.database import Statement
from graphook.ids import new_id, start_id
from models import breaker_sql, claiming_sql, delivery, endpoint_health, partitions, restriction_sql
from models import delivery_sql as sql
from models.delivery import State
from models.message import MAX_CONTENTS
from models.message_sql import CONTENTS
from tests.models import make
from tests.waiting import somebody_waits_for_a_lock, until

pytestmark = [pytest.mark.usefixtures("db"), pytest.mark.postgresql_only]

WEEKS = 14
BACKLOG = 20_000
OTHERS = 500
LANES = 64
PER_LANE = 10
BATCH = 100
FAR_AHEAD = 4_000_000_000_000_000


async def test_a_late_result_and_the_taking_back_of_its_lease_do_not_wait_for_each_other() -> None:
    """The lease is being taken back when its result comes in: the second waits for the first, and both end."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    (claim,) = await make.claims(endpoint, lease_us=0)
    locked = asyncio.Event()

    async def settle() -> None:
        await locked.wait()
        await delivery.settle([make.result(claim)])

    async def watch() -> None:
        await locked.wait()
        await until(somebody_waits_for_a_lock, "the result to wait for the lease to be taken back")

    # Begun outside the transaction, so that they take no part in it.
    settling, watching = asyncio.create_task(settle()), asyncio.create_task(watch())
    async with database.transaction() as session:
        assert len(await session.fetch(sql.EXPIRED, 10)) == 1
        locked.set()
        await watching
        assert (await delivery.take_back(10))[2] == 1
    await settling


async def test_claims_settlements_and_cancellations_at_once_do_not_lock_each_other_out() -> None:
    """Four claimers, with leases that are over at once, an endpoint that is disabled and enabled, and everybody's upkeep: no statement fails."""
    app = await make.application()
    endpoints = [await make.endpoint(app) for _ in range(6)]
    flickering = endpoints[-1]
    for _ in range(40):
        await make.message(app)
    ended = asyncio.Event()

    async def claim(worker: str) -> None:
        idle = 0
        while idle < 3:
            found = await make.claims(*endpoints, each=7, worker=worker, lease_us=0)
            idle = 0 if found else idle + 1
            states = [State.SUCCEEDED, State.FAILED]
            await delivery.settle([make.result(claim, states[n % 2]) for n, claim in enumerate(found)])

    async def keep_up() -> None:
        while not ended.is_set():
            await delivery.take_back(50)
            await delivery.promote(50)
            await endpoint_health.disable([(e.id, e.url) for e in endpoints], failing_for_us=3_600_000_000)

    async def flicker() -> None:
        for _ in range(5):
            await flickering.change({"disabled": True})
            await make.claims(flickering)
            await flickering.change({"disabled": False})

    upkeep = [asyncio.create_task(keep_up()) for _ in range(2)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(claim(f"worker {n}") for n in range(4)), flicker())
    ended.set()
    await asyncio.gather(*upkeep)

    async with database.read() as session:
        (row,) = await session.fetch_text("SELECT count(*) AS n FROM delivery WHERE state <= 2")
    assert row["n"] == 0


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_hot_statement_reads_more_than_it_takes_however_long_the_backlog(analyzed: bool, mode: str) -> None:
    lanes = await fill()
    picked = await explain(mode, analyzed, claiming_sql.PICK, lanes, PER_LANE)
    assert sum(read(node) for node in nodes(picked) if "Relation Name" in node) <= LANES * (PER_LANE + WEEKS + 4)
    found = await explain(mode, analyzed, sql.LANES, "", 1000)
    assert sum(read(node) for node in nodes(found) if "Relation Name" in node) <= (OTHERS + 2) * (WEEKS + 4)
    assert not [node for node in nodes(picked) if node["Node Type"] == "Sort" and rows(node["Plans"][0]) > LANES * PER_LANE], (
        "a backlog is sorted"
    )

    claimed = await explain(mode, analyzed, Statement(claiming_sql.CLAIM, ""), lanes, [PER_LANE] * LANES, [1] * LANES, "worker")
    assert max(read(node) for node in nodes(claimed) if "Relation Name" in node) <= 2 * LANES * PER_LANE

    few: list[tuple[Statement, tuple[Any, ...]]] = [
        (restriction_sql.PICK_HEADS, (lanes, [None] * LANES)),
        (restriction_sql.PICK_RESENDS, (lanes,)),
        (restriction_sql.IN_FLIGHT, (lanes,)),
        (breaker_sql.COUNT, (lanes, [start_id("atmpt_", now())] * LANES)),
    ]
    for statement, args in few:
        plan = await explain(mode, analyzed, statement, *args)
        assert sum(read(node) for node in nodes(plan) if "Relation Name" in node) <= LANES * (WEEKS + 4), statement.postgresql

    keys = await some_keys(BATCH)
    messages, endpoints, runs = (list(column) for column in zip(*keys, strict=True))
    ones, zeros = [1] * BATCH, [0] * BATCH
    batches: list[tuple[Statement, tuple[Any, ...]]] = [
        (claiming_sql.LEASE, (messages, endpoints, runs, ["worker"] * BATCH, ones, [False] * BATCH)),
        (claiming_sql.BODIES, (messages,)),
        (sql.SETTLE, (messages, endpoints, runs, ones, [int(State.WAITING)] * BATCH, zeros, ones, zeros, [None] * BATCH)),
        (sql.PROMOTE, (messages, endpoints, runs)),
        (CONTENTS, (messages, [FAR_AHEAD] * BATCH, MAX_CONTENTS)),
    ]
    for statement, args in batches:
        plan = await explain(mode, analyzed, statement, *args)
        assert max(read(node) for node in nodes(plan) if "Relation Name" in node) <= 2 * BATCH, statement.postgresql


async def fill() -> list[str]:
    """One endpoint with a long backlog and many others over fourteen weeks; answers with lanes, the busy one first."""
    start = now() - timedelta(weeks=WEEKS - 1)
    busy, others = "ep_0", [f"ep_{n}" for n in range(1, OTHERS + 1)]
    for week in range(0, WEEKS, 3):
        await partitions.ensure(start + timedelta(weeks=week))
    async with database.transaction() as session:
        moments = [start + timedelta(weeks=WEEKS - 1) * n / BACKLOG for n in range(BACKLOG)]
        ids = [new_id("msg_", moment) for moment in moments]
        endpoints = [busy] * BACKLOG + others
        messages = ids + ids[: len(others)]
        await session.fetch_text(
            """
            INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)
            SELECT m, e, 0, 'org', 'app', 0, 1 FROM unnest($1::text[], $2::text[]) AS d(m, e)""",
            messages,
            endpoints,
        )
        for table in ("message", "message_content"):
            columns = ", org_id, app_id, event_type, created_at" if table == "message" else ", body"
            values = ", 'org', 'app', 'a.b', 1" if table == "message" else ", ''"
            key = "id" if table == "message" else "message_id"
            await session.fetch_text(
                f"INSERT INTO {table} ({key}, expires_at{columns}) SELECT m, {FAR_AHEAD}{values} FROM unnest($1::text[]) AS m", ids
            )
    return [busy, *others][:LANES]


async def some_keys(count: int) -> list[Any]:
    async with database.read() as session:
        text = "SELECT message_id, endpoint_id, run FROM delivery WHERE endpoint_id = 'ep_0' ORDER BY message_id DESC LIMIT $1"
        return [tuple(row.values()) for row in await session.fetch_text(text, count)]


async def explain(mode: str, analyzed: bool, statement: Statement, *args: Any) -> Any:
    async with database.transaction() as session:
        if analyzed:
            for table in ("delivery", "message", "message_content"):
                await session.fetch_text(f"ANALYZE {table}")
        await session.fetch_text(f"SET LOCAL plan_cache_mode = {mode}")
        (row,) = await session.fetch_text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.postgresql}", *args)
    (explained,) = json.loads(row["QUERY PLAN"]) if isinstance(row["QUERY PLAN"], str) else row["QUERY PLAN"]
    return explained["Plan"]


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def read(node: Any) -> float:
    """The rows a scan has looked at, those it left out included."""
    left_out = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return rows(node) + float(left_out * node["Actual Loops"])


def rows(node: Any) -> float:
    return float(node["Actual Rows"] * node["Actual Loops"])
