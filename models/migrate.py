"""Bring a database to the newest schema, or say what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import asyncpg
from tortoise import Tortoise
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.migrations.migration import Migration
from tortoise.transactions import in_transaction

from graphook import database, tracing
from graphook.errors import Unavailable
from graphook.outage import is_outage
from graphook.process import make_data_folder, opened, owned
from graphook.settings import Settings
from models import partitions

LOOK_EVERY = 0.2


class UnknownHistory(Unavailable):
    """A migration was applied to the database that no release has had in that place: what tables there are cannot be known."""


@asynccontextmanager
async def _connected(database_url: str, *, unhurried: bool = False) -> AsyncIterator[None]:
    if database_url.startswith("sqlite://"):
        make_data_folder(Path(database_url.removeprefix("sqlite://")).parent)
    async with database.connected(database_url, unhurried=unhurried):
        yield


def _executor(database_url: str) -> MigrationExecutor:
    """What migrates on the connection that is current: inside a transaction, all of it in that."""
    config: dict[str, Any] = database.tortoise_config(database_url)["apps"]
    return MigrationExecutor(Tortoise.get_connection("default"), config)


async def _missing(database_url: str) -> list[Migration]:
    executor = _executor(database_url)
    plan = await executor.plan([MigrationTarget("models", "__latest__")])
    known = {key.name for key in executor.loader.graph.nodes}
    for key in await executor.recorder.applied_migrations():
        # Of a higher number it is a later release's, beside which this one may run.
        if key.name not in known and key.name < max(known):
            raise UnknownHistory(
                f"The database was made by a development version, whose migration {key.name} this version does not know: make it anew; what the "
                "version that made it writes with `environmentExport` can be imported."
            )
    return [step.migration for step in plan]


async def pending(database_url: str) -> list[str]:
    """The migrations that the database lacks, in order. Raises `UnknownHistory`."""
    async with _connected(database_url):
        return [migration.name for migration in await _missing(database_url)]


async def require_schema(database_url: str) -> None:
    """Raise `Unavailable`, saying what to run, when the database lacks migrations."""
    missing = await pending(database_url)
    if missing:
        raise Unavailable(f"The database lacks the migrations {', '.join(missing)}. Run `graphook migrate` first.")


async def check_start(settings: Settings) -> None:
    """Raise, in one sentence, for what would otherwise end in a traceback: no packages to trace with, a lock, no key, no database, an old or unknown schema."""
    with tracing.traced(settings.tracing), owned(settings):
        async with opened(settings):
            pass
    if settings.embedded:
        await pending(settings.database_url)
    else:
        await require_schema(settings.database_url)


async def migrate(database_url: str) -> list[str]:
    """Apply what is missing, in order, and make the partitions of the coming weeks; answers with the names of the applied migrations.
    Raises `UnknownHistory`.

    A migration and the note that it is applied are one transaction, unless it says that it cannot be in one: what is cut off leaves nothing.
    """
    async with _connected(database_url, unhurried=True), _one_at_a_time(database_url):
        missing = await _missing(database_url)
        for migration in missing:
            try:
                await _apply(database_url, migration)
            except Exception as error:
                if not is_outage(error):
                    raise
                raise Unavailable(
                    f"The migration {migration.name} could not be applied now: {error}. See what holds the database up; then run `graphook migrate` again."
                ) from error
        await partitions.ensure()
    return [migration.name for migration in missing]


async def _apply(database_url: str, migration: Migration) -> None:
    async with in_transaction("default") if migration.atomic else nullcontext():
        executor = _executor(database_url)
        # It begins by reading which are applied, and on PostgreSQL a table that is missing would end the transaction.
        await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
        await executor.migrate([MigrationTarget("models", migration.name)])


@asynccontextmanager
async def _one_at_a_time(database_url: str) -> AsyncIterator[None]:
    """Wait until nobody else migrates the PostgreSQL database: of many that are started together, one finds something to do."""
    if database_url.startswith("sqlite://"):
        yield
        return
    connection = await asyncpg.connect(database_url)
    try:
        # Asked again and again: a statement that waits for the lock has a snapshot, which an index that is built concurrently waits for.
        while not await connection.fetchval("SELECT pg_try_advisory_lock(hashtext('graphook_migrate'))"):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)
        yield
    finally:
        await connection.close()
