"""The partitions of PostgreSQL's time-ordered tables: one a week, made ahead of time and dropped whole when all in them is past.

A week keeps their number near fourteen over the longest payload retention, which keeps planning cheap for statements that cannot be pruned.

What no partition is there for, because nobody made any for weeks or a clock is wrong, goes to the table's default partition. Nothing is lost
there, but PostgreSQL refuses a new partition whose rows the default one holds: they are moved into it as it is made.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg

from graphook import database
from graphook.clock import now, to_us
from graphook.database import Session
from graphook.errors import Unavailable
from graphook.ids import start_id

log = logging.getLogger(__name__)

WEEK = timedelta(days=7)
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
# Messages are written now; their content expires up to 90 days ahead.
AHEAD = {"message": 3, "delivery": 3, "attempt": 3, "message_content": 15}
_KEYS = {"message": "id", "delivery": "message_id", "attempt": "message_id", "message_content": "expires_at"}
# For a statement that moves rows, and until we must have heard of it.
MOVE_SECONDS, ANSWER_SECONDS = 60, 65.0
# A partition is made and dropped under a lock that waits for every statement on a table, and everything after it waits too: rather try again a minute
# later.
LOCK_WAIT = "500ms"
_NAME = re.compile(r"(message|delivery|attempt|message_content)_(\d{8})")


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One week of a table, named for the Monday it begins with."""

    table: str
    start: datetime

    @property
    def name(self) -> str:
        return f"{self.table}_{self.start:%Y%m%d}"

    @property
    def end(self) -> datetime:
        return self.start + WEEK

    @property
    def bounds(self) -> tuple[str, str]:
        """The lowest key in it and the lowest above it, as SQL literals."""
        if self.table == "message_content":
            return str(to_us(self.start)), str(to_us(self.end))
        return f"'{start_id('msg_', self.start)}'", f"'{start_id('msg_', self.end)}'"


def week_of(at: datetime) -> datetime:
    """The Monday that the partition of a moment begins with."""
    return _MONDAY + (at - _MONDAY) // WEEK * WEEK


def wanted(at: datetime | None = None) -> list[Partition]:
    """The partitions there should be, from this week on."""
    first = week_of(at or now())
    return sorted(Partition(table, first + n * WEEK) for table, weeks in AHEAD.items() for n in range(weeks))


async def existing(session: Session) -> list[Partition]:
    """The weekly partitions there are, oldest first in each table."""
    rows = await session.fetch_text(
        """
        SELECT child.relname AS name FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid
        WHERE i.inhparent = ANY(ARRAY['message', 'delivery', 'attempt', 'message_content']::regclass[])"""
    )
    found = [match for row in rows if (match := _NAME.fullmatch(row["name"])) is not None]
    return sorted(Partition(match[1], datetime.strptime(match[2], "%Y%m%d").replace(tzinfo=UTC)) for match in found)


async def strays(session: Session) -> Mapping[str, int]:
    """How many rows each table's default partition holds, counted up to 1,000."""
    return {
        table: (await session.fetch_text(f"SELECT count(*) AS n FROM (SELECT 1 FROM {table}_default LIMIT 1000) s"))[0]["n"]
        for table in AHEAD
    }


async def ensure(at: datetime | None = None) -> list[str]:
    """Make the missing partitions from this week on, each in a transaction of its own; answers with their names. Does nothing on SQLite."""
    if database.dialect() == "sqlite":
        return []
    async with database.read() as session:
        there = set(await existing(session))
    missing = [partition for partition in wanted(at) if partition not in there]
    return [partition.name for partition in missing if await unless_in_use(partition, partial(_make, partition))]


async def unless_in_use(partition: Partition, change: Callable[[Session], Awaitable[bool]]) -> bool:
    """What a change in a transaction of its own answers; False, and nothing is changed, where a lock that it needs is not free soon."""
    try:
        async with database.transaction() as session:
            await session.fetch_text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
            return await change(session)
    except Unavailable as error:
        if not isinstance(error.__cause__, asyncpg.LockNotAvailableError):
            raise
        log.info("the partition %s is in use; it is made or dropped another time", partition.name, extra={"partition": partition.name})
        return False


async def _make(partition: Partition, session: Session) -> bool:
    # Two processes may notice at the same time; the second waits, then finds it made.
    await session.fetch_text("SELECT pg_advisory_xact_lock(hashtext('graphook_partitions'))")
    if (await session.fetch_text("SELECT to_regclass($1) IS NOT NULL AS made", partition.name))[0]["made"]:
        return False
    table, name, (low, high) = partition.table, partition.name, partition.bounds
    fill = " WITH (fillfactor = 70)" if table == "delivery" else ""
    # Attaching locks the default partition alone, where creating a partition of the table would lock all of it.
    await session.fetch_text(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE")
    await session.fetch_text(f"SET LOCAL statement_timeout = '{MOVE_SECONDS}s'")
    for statement in (
        f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL){fill}",
        f"""
        WITH moved AS (DELETE FROM {table}_default WHERE {_KEYS[table]} >= {low} AND {_KEYS[table]} < {high} RETURNING *)
        INSERT INTO {name} SELECT * FROM moved""",
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high})",
    ):
        await session.fetch_text(statement, timeout=ANSWER_SECONDS)
    return True
