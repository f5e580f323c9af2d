"""Retention: what is past goes, what is still to be sent stays, and the partitions are there before they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from graphook import database
from graphook.clock import now
from graphook.database import Statement
from graphook.errors import Conflict
from graphook.ids import new_id
from models import delivery, partitions, retention
from models.application import Application
from models.claim import Claim
from models.delivery import State
from models.message import Message, NewMessage
from models.partitions import AHEAD, WEEK, Partition, week_of
from models.task import Task, TaskType, forget_ended
from tests.models import make
from tests.waiting import PATIENCE
from workers.prune import prune

pytestmark = pytest.mark.usefixtures("db")

OLD = timedelta(days=100)
TABLES = ("message", "delivery", "attempt", "message_content", "message_key")


async def count() -> dict[str, int]:
    """The number of rows of each table."""
    async with database.read() as session:
        return {table: (await session.fetch(Statement.same(f"SELECT count(*) AS n FROM {table}")))[0]["n"] for table in TABLES}


async def names(session: Any = None) -> set[str]:
    async with database.read() as session:
        return {partition.name for partition in await partitions.existing(session)}


async def old_message(app: Application, age: timedelta = OLD, **values: Any) -> str:
    """A message accepted that long ago, on PostgreSQL in partitions of its week."""
    await partitions.ensure(now() - age)
    return await make.message(app, created_at=now() - age, **values)


async def deliver(app: Application, endpoint: Any) -> Sequence[Claim]:
    """Everything ready for the endpoint, sent and settled; its content may have expired."""
    claims = await make.claims(endpoint, each=100)
    await delivery.settle([make.result(claim) for claim in claims])
    return claims


async def test_old_messages_go_with_all_that_belongs_to_them_and_new_ones_stay() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await old_message(app, event_id="again")
    new = await make.message(app, event_id="other")
    assert len(await deliver(app, endpoint)) == 2
    assert await count() == dict.fromkeys(TABLES, 2)
    with pytest.raises(Conflict):
        raise (await Message.accept([NewMessage(app.org_id, app.id, "a.b", b"{}", event_id="again")])).outcomes[0]  # type: ignore[misc]

    await prune(90)
    await prune(90)  # on PostgreSQL the event id goes once the partition is gone

    assert await count() == dict.fromkeys(TABLES, 1)
    assert (await Message.load(app, new)).event_id == "other"
    assert await make.message(app, event_id="again"), "the event id is free again"


async def test_nothing_that_is_still_to_be_sent_is_dropped_however_old() -> None:
    """A message is kept in each open state; once its last delivery is final, it goes."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await old_message(app, retention=timedelta(days=120))

    await prune(90)
    assert (await count())["message"] == 1, "ready"
    (claim,) = await make.claims(endpoint)
    await prune(90)
    assert (await count())["message"] == 1, "leased"
    await delivery.settle([make.result(claim, State.WAITING, delay=3_600_000_000, status=500)])
    await prune(90)
    assert (await count())["message"] == 1, "waiting"
    await _make_due()
    (claim,) = await make.claims(endpoint)
    assert claim.body is not None
    await delivery.settle([make.result(claim, State.FAILED, status=500)])
    await delivery.resend(await Message.load(app, message_id), endpoint)
    await prune(90)
    assert (await count())["delivery"] == 2, "sent again by hand"
    await deliver(app, endpoint)
    await prune(90)

    assert await count() == dict.fromkeys(TABLES, 0)


async def _make_due() -> None:
    async with database.transaction() as session:
        await session.fetch(Statement.same("UPDATE delivery SET due_at = 0"))
    await delivery.promote(10)


async def test_a_process_whose_clock_is_ahead_forgets_nothing_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    sent, unsent = await make.message(app), await make.message(app)
    (claim,) = await make.claims(endpoint, each=1)
    await delivery.settle([make.result(claim)])
    monkeypatch.setattr("workers.prune.now", lambda: now() + timedelta(days=500))

    await prune(90)

    assert set(await Message.load_many(app.id, [sent, unsent])) == {sent, unsent}
    (claim,) = await make.claims(endpoint)
    assert (claim.message_id, claim.body is not None) == (unsent, True)


async def test_a_message_whose_endpoints_are_still_paged_through_is_kept() -> None:
    app = await make.application()
    message_id = await old_message(app)
    async with database.transaction() as session:
        await session.fetch(
            Statement.same("INSERT INTO fanout (message_id, app_id, after_endpoint) VALUES ($1, $2, '')"), message_id, app.id
        )

    await prune(90)

    assert (await count())["message"] == 1


async def test_zero_days_keep_messages_for_ever() -> None:
    app = await make.application()
    await old_message(app)

    await prune(0)

    assert (await count())["message"] == 1


