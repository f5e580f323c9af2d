"""Remove what was deleted long ago: endpoints and applications, with their secrets and whatever else belongs to them.

Deleting one only marks it: what was sent still names it. Once retention has taken that, nothing needs the rows any more.
"""

from __future__ import annotations

import logging
from datetime import datetime

from graphook import database
from graphook.clock import to_us
from graphook.database import Statement
from models.retention import alone

log = logging.getLogger(__name__)

# Instant before which they were deleted, at most so many.
_NOT_SENT_TO = "NOT EXISTS (SELECT 1 FROM delivery d WHERE d.endpoint_id = e.id)"
_ENDPOINTS = Statement.same(f"""
    SELECT e.id FROM endpoint e WHERE e.deleted_at < $1 AND {_NOT_SENT_TO}
    UNION
    SELECT e.id FROM application a JOIN endpoint e ON e.app_id = a.id WHERE a.deleted_at < $1 AND {_NOT_SENT_TO} LIMIT $2""")
_APPLICATIONS = Statement.same("""
    SELECT a.id FROM application a WHERE a.deleted_at < $1
      AND NOT EXISTS (SELECT 1 FROM endpoint e WHERE e.app_id = a.id) AND NOT EXISTS (SELECT 1 FROM message m WHERE m.app_id = a.id) LIMIT $2""")
# What goes with them, by the column that names them, and they themselves.
_OF_ENDPOINTS = (("transformation", "endpoint_id"), ("restriction", "endpoint_id"), ("endpoint", "id"))
_OF_APPLICATIONS = (
    ("token", "app_id"),
    ("integration", "app_id"),
    ("inbound", "app_id"),
    ("message_consumer", "app_id"),
    ("application", "id"),
)


async def remove(before: datetime, limit: int) -> int:
    """Remove at most `limit` endpoints, then as many applications, that were deleted before that time and of which nothing is left; answers with the more."""
    endpoints = await _remove("endpoints", _ENDPOINTS, _OF_ENDPOINTS, before, limit)
    return max(endpoints, await _remove("applications", _APPLICATIONS, _OF_APPLICATIONS, before, limit))


async def _remove(what: str, found: Statement, tables: tuple[tuple[str, str], ...], before: datetime, limit: int) -> int:
    async with database.transaction() as session:
        if not await alone(session):
            return 0
        ids = [row["id"] for row in await session.fetch(found, to_us(before), limit)]
        if ids:
            for table, column in tables:
                await session.fetch(_delete(table, column), ids)
    if ids:
        log.info("retention removed %d %s that were deleted long ago", len(ids), what, extra={"removed": {what: len(ids)}})
    return len(ids)


def _delete(table: str, column: str) -> Statement:
    text = f"DELETE FROM {table} WHERE {column} {{}}"
    return Statement(postgresql=text.format("= ANY($1::text[])"), sqlite=text.format("IN (SELECT value FROM json_each(?1))"))
