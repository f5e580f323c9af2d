"""Forget what is past its time: payloads past theirs, idempotency keys past their day, tokens of past logins, states of past OAuth dances, tasks that ended long ago, messages with all that belongs to them, and endpoints and applications that were deleted long ago."""

from __future__ import annotations

from datetime import timedelta

from graphook import database
from graphook.clock import now
from models import deleted, idempotency, oauth_state, partitions, retention, statistic, task, token
from models import message_sql as sql

BATCH = 1000


async def prune(retention_days: int) -> int:
    """Keep partitions ahead of time, drop those that are past, and delete one batch of each kind of row; 0 days keeps messages, tasks and what was deleted for ever.

    Answers with the most that went of one kind: a full batch means that there may be more.
    """
    at = now()
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
