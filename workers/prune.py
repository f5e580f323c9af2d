"""Forget what is past its time, a batch of each kind in turn.

These are payloads, idempotency keys, tokens of logins and states of OAuth that have expired; and, by the retention of the settings, messages with
all that belongs to them, statistics, background tasks that have ended, and endpoints and applications that were deleted.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from graphook import database
from graphook.clock import from_us, now
from graphook.database import Statement
from models import deleted, idempotency, oauth_state, partitions, retention, statistic, task, token
from models import message_sql as sql

BATCH = 1000

_NOW = Statement.same("SELECT graphook_now() AS now")


async def prune(retention_days: int) -> int:
    """Make the partitions of the coming weeks, drop those that are past, and delete one batch of each kind of row.

    0 days keeps for ever what retention is about. Answers with the most that went of one kind: a full batch means that there may be more.
    """
    at = await _present()
    before = at - timedelta(days=retention_days) if retention_days else None
    await partitions.ensure()
    await retention.drop_partitions(before, at)
    async with database.transaction() as session:
        contents = await session.fetch(sql.DELETE_EXPIRED_CONTENT, BATCH)
    async with database.transaction() as session:
        keys = await session.fetch(idempotency.DELETE_ALL_EXPIRED, BATCH)
    async with database.transaction() as session:
        tokens = await session.fetch(token.FORGET_ENDED, BATCH)
    async with database.transaction() as session:
        states = await session.fetch(oauth_state.FORGET_EXPIRED, BATCH)
    rows = 0 if before is None else await retention.delete_rows(before, BATCH)
    counts = 0 if before is None else await statistic.delete_old(before, BATCH)
    tasks = 0 if before is None else await task.forget_ended(before, BATCH)
    removed = 0 if before is None else await deleted.remove(before, BATCH)
    return max(len(contents), len(keys), len(tokens), len(states), rows, counts, tasks, removed)


async def _present() -> datetime:
    """The present instant, by this process's clock or the database's, whichever is behind: no partition and nothing that retention is about goes because
    one of them is wrong."""
    async with database.read() as session:
        return min(now(), from_us((await session.fetch(_NOW))[0]["now"]))
