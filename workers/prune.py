"""Forget what has expired: payloads past their retention and idempotency keys past their day."""

from __future__ import annotations

from graphook import database
from models import idempotency, partitions
from models import message_sql as sql

BATCH = 1000


async def prune() -> int:
    """Delete one batch of each kind and keep partitions ahead of time; answers with how many rows went, a full batch meaning there may be more."""
    async with database.transaction() as session:
        await partitions.ensure(session)
    async with database.transaction() as session:
        contents = await session.fetch(sql.DELETE_EXPIRED_CONTENT, BATCH)
    async with database.transaction() as session:
        keys = await session.fetch(idempotency.DELETE_ALL_EXPIRED, BATCH)
    return max(len(contents), len(keys))
