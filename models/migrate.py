"""Bring a database to the newest schema, or say what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from tortoise import Tortoise
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from graphook import database
from graphook.errors import Unavailable
from graphook.process import make_data_folder, opened, owned
from graphook.settings import Settings
from models import partitions

LOOK_EVERY = 0.2


@asynccontextmanager
async def _executor(database_url: str) -> AsyncIterator[MigrationExecutor]:
    if database_url.startswith("sqlite://"):
        make_data_folder(Path(database_url.removeprefix("sqlite://")).parent)
    try:
        await database.connect(database_url)
        config: dict[str, Any] = database.tortoise_config(database_url)["apps"]
        yield MigrationExecutor(Tortoise.get_connection("default"), config)
    finally:
        await database.disconnect()


async def _missing(executor: MigrationExecutor) -> list[str]:
    plan = await executor.plan([MigrationTarget("models", "__latest__")])
    return [step.migration.name for step in plan]


async def pending(database_url: str) -> list[str]:
    """The migrations that the database lacks, in order."""
    async with _executor(database_url) as executor:
        return await _missing(executor)


async def require_schema(database_url: str) -> None:
    """Raise `Unavailable`, saying what to run, when the database lacks migrations."""
    missing = await pending(database_url)
    if missing:
        raise Unavailable(f"The database lacks the migrations {', '.join(missing)}. Run `graphook migrate` first.")


async def check_start(settings: Settings) -> None:
    """Raise, in one sentence, for what would otherwise end in a traceback: a lock, no key, no database, an old schema."""
    with owned(settings):
        async with opened(settings):
            pass
    if not settings.embedded:
        await require_schema(settings.database_url)


async def migrate(database_url: str) -> list[str]:
    """Apply what is missing, in order, and make the partitions of the coming weeks; answers with the names of the applied migrations."""
    async with _executor(database_url) as executor, _one_at_a_time(database_url):
        names = await _missing(executor)
        if names:
            await executor.migrate([MigrationTarget("models", "__latest__")])
        await partitions.ensure()
    return names


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