async def test_a_payload_that_has_expired_is_neither_read_nor_sent() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await old_message(app, timedelta(days=10), retention=timedelta(days=9))

    message = await Message.load(app, message_id)
    assert await Message.contents([message]) == {}
    assert [claim.body for claim in await make.claims(endpoint)] == [None]


async def test_a_payload_goes_with_its_message_when_that_goes_first() -> None:
    app = await make.application()
    await old_message(app, timedelta(days=40), retention=timedelta(days=90))

    await prune(20)
    await prune(20)

    assert await count() == dict.fromkeys(TABLES, 0)


async def test_a_batch_is_bounded_and_says_that_there_is_more() -> None:
    app = await make.application()
    batch = [NewMessage(app.org_id, app.id, "a.b", b"{}", created_at=now() - OLD) for _ in range(25)]
    await Message.accept(batch)  # on PostgreSQL no partition is there: they are in the default one

    assert [await retention.delete_rows(now() - timedelta(days=90), 10) for _ in range(4)] == [10, 10, 5, 0]
    assert (await count())["message"] == 0


@pytest.mark.postgresql_only
async def test_past_partitions_are_dropped_whole_and_expired_payloads_with_theirs() -> None:
    app = await make.application()
    await old_message(app)
    week = week_of(now() - OLD)
    old = {Partition(table, week).name for table in ("message", "delivery", "attempt", "message_content")}
    assert old <= await names()

    await prune(90)

    assert not old & await names()
    current = {Partition(table, week_of(now())).name for table in AHEAD}
    assert current <= await names()


@pytest.mark.postgresql_only
async def test_a_partition_in_use_is_dropped_another_time(db: str) -> None:
    app = await make.application()
    await old_message(app)
    name = Partition("message", week_of(now() - OLD)).name
    reader = await asyncpg.connect(db)
    try:
        async with reader.transaction():
            await reader.fetch(f"SELECT * FROM {name}")
            await prune(90)
            assert name in await names()
        await prune(90)
        assert name not in await names()
    finally:
        await reader.close()


