"""The migrations lead to what the models say, and one that is cut off leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import asyncpg
import pytest
from tortoise import Tortoise
from tortoise.exceptions import OperationalError
from tortoise.migrations.autodetector import MigrationAutodetector

from graphook import database
from graphook.errors import InvalidInput, Unavailable
from graphook.feed import Position
from graphook.settings import Settings
from models.cursor import Cursors
from models.feeds import MESSAGE
from models.migrate import UnknownHistory, check_start, migrate, pending
from tests.conftest import Backend
from tests.deployment import ROOT, SECRET_KEY
from tests.waiting import until

# Where it is noted which migrations are applied.
NOTES = "CREATE TABLE tortoise_migrations (id INTEGER, app TEXT, name TEXT, applied_at TIMESTAMPTZ);"
# Notes that take none, and notes that SQLite writes for ever.
CLOSED = NOTES.replace("name TEXT", "name TEXT CHECK (name = '')")
ENDLESS = """
    CREATE TRIGGER endless BEFORE INSERT ON tortoise_migrations BEGIN
        SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n);
    END;"""
# Notes that say under which limit they were written.
LIMITED = (
    NOTES
    + """
    CREATE TABLE seen (statement_timeout TEXT);
    CREATE FUNCTION note_limit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO seen VALUES (current_setting('statement_timeout')); RETURN NEW; END $$;
    CREATE TRIGGER note_limit BEFORE INSERT ON tortoise_migrations FOR EACH ROW EXECUTE FUNCTION note_limit();"""
)
OTHERS = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


async def test_no_model_has_a_change_that_lacks_a_migration(db: str) -> None:
    assert Tortoise.apps is not None
    changes = await MigrationAutodetector(Tortoise.apps, database.tortoise_config(db)["apps"]).changes()
    assert [operation for change in changes for operation in change.operations] == []


@pytest.mark.parametrize(
    ("table", "obstacle"),
    [("allowance", "CREATE TABLE allowance (id TEXT)"), ("tortoise_migrations", CLOSED)],
    ids=["half way", "at the end"],
)
async def test_a_migration_that_fails_leaves_nothing_and_can_be_repeated(table: str, obstacle: str, backend: Backend) -> None:
    url = await backend.empty_database()
    await _execute(url, obstacle)
    names = await pending(url)

    with pytest.raises(OperationalError):
        await migrate(url)

    assert await _tables(url) == {table}
    await _execute(url, f"DROP TABLE {table}")
    assert await migrate(url) == names


@pytest.mark.postgresql_only
async def test_a_migration_may_take_as_long_as_it_needs(backend: Backend) -> None:
    url = await backend.empty_database()
    await _execute(url, LIMITED)

    names = await migrate(url)

    async with database.connected(url), database.read() as session:
        assert [row["statement_timeout"] for row in await session.fetch_text("SELECT * FROM seen")] == ["0"] * len(names)
    credentials = database.tortoise_config(url, unhurried=True)["connections"]["default"]["credentials"]
    assert credentials["command_timeout"] is None


@pytest.mark.postgresql_only
async def test_indexes_of_what_is_deleted_are_built_beside_readers_and_writers_again_if_one_was_cut_off(backend: Backend) -> None:
    """As long as somebody reads, such as a backup, it waits, for longer than anything else waits for a lock, and holds no writer up."""
    url = await backend.fresh_database()
    reader, writer = await asyncpg.connect(url), await asyncpg.connect(url)
    await writer.execute("DELETE FROM tortoise_migrations WHERE name = '0005_deleted'")
    await writer.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'application_deleted'::regclass")
    reading = reader.transaction(isolation="repeatable_read", readonly=True)
    await reading.start()
    await reader.fetchval("SELECT count(*) FROM application")

    migrating = asyncio.create_task(migrate(url))

    async def is_building() -> bool:
        return bool(
            await writer.fetchval(f"SELECT count(*) FROM {OTHERS} AND query LIKE '% INDEX CONCURRENTLY %' AND wait_event_type = 'Lock'")
        )

    await until(is_building, "the index to be built")
    await writer.execute("SET lock_timeout = '1s'")
    await writer.execute("UPDATE application SET name = 'another'")
    await writer.execute("UPDATE endpoint SET description = 'another'")
    await reading.rollback()

    assert await migrating == ["0005_deleted"]
    valid = await writer.fetch(
        "SELECT indisvalid FROM pg_index WHERE indexrelid IN ('application_deleted'::regclass, 'endpoint_deleted'::regclass)"
    )
    assert [row["indisvalid"] for row in valid] == [True, True]
    await reader.close()
    await writer.close()


@pytest.mark.postgresql_only
async def test_a_migration_that_somebody_holds_up_for_too_long_says_so_and_leaves_nothing(backend: Backend) -> None:
    url = await backend.empty_database()
    async with _held_up_by_a_lock(url):
        with pytest.raises(Unavailable, match="run `graphook migrate` again"):
            await migrate(url)

    await _execute(url, "DROP TABLE tortoise_migrations")
    assert await migrate(url)


async def test_a_migration_that_is_killed_leaves_nothing_and_can_be_repeated(backend: Backend) -> None:
    url = await backend.empty_database()
    names = await pending(url)

    async with _held_up_by_a_lock(url) if backend.admin_url else _held_up_by_a_trigger(url) as is_held_up:
        process = await _start(url)
        await until(is_held_up, "the migration to be held up")
        process.send_signal(signal.SIGKILL)
        await process.communicate()

    assert await _tables(url) == {"tortoise_migrations"}
    await _execute(url, "DROP TABLE tortoise_migrations")
    assert await migrate(url) == names


async def noted(backend: Backend, *names: str) -> str:
    """The URL of a database in which it is noted that these were applied."""
    url = await backend.empty_database()
    values = ", ".join(f"(0, 'models', '{name}', CURRENT_TIMESTAMP)" for name in names)
    await _execute(url, f"{NOTES} INSERT INTO tortoise_migrations VALUES {values};")
    return url


@pytest.mark.parametrize("names", [("0001_initial",), ("0001_initial", "0002_organisation"), ("0001_schema", "0002_organisation")])
async def test_a_database_that_a_development_version_made_is_refused_untouched(names: tuple[str, ...], backend: Backend) -> None:
    url = await noted(backend, *names)
    unknown = names[0] if names[0] != "0001_schema" else names[1]

    for refuse in (migrate, pending, lambda url: check_start(Settings.load(database_url=url, secret_key=(SECRET_KEY,)))):
        with pytest.raises(UnknownHistory, match=f"whose migration {unknown} this version does not know: make it anew"):
            await refuse(url)

    assert await _tables(url) == {"tortoise_migrations"}


async def test_a_database_that_a_later_release_migrated_is_served(backend: Backend) -> None:
    """As the old processes do while a release is rolled out, or put back."""
    url = await backend.fresh_database()
    await _execute(url, "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('models', '9999_later', CURRENT_TIMESTAMP)")

    assert (await pending(url), await migrate(url)) == ([], [])
    await check_start(Settings.load(database_url=url, secret_key=(SECRET_KEY,)))


@pytest.mark.postgresql_only
async def test_many_that_migrate_at_once_take_turns(backend: Backend) -> None:
    """As replicas do that are started together."""
    url = await backend.empty_database()

    async def migrate() -> tuple[int | None, str]:
        process = await _start(url)
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    results = await asyncio.gather(*(migrate() for _ in range(3)))

    assert [status for status, _ in results] == [0, 0, 0], results
    assert sorted(said.startswith("applied 0001") for _, said in results) == [False, False, True]


@pytest.mark.sqlite_only
async def test_consumers_keep_their_places_when_starts_begin_to_be_noted(backend: Backend) -> None:
    url = await backend.fresh_database()
    place = "0123456789ab.0.msg_"
    await _execute(
        url,
        f"""
        DROP TABLE process_start;
        DELETE FROM tortoise_migrations WHERE name = '0004_starts';
        INSERT INTO message_consumer (app_id, name, position, seen_at) VALUES ('app_', 'books', '{place}', 1);""",
    )

    assert await migrate(url) == ["0004_starts"]

    async with database.connected(url):
        cursors = await Cursors.of_database()
        async with database.read() as session:
            (consumer,) = await session.fetch_text("SELECT position, leased FROM message_consumer")
            assert await cursors.read(session, consumer["position"], MESSAGE) == Position(0, "~")
            assert consumer["leased"] is None
            with pytest.raises(InvalidInput):
                await cursors.read(session, place, MESSAGE)


async def _start(url: str) -> Process:
    environment = {**os.environ, "GRAPHOOK_DATABASE_URL": url, "GRAPHOOK_SECRET_KEY": SECRET_KEY}
    command = [sys.executable, "-m", "graphook.cli", "migrate"]
    return await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


async def _execute(url: str, sql: str) -> None:
    async with database.connected(url):
        await Tortoise.get_connection("default").execute_script(sql)


async def _tables(url: str) -> set[str]:
    async with database.connected(url), database.read() as session:
        catalogue = "sqlite_master WHERE type = 'table'" if session.dialect == "sqlite" else "pg_tables WHERE schemaname = 'public'"
        column = "name" if session.dialect == "sqlite" else "tablename"
        return {row[column] for row in await session.fetch_text(f"SELECT {column} FROM {catalogue}")}


@asynccontextmanager
async def _held_up_by_a_lock(url: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    holding, watching = await asyncpg.connect(url), await asyncpg.connect(url)

    async def is_held_up() -> bool:
        return bool(await watching.fetchval(f"SELECT count(*) FROM {OTHERS} AND wait_event_type = 'Lock'"))

    async def has_ended() -> bool:
        return bool(await watching.fetchval(f"SELECT count(*) = 1 FROM {OTHERS}"))

    try:
        await holding.execute(NOTES)
        async with holding.transaction():
            await holding.execute("LOCK TABLE tortoise_migrations IN SHARE MODE")
            yield is_held_up
        await until(has_ended, "the killed process's connections to end")
    finally:
        await holding.close()
        await watching.close()


@asynccontextmanager
async def _held_up_by_a_trigger(url: str) -> AsyncIterator[Callable[[], bool]]:
    await _execute(url, NOTES + ENDLESS)

    def is_held_up() -> bool:
        # Every writing holds the database for a moment; only this one for longer.
        with closing(sqlite3.connect(url.removeprefix("sqlite://"), timeout=3, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False

    yield is_held_up
