"""What a test leaves in a database that the next one is lent: nothing, or the database is not lent again."""

from __future__ import annotations

import asyncpg
import pytest

from graphook import database
from tests.conftest import Backend
from tests.models import make
from tests.reuse import FILLED, Reused
from tests.waiting import until

pytestmark = pytest.mark.postgresql_only

CHANGES = {
    "a table": "CREATE TABLE another (id int)",
    "a column": "ALTER TABLE token ADD COLUMN another int",
    "an index": "CREATE INDEX ON message (id)",
    "a partition": "DROP TABLE message_default",
    "a function": "CREATE FUNCTION another() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a setting": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''1MB''', current_database()); END $$",
    "statistics": "ANALYZE token",
    "a row that was there": "DELETE FROM tortoise_migrations",
}


async def test_rows_are_taken_away(backend: Backend) -> None:
    url = await backend.fresh_database()
    lent = await Reused.of(url)
    connection = await asyncpg.connect(url)
    before = await connection.fetch(FILLED)
    for _ in range(2):
        async with database.connected(url):
            await make.message(await make.application())
        assert len(await connection.fetch(FILLED)) > len(before)
        await connection.close()

        assert await lent.emptied()

        connection = await asyncpg.connect(url)
        assert await connection.fetch(FILLED) == before
    await connection.close()
    await backend.drop(url)


async def test_a_database_of_which_more_was_changed_is_not_as_before(backend: Backend) -> None:
    url = await backend.fresh_database()
    for name, change in CHANGES.items():
        lent = await Reused.of(url)
        assert await lent.emptied()
        connection = await asyncpg.connect(url)
        await connection.execute(change)
        await connection.close()

        assert not await lent.emptied(), name
    await backend.drop(url)


async def test_who_is_still_connected_is_sent_away(backend: Backend) -> None:
    url = await backend.fresh_database()
    lent = await Reused.of(url)
    left = await asyncpg.connect(url)
    await left.execute("BEGIN; LOCK TABLE token IN ROW EXCLUSIVE MODE")

    assert await lent.emptied()

    await until(left.is_closed, "the connection to be gone")
    await backend.drop(url)
