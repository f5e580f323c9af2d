"""What several processes write at once is locked in one order."""

from __future__ import annotations

import asyncio

import pytest

from graphook import database
from models import delivery
from models import delivery_sql as sql
from models.delivery import State
from tests.models import make
from tests.waiting import until

pytestmark = [pytest.mark.usefixtures("db"), pytest.mark.postgresql_only]


async def somebody_waits_for_a_lock() -> bool:
    async with database.read() as session:
        text = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await session.fetch_text(text))


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
            await delivery.disable([e.id for e in endpoints], failing_for_us=3_600_000_000)

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
