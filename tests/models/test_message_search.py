"""Each way to search for messages is served by an index, however many there are."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from graphook import database
from models.application import Application
from models.attempt import MessageStatus
from models.destination import HAS_STATUS, Destination
from models.endpoint_message import _SELECT, page_of_endpoint
from models.message import COLUMNS
from models.page import PageRequest
from models.where import Where
from resolvers.message import choose
from schema.types.message import MessageFilter
from tests.conftest import Backend
from tests.models import make
from tests.statements import reads

ROWS = 20_000
FILTERS: dict[str, Any] = {
    "event_id": "event-7",
    "channel": "rare",
    "tag": "rare",
    "event_types": ["type.1", "type.2"],
    "created_after": None,
}
COMBINATIONS = [chosen for count in range(4) for chosen in itertools.combinations(("event_id", "channel", "tag", "event_types"), count)]


@pytest.fixture(scope="module")
def filled(backend: Backend) -> Iterator[tuple[str, Application]]:
    """A database for the whole file, and an application in it with many messages beside another with as many."""
    url = asyncio.run(backend.fresh_database())
    yield url, asyncio.run(fill(url))
    asyncio.run(backend.drop(url))


async def fill(url: str) -> Application:
    async with database.connected(url):
        app, other, numbers = await make.application(), await make.application(), ""
        async with database.transaction() as session:
            if session.dialect == "postgresql":
                numbers, label = f"generate_series(1, {ROWS}) n", "jsonb_build_array(CASE WHEN n % 5000 = 0 THEN 'rare' ELSE 'common' END)"
                message_id = "'msg_' || lpad(n::text, 27, '0')"
            else:
                numbers = f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS}) SELECT n FROM c)"
                label, message_id = "json_array(CASE WHEN n % 5000 = 0 THEN 'rare' ELSE 'common' END)", "printf('msg_%027d', n)"
            await session.fetch_text(
                f"INSERT INTO message (id, org_id, app_id, event_type, event_id, channels, tags, created_at, expires_at) SELECT {message_id},"
                f" '{app.org_id}', CASE WHEN n % 2 = 0 THEN '{app.id}' ELSE '{other.id}' END, 'type.' || (n % 10), NULL, {label}, {label}, n, n FROM {numbers}"
            )
            await session.fetch_text(
                "INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)"
                " SELECT id, 'ep_' || (created_at % 10), 0, org_id, app_id, created_at % 7, 0 FROM message"
            )
            await session.fetch_text("ANALYZE")
    return app


@pytest.fixture
async def app(filled: tuple[str, Application]) -> AsyncIterator[Application]:
    """The application, whose database the test is connected to."""
    url, app = filled
    async with database.connected(url):
        yield app


async def plan(select: str, where: Where, tail: str) -> str:
    explain = "EXPLAIN" if database.dialect() == "postgresql" else "EXPLAIN QUERY PLAN"
    return "\n".join(str(tuple(row)) for row in await where.fetch(f"{explain} {select}", tail))


def reads_all(plan: str, table: str) -> bool:
    """Whether the part of the table that has the rows is read from one end to the other."""
    return re.search(rf"Seq Scan on {table}_default|SCAN {table}\b(?! USING)", plan) is not None


@pytest.mark.parametrize("chosen", COMBINATIONS, ids="+".join)
async def test_no_filter_reads_every_message(app: Application, chosen: tuple[str, ...]) -> None:
    given: Any = {name: FILTERS[name] for name in chosen}
    filter = MessageFilter(**given)
    where = Where().equal("app_id", app.id)
    choose(where, filter, app.id, "id")

    found = await plan(f"SELECT {COLUMNS} FROM message", where, "ORDER BY id DESC LIMIT 51")

    assert "message" in found
    assert not reads_all(found, "message"), found


@pytest.mark.postgresql_only
@pytest.mark.parametrize("name", ["channel", "tag"])
async def test_a_rare_label_is_found_by_its_own_index(app: Application, name: str) -> None:
    where = Where().equal("app_id", app.id)
    choose(where, MessageFilter(channel="rare") if name == "channel" else MessageFilter(tag="rare"), app.id, "id")

    found = await plan(f"SELECT {COLUMNS} FROM message", where, "ORDER BY id DESC LIMIT 51")

    assert f"message_default_{name}s_idx" in found


@pytest.mark.parametrize("status", [None, *MessageStatus])
async def test_the_messages_of_an_endpoint_are_found_by_its_index(app: Application, status: MessageStatus | None) -> None:
    having = f"HAVING {HAS_STATUS[status]} " if status is not None else ""
    tail = f"GROUP BY d.message_id {having}ORDER BY d.message_id DESC LIMIT 51"

    found = await plan(_SELECT.text(database.dialect()), Where().equal("d.endpoint_id", "ep_4"), tail)

    assert not reads_all(found, "delivery"), found
    assert "TEMP B-TREE" not in found, found
    assert not re.search(r"Seq Scan on message_default|SCAN m\b", found), found


@pytest.mark.sqlite_only
@pytest.mark.usefixtures("app")
async def test_no_page_of_what_went_where_is_sorted_out_of_all_that_there_is() -> None:
    """A page is read in the order of an index: SQLite has one connection, and everybody would wait for it."""
    async with reads() as asked:
        await page_of_endpoint("ep_4", Where(), PageRequest(limit=50), None)
        await Destination.page("msg_4", PageRequest(limit=50))
    async with database.read() as session:
        plans = [await session.fetch_text(f"EXPLAIN QUERY PLAN {statement}") for statement in asked]

    assert len(plans) == 2, asked
    assert not [row["detail"] for plan in plans for row in plan if "TEMP B-TREE" in row["detail"]]


@pytest.mark.postgresql_only
@pytest.mark.usefixtures("app")
async def test_what_failed_is_found_without_looking_at_what_did_not() -> None:
    lookups = "SELECT COALESCE(sum(idx_scan), 0)::int AS n FROM pg_stat_xact_user_tables WHERE relname = 'message_default'"
    async with database.transaction() as session:
        await session.fetch_text("UPDATE delivery SET state = 3 WHERE endpoint_id = 'ep_6'")
        await session.fetch_text("UPDATE delivery SET state = 4 WHERE endpoint_id = 'ep_6' AND message_id LIKE '%006'")
        before = (await session.fetch_text(lookups))[0]["n"]
        found = (await page_of_endpoint("ep_6", Where(), PageRequest(limit=50), MessageStatus.FAIL)).items

        assert len(found) == ROWS / 1000
        assert (await session.fetch_text(lookups))[0]["n"] - before == len(found)


@pytest.mark.parametrize("status", MessageStatus)
async def test_the_filter_of_a_status_chooses_what_is_shown_with_it(app: Application, status: MessageStatus) -> None:
    every = (await page_of_endpoint("ep_4", Where(), PageRequest(limit=250), None)).items
    chosen = (await page_of_endpoint("ep_4", Where(), PageRequest(limit=250), status)).items

    assert len(every) == 250
    assert all(row.status is status for row in chosen)
    newest = every[-1].message_id
    assert [row.message_id for row in chosen if row.message_id >= newest] == [row.message_id for row in every if row.status is status]