@pytest.mark.postgresql_only
async def test_what_belongs_to_a_week_that_is_kept_is_not_looked_through_for_what_is_gone(db: str) -> None:
    """Somebody has the week's messages to himself: whoever read them would wait. What belongs to a week that is gone goes all the same."""
    app = await make.application()
    week = week_of(now() - OLD)
    await old_message(app, now() - week + timedelta(days=7), event_id="of a week that is gone", retention=timedelta(days=120))
    await old_message(app, now() - week, event_id="of the week", retention=timedelta(days=120))
    async with database.transaction() as session:
        await session.fetch_text(f"DROP TABLE {Partition('message', week - WEEK).name}")
    other = await asyncpg.connect(db)
    try:
        async with other.transaction():
            await other.execute(f"LOCK TABLE {Partition('message', week).name} IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(PATIENCE):
                assert [await retention.delete_rows(week + timedelta(days=3), 10) for _ in range(2)] == [1, 0]
    finally:
        await other.close()

    counted = await count()
    assert (counted["message"], counted["message_key"], counted["message_content"]) == (1, 1, 1)


@pytest.mark.postgresql_only
async def test_one_process_at_a_time_forgets(db: str) -> None:
    app = await make.application()
    await old_message(app)
    other = await asyncpg.connect(db)
    try:
        async with other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock(hashtext('graphook_retention'))")
            await prune(90)
            assert (await count())["message"] == 1
        await prune(90)
    finally:
        await other.close()

    assert (await count())["message"] == 0


@pytest.mark.postgresql_only
async def test_a_resend_never_slips_in_between_the_look_and_the_drop() -> None:
    """While many resend old messages, prune runs: each delivery that was added is either kept or its resend failed."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await old_message(app, retention=timedelta(days=120))
    await deliver(app, endpoint)
    message = await Message.load(app, message_id)

    results = await asyncio.gather(*(delivery.resend(message, endpoint) for _ in range(5)), prune(90), return_exceptions=True)

    assert not any(isinstance(result, asyncpg.DeadlockDetectedError) for result in results), results
    counted = await count()
    if counted["message"]:
        assert counted["delivery"] >= 2
    else:
        # They came after the message was gone: nothing is sent, and the next run clears them away once they are canceled.
        assert all(claim.body is None for claim in await make.claims(endpoint, each=10))


@pytest.mark.postgresql_only
async def test_rows_in_the_default_partition_do_not_keep_their_partition_from_being_made() -> None:
    """Messages of a week that nobody made partitions for: they are moved when it is made, and deliver as ever."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    ahead = now() + timedelta(weeks=30)
    message_id = await make.message(app, created_at=ahead)
    async with database.read() as session:
        assert dict(await partitions.strays(session)) == {"message": 1, "delivery": 1, "attempt": 0, "message_content": 1}
        ((before,),) = await session.fetch_text("SELECT xid::text FROM message")

    made = await partitions.ensure(ahead)
    content_week = week_of(ahead + timedelta(days=90))
    assert f"message_{week_of(ahead):%Y%m%d}" in made
    assert Partition("message_content", content_week).name in made

    async with database.read() as session:
        assert set((await partitions.strays(session)).values()) == {0}
        ((after,),) = await session.fetch_text("SELECT xid::text FROM message")
    assert after == before, "live cursors still find it in its place"
    assert [claim.message_id for claim in await deliver(app, endpoint)] == [message_id]


@pytest.mark.postgresql_only
async def test_a_partition_that_cannot_be_made_now_keeps_nothing_else_from_being_forgotten(db: str) -> None:
    """As while a dump reads all tables for hours."""
    missing = Partition("delivery", week_of(now()) + WEEK)
    async with database.transaction() as session:
        await session.fetch_text(f"DROP TABLE {missing.name}")
    await make.message(await make.application(), created_at=now() - timedelta(days=400), retention=timedelta(days=1))
    dump = await asyncpg.connect(db)
    reading = dump.transaction()
    await reading.start()
    await dump.execute("LOCK TABLE delivery_default IN ACCESS SHARE MODE")

    await prune(0)

    assert ((await count())["message_content"], missing.name in await names()) == (0, False)
    await reading.commit()
    await dump.close()
    assert await partitions.ensure() == [missing.name]


@pytest.mark.postgresql_only
async def test_a_partition_has_the_indexes_and_options_of_its_table() -> None:
    async with database.read() as session:
        rows = await session.fetch_text(
            """
            SELECT parent.relname AS parent, count(*) FILTER (WHERE i.inhrelid IS NOT NULL) AS attached, count(*) AS indexes
            FROM pg_inherits p JOIN pg_class parent ON parent.oid = p.inhparent AND parent.relkind = 'p'
            JOIN pg_index x ON x.indrelid = p.inhrelid LEFT JOIN pg_inherits i ON i.inhrelid = x.indexrelid
            GROUP BY parent.relname, p.inhrelid"""
        )
        expected = {"message": 6, "delivery": 7, "attempt": 5, "message_content": 1}
        assert {(row["parent"], row["attached"], row["indexes"]) for row in rows} == {(t, n, n) for t, n in expected.items()}
        ((found,),) = await session.fetch_text(
            "SELECT reloptions FROM pg_class WHERE relname = $1", Partition("delivery", week_of(now())).name
        )
    options: list[str] = list(found)
    assert options == ["fillfactor=70"]


@pytest.mark.postgresql_only
async def test_two_processes_may_make_partitions_at_once() -> None:
    at = now() + timedelta(weeks=40)
    made = await asyncio.gather(*(partitions.ensure(at) for _ in range(3)))
    flat = [name for names in made for name in names]
    assert len(flat) == len(set(flat)) == sum(AHEAD.values())


async def test_expired_content_of_the_default_partition_goes_in_batches(db: str) -> None:
    app = await make.application()
    created = now() - timedelta(days=400)
    await make.message(app, created_at=created, retention=timedelta(days=1))
    assert (await count())["message_content"] == 1

    await prune(0)

    counted = await count()
    assert (counted["message"], counted["message_content"]) == (1, 0)


@pytest.mark.postgresql_only
async def test_of_two_that_forget_at_once_neither_waits_for_the_other() -> None:
    org_id, old, kind = (await make.application()).org_id, now() - OLD, TaskType.ENDPOINT_RECOVER.value
    more: dict[str, Any] = {"arguments": {}, "state": {}, "data": {}, "created_at": old, "updated_at": old}
    for _ in range(2):
        await Task.create(id=new_id("qtask_", old), org_id=org_id, type=kind, status="finished", **more)
    first = asyncio.Event()

    async def forget_the_rest() -> int:
        await first.wait()
        async with asyncio.timeout(PATIENCE):
            return await forget_ended(now() - timedelta(days=90), 10)

    rest = asyncio.create_task(forget_the_rest())
    async with database.transaction():
        assert await forget_ended(now() - timedelta(days=90), 1) == 1
        first.set()
        assert await rest == 1


async def test_tasks_that_ended_long_ago_are_forgotten_and_no_others() -> None:
    org_id, old, kind = (await make.application()).org_id, now() - OLD, TaskType.ENDPOINT_RECOVER.value
    for name, begun, status, ended in (
        ("past", old, "failed", old),
        ("running", old, "running", old),
        ("late", old, "finished", now()),
        ("new", now(), "finished", now()),
    ):
        more: dict[str, Any] = {"arguments": {"name": name}, "state": {}, "data": {}, "created_at": begun, "updated_at": ended}
        await Task.create(id=new_id("qtask_", begun), org_id=org_id, type=kind, status=status, **more)

    await prune(0)
    assert await Task.all().count() == 4
    assert await prune(90) == 1
    assert sorted([row.arguments["name"] for row in await Task.all()]) == ["late", "new", "running"]
