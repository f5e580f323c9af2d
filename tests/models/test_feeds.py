"""The live cursor: attempts and messages in the order of their commits, also when rows commit out of id order."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from graphook import database
from graphook import feed as feed_module
from graphook.clock import now
from graphook.errors import InvalidInput, Unavailable
from graphook.feed import Chunk, Event, Feed, Overflow, Position
from graphook.ids import end_id
from models import delivery
from models.attempt import Attempt
from models.cursor import KEPT_STARTS, START, CommitSource, Cursors
from models.feeds import ATTEMPT, ATTEMPTS, MESSAGE, MESSAGES
from models.message import COLUMNS, Message
from models.message_stream import Wanted, read_page
from tests.models import make
from tests.order import settled_order
from tests.waiting import PATIENCE, until


async def reading(feed: Feed[Attempt], app_id: str) -> None:
    """Return once the feed follows the application: what commits from now on is seen."""
    await until(lambda: app_id in feed._readers and feed._readers[app_id]._position is not None, "the reader")


async def test_a_reader_sees_every_attempt_once_while_writers_overlap(db: str) -> None:
    app = await make.application()
    endpoints = [await make.endpoint(app) for _ in range(6)]
    for _ in range(20):
        await make.message(app)
    feed = Feed(ATTEMPTS)
    seen: list[Event[Attempt]] = []

    async def follow() -> None:
        async for event in feed.follow(app.org_id, app.id, None):
            seen.append(event)  # noqa: PERF401 - the list is looked at meanwhile

    follower = asyncio.create_task(follow())
    await reading(feed, app.id)

    async def write(number: int) -> None:
        while claims := await make.claims(endpoints[number], each=3, worker=f"writer {number}"):
            await delivery.settle([make.result(claim) for claim in claims])
            feed.wake(app.id)

    await asyncio.gather(*(write(n) for n in range(6)))
    await until(lambda: len(seen) >= 120, lambda: f"120 attempts, {len(seen)} so far")
    follower.cancel()

    ids = [event.item.id for event in seen]
    assert len(ids) == len(set(ids)) == 120
    positions = [event.position for event in seen]
    assert positions == sorted(positions)


async def test_a_reader_that_stumbles_goes_on_and_misses_nothing(db: str) -> None:
    fallen: list[str] = []

    class Stumbling:
        head = ATTEMPTS.head

        async def read(self, key: str, after: Position, limit: int) -> Chunk[Attempt]:
            if not fallen:
                fallen.append(key)
                raise RuntimeError("a statement took too long")
            return await ATTEMPTS.read(key, after, limit)

    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    feed, seen = Feed(Stumbling()), list[str]()

    async def follow() -> None:
        async for event in feed.follow(app.org_id, app.id, None):
            seen.append(event.item.message_id)

    follower = asyncio.create_task(follow())
    await reading(feed, app.id)
    await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    feed.wake(app.id)

    await until(lambda: seen == [message_id], "the attempt")
    follower.cancel()


async def test_a_reader_that_waits_for_the_database_looks_once_a_second_whatever_it_had_seen_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "TICK", 0.5)
    failed: list[float] = []
    hidden = False

    class Failing:
        async def head(self) -> Position:
            return START

        async def read(self, key: str, after: Position, limit: int) -> Chunk[Attempt]:
            nonlocal hidden
            if not hidden:
                hidden = True
                return Chunk([], hidden=True)
            failed.append(asyncio.get_running_loop().time())
            raise Unavailable("The database is not available; nothing was read.")

    feed = Feed(Failing())
    stream = feed.follow("org_a", "app_a", None)
    following = asyncio.ensure_future(anext(stream))
    await reading(feed, "app_a")
    feed.wake("app_a")

    await until(lambda: len(failed) > 2, "looks that fail")
    following.cancel()
    assert failed[2] - failed[1] >= 0.5


@pytest.mark.postgresql_only
async def test_a_row_that_can_be_read_only_after_the_look_is_told_to_be_hidden(db: str) -> None:
    app = await make.application()
    start = await MESSAGES.head()
    older = await asyncpg.connect(db)
    open_transaction = older.transaction()
    await open_transaction.start()
    await older.execute("SELECT pg_current_xact_id()")
    await make.message(app)

    class Overtaken(CommitSource[Message]):
        async def read_in(self, *args: Any) -> list[Event[Message]]:
            found = await super().read_in(*args)
            await open_transaction.commit()
            return found

    chunk = await Overtaken("message", COLUMNS, Message.of).read(app.id, start, 10)
    await older.close()

    assert (list(chunk.events), chunk.hidden) == ([], True), "whoever reads looks again at once"


@pytest.mark.postgresql_only
async def test_a_row_that_commits_late_with_an_early_id_is_not_missed(db: str) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(2):
        await make.message(app)
    early, _ = await make.claims(endpoint)
    source = ATTEMPTS
    start = await source.head()
    slow = await asyncpg.connect(db)
    open_transaction = slow.transaction()
    await open_transaction.start()
    # It takes its place in the order of transactions first and commits last.
    await slow.execute("UPDATE endpoint SET description = 'held' WHERE id = $1", endpoint.id)
    await slow.execute(
        "INSERT INTO attempt (id, message_id, endpoint_id, run, claim, org_id, app_id, status, trigger_type, url, response_status_code, response,"
        " request_headers, sensitive_headers, started_at, duration_ms) VALUES ('atmpt_000000000000000000000000001', $1, $2, 0, 1, $3, $4, 0, 0,"
        " 'u', 200, '', '[]', '[]', 1, 1)",
        early.message_id, endpoint.id, app.org_id, app.id,
    )  # fmt: skip
    other = await make.endpoint(app)
    message_id = await make.message(app)
    (claim,) = [c for c in await make.claims(other) if c.message_id == message_id]
    await delivery.settle([make.result(claim)])

    hidden = await source.read(app.id, start, 100)
    assert (hidden.events, hidden.hidden) == ([], True), "what follows an open transaction waits for it"

    await open_transaction.commit()
    await slow.close()
    await settled_order(db)
    chunk = await source.read(app.id, start, 100)
    assert [event.item.message_id for event in chunk.events] == [early.message_id, message_id]
    assert chunk.hidden is False
    rest = await source.read(app.id, chunk.events[0].position, 100)
    assert [event.item.message_id for event in rest.events] == [message_id]


async def test_a_subscriber_that_does_not_keep_up_is_told_to_resume(db: str) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(12):
        await make.message(app)
    claims = await make.claims(endpoint, each=20)
    feed = Feed(ATTEMPTS, queue=5)
    stream = feed.follow(app.org_id, app.id, None)
    first = asyncio.ensure_future(anext(stream))
    try:
        await reading(feed, app.id)
        await delivery.settle([make.result(claims[0])])
        feed.wake(app.id)
        event = await first

        await delivery.settle([make.result(claim) for claim in claims[1:]])
        feed.wake(app.id)
        with pytest.raises(Overflow):
            await anext(stream)

        resumed = feed.follow(app.org_id, app.id, event.position)
        rest = [await anext(resumed) for _ in claims[1:]]
        await resumed.aclose()
        assert len({event.item.id, *(e.item.id for e in rest)}) == 12
    finally:
        await stream.aclose()


async def test_a_subscriber_catches_up_over_several_pages_while_more_comes_in(db: str) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(13):
        await make.message(app)
    claims = await make.claims(endpoint, each=20)

    class Growing:
        head = ATTEMPTS.head

        async def read(self, key: str, after: Position, limit: int) -> Chunk[Attempt]:
            if after == START:
                await delivery.settle([make.result(claim) for claim in claims[5:]])
            return await ATTEMPTS.read(key, after, limit)

    await delivery.settle([make.result(claim) for claim in claims[:5]])
    feed = Feed(Growing(), page=2)
    stream = feed.follow(app.org_id, app.id, START)
    try:
        async with asyncio.timeout(PATIENCE):
            seen = [(await anext(stream)).item.message_id for _ in claims]
        assert set(seen[:5]) == {claim.message_id for claim in claims[:5]}
        assert sorted(seen) == sorted(claim.message_id for claim in claims)
    finally:
        await stream.aclose()


async def test_a_correction_of_an_interrupted_attempt_is_heard_by_those_who_follow(db: str) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    source = ATTEMPTS
    start = await source.head()
    (stale,) = await make.claims(endpoint, lease_us=0)
    await delivery.take_back(10)
    await settled_order(db)
    (interrupted,) = (await source.read(app.id, start, 10)).events

    await delivery.settle([make.result(stale)])
    await settled_order(db)

    (corrected,) = (await source.read(app.id, interrupted.position, 10)).events
    assert (corrected.item.id, corrected.item.error_code) == (interrupted.item.id, None)
    await make.message(app)
    await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    await settled_order(db)
    assert len((await source.read(app.id, corrected.position, 10)).events) == 1


async def test_a_cursor_survives_writing_and_reading(db: str) -> None:
    cursors = await Cursors.of_database()
    head = await ATTEMPTS.head()

    async with database.read() as session:
        for position in (head, Position(head.commit, "atmpt_" + "0" * 27)):
            assert await cursors.read(session, cursors.write(position, ATTEMPT), ATTEMPT) == position


@pytest.mark.sqlite_only
async def test_a_cursor_outlives_so_many_starts_and_no_more(db: str) -> None:
    cursor = (await Cursors.of_database()).write(START, ATTEMPT)
    async with database.transaction() as session:
        await session.fetch_text(
            """
            WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
            INSERT INTO process_start (id, attempt, message) SELECT lower(hex(randomblob(6))), 0, 0 FROM n""",
            KEPT_STARTS,
        )

    last = await Cursors.of_database()
    async with database.read() as session:
        assert (await last.read(session, cursor, ATTEMPT)).commit == 0
    last = await Cursors.of_database()
    async with database.read() as session:
        with pytest.raises(InvalidInput) as refused:
            await last.read(session, cursor, ATTEMPT)
        assert refused.value.code == "CURSOR_EXPIRED"
        assert (await session.fetch_text("SELECT count(*) AS n FROM process_start"))[0]["n"] == KEPT_STARTS


@pytest.mark.postgresql_only
async def test_a_place_by_time_is_one_that_can_be_read_in_order_now(db: str) -> None:
    """A cursor of it is taken, although an older transaction still hides the messages before it."""
    cursors = await Cursors.of_database()
    slow = await asyncpg.connect(db)
    async with slow.transaction():
        await slow.execute("SELECT pg_current_xact_id()")
        await make.message(await make.application())

        place = await MESSAGES.before(end_id("msg_", now()))
        async with database.read() as session:
            assert await cursors.read(session, cursors.write(place, MESSAGE), MESSAGE) == place
    await slow.close()


async def test_a_cursor_of_other_rows_is_refused(db: str) -> None:
    cursors = await Cursors.of_database()

    async with database.read() as session:
        for position in (START, Position(0, "msg_" + "0" * 27)):
            with pytest.raises(InvalidInput) as refused:
                await cursors.read(session, cursors.write(position, MESSAGE), ATTEMPT)
            assert refused.value.code == "BAD_USER_INPUT"
        with pytest.raises(InvalidInput):
            await cursors.read(session, cursors.write(Position(2**63, "~"), MESSAGE), MESSAGE)


@pytest.mark.postgresql_only
async def test_a_message_that_commits_late_is_not_missed_by_a_stream(db: str) -> None:
    app = await make.application()
    slow = await asyncpg.connect(db)
    open_transaction = slow.transaction()
    await open_transaction.start()
    await slow.execute(
        "INSERT INTO message (id, org_id, app_id, event_type, created_at, expires_at) VALUES ($1, $2, $3, 'late', 1, 1)",
        "msg_" + "0" * 27, app.org_id, app.id,
    )  # fmt: skip
    prompt = await make.message(app)

    async with database.read() as session:
        while_open = await read_page(session, app.id, START, 10, Wanted())
    assert while_open.messages == [], "what follows an open transaction waits for it"
    await open_transaction.commit()
    await slow.close()

    await settled_order(db)
    for key in (app.id, app.org_id):
        async with database.read() as session:
            page = await read_page(session, key, while_open.position, 10, Wanted())
        assert [message.id for message in page.messages] == ["msg_" + "0" * 27, prompt]


async def test_a_filter_that_finds_nothing_still_gets_on(db: str) -> None:
    app = await make.application()
    for _ in range(12):
        await make.message(app)
    await settled_order(db)
    places = [START]
    async with database.read() as session:
        for _ in range(3):
            page = await read_page(session, app.id, places[-1], 5, Wanted(event_types=["none"]), scan=5, chunk=5)
            places.append(page.position)

    assert (page.messages, page.done) == ([], True)
    assert places == sorted(places)
    assert len(set(places)) == 4
