"""Statistics: every attempt counts exactly once, however often it is recorded and whoever adds up, and a month is read in milliseconds."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

import pytest

from graphook import database
from graphook.clock import from_us, now, to_us
from graphook.database import Statement
from models import delivery, statistic
from models.application import Application
from models.delivery import State
from models.endpoint import Endpoint
from models.message import Message
from models.statistic import DAY, STEP
from tests.models import make
from workers.prune import prune

pytestmark = pytest.mark.usefixtures("db")

# When `make.result` says that attempts were.
AT = from_us(1_800_000_000_000_000)


async def folded(limit: int = 1000) -> None:
    """Everything recorded so far is added up."""
    while await statistic.fold(limit):
        pass


async def sums(app: Application, endpoint: Endpoint | None = None, width: timedelta = STEP) -> tuple[int, int]:
    found = await statistic.series(app.id, endpoint.id if endpoint else None, AT - DAY, AT + DAY, width)
    return sum(found.succeeded), sum(found.failed)


async def destinations(app: Application, since: datetime = AT - DAY, until: datetime = AT + DAY) -> int:
    async with database.read() as session:
        return (await statistic.usage(session, [app.id], since, until)).get(app.id, 0)


async def test_the_count_of_a_day_is_kept_until_all_of_the_day_is_past() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    await folded()
    midnight = AT.replace(hour=0, minute=0, second=0, microsecond=0)

    await statistic.delete_old(midnight + DAY - timedelta(seconds=1), 100)
    assert (await sums(app, width=DAY), await sums(app, endpoint, DAY)) == ((1, 0), (1, 0))
    await statistic.delete_old(midnight + DAY, 100)
    assert await sums(app, width=DAY) == (0, 0)


async def test_what_is_settled_twice_counts_once() -> None:
    app = await make.application()
    endpoint, other = await make.endpoint(app), await make.endpoint(app)
    for _ in range(3):
        await make.message(app)
    claims = await make.claims(endpoint, other)
    results = [make.result(claim, State.SUCCEEDED if claim.endpoint.id == endpoint.id else State.FAILED) for claim in claims]

    await delivery.settle(results)
    await folded()
    await delivery.settle(results)
    await folded(limit=1)

    for width in (STEP, DAY):
        assert await sums(app, width=width) == (3, 3)
        assert await sums(app, endpoint, width) == (3, 0)
        assert await sums(app, other, width) == (0, 3)
    assert await destinations(app) == 6
    assert await statistic.fold(1000) == 0


async def test_a_retry_and_an_interruption_add_attempts_and_no_destination() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    assert len(await make.claims(endpoint, lease_us=0)) == 1
    await delivery.take_back(10)
    await folded()
    at = now()
    assert await destinations(app, at - STEP, at) == 0, "an interrupted attempt may not have been one"
    assert sum((await statistic.series(app.id, None, at - STEP, at, STEP)).failed) == 0
    for state in (State.WAITING, State.SUCCEEDED):
        (claim,) = await make.claims(endpoint)
        await delivery.settle([make.result(claim, state, delay=0 if state is State.WAITING else None)])
        await delivery.promote(10)
        await folded()

    assert await sums(app, endpoint) == (1, 1)
    assert await destinations(app) == 1


async def test_a_resend_adds_no_destination_though_it_comes_before_what_is_scheduled() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message = await Message.load(app, await make.message(app, deliver_at=now() + timedelta(hours=1)))
    await delivery.resend(message, endpoint)
    (resent,) = await make.claims(endpoint)
    await delivery.settle([make.result(resent)])
    await folded()
    assert await destinations(app) == 0

    async with database.transaction() as session:
        await session.fetch_text("UPDATE delivery SET due_at = 0 WHERE run = 0")
    await delivery.promote(10)
    assert len(await make.claims(endpoint, lease_us=0)) == 1
    await delivery.take_back(10)
    (scheduled,) = await make.claims(endpoint)
    await delivery.settle([make.result(scheduled)])
    await folded()

    assert await sums(app, endpoint) == (2, 0)
    assert await destinations(app) == 1


async def test_an_interrupted_attempt_counts_once_its_own_process_reports_it() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    (late,) = await make.claims(endpoint, lease_us=0)
    await delivery.take_back(10)
    await folded()
    (second,) = await make.claims(endpoint)
    await delivery.settle([make.result(second)])
    await folded()
    assert await sums(app) == (1, 0)

    for _ in range(2):
        await delivery.settle([make.result(late)])
        await folded()

    assert await sums(app, endpoint) == (2, 0)
    assert await destinations(app) == 1


async def test_whoever_adds_up_at_once_adds_up_once() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(20):
        await make.message(app)
    for _ in range(4):
        await delivery.settle([make.result(claim) for claim in await make.claims(endpoint, each=5)])

    await asyncio.gather(*(folded(limit=1) for _ in range(4)))
    await folded()

    assert await sums(app) == (20, 0)


async def test_a_usage_takes_whole_days_and_five_minutes_at_its_ends() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    start = datetime.fromisoformat("2026-03-01T00:00:00Z")
    offsets = [timedelta(hours=23, minutes=57), DAY, DAY * 2 - STEP, DAY * 2, DAY * 2 + timedelta(minutes=7)]
    for offset in offsets:
        await make.message(app)
        (claim,) = await make.claims(endpoint)
        await delivery.settle([make.result(claim, at=to_us(start + offset))])
    await folded()

    def within(since: timedelta, until: timedelta) -> int:
        return sum(since <= offset < until for offset in offsets)

    edges = [timedelta(0), DAY - STEP, DAY, DAY + STEP, DAY * 2, DAY * 2 + STEP, DAY * 2 + STEP * 2, DAY * 3]
    for since in edges:
        for until in edges:
            if since < until:
                assert await destinations(app, start + since, start + until) == within(since, until), (since, until)


async def test_a_month_is_read_in_milliseconds() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    step, day = (round(width.total_seconds()) * 1_000_000 for width in (STEP, DAY))
    first = to_us(AT) // day * day
    rows = [
        (app.id, endpoint_id, width, bucket, 1_000_000, 1, 1_000_000)
        for endpoint_id in ("", endpoint.id)
        for width in (step, day)
        for bucket in range(first, first + 31 * day, width)
    ]
    async with database.transaction() as session:
        await session.write_rows(_INSERT, rows)
    since, until = from_us(first) + STEP, from_us(first + 31 * day) - STEP

    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        month = await statistic.series(app.id, endpoint.id, since, until, DAY)
        used = await destinations(app, since, until)
        seconds.append(time.perf_counter() - began)

    assert (len(month.succeeded), sum(month.succeeded)) == (31, 31_000_000)
    assert used == 29 * 1_000_000 + 2 * 287 * 1_000_000
    # The quickest of them was not held up by what else the machine has to do.
    assert min(seconds) < 0.25, f"{min(seconds):.3f} s, usually a few milliseconds"


async def test_statistics_go_with_the_attempts() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    for age in (timedelta(days=40), timedelta(days=10)):
        await make.message(app)
        (claim,) = await make.claims(endpoint)
        await delivery.settle([make.result(claim, at=to_us(now() - age))])
    await folded()

    await prune(30)

    assert await destinations(app, now() - timedelta(days=60), now()) == 1


_INSERT = Statement(
    postgresql="""
        INSERT INTO attempt_statistic SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                                                          $7::bigint[])""",
    sqlite="INSERT INTO attempt_statistic VALUES (?, ?, ?, ?, ?, ?, ?)",
)
