"""Remove what was deleted long ago: endpoints and applications, with their secrets and whatever else belongs to them.

Deleting one only marks it: what was sent still names it. Once retention has taken that, nothing needs the rows any more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from graphook import database
from graphook.clock import to_us
from graphook.database import Statement
from models.retention import alone

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Rows of a table that are to be removed. `found` gives the ids of those that were deleted before an instant, the longest ago first, and at most
    so many. A row stays while anything refers to it from a column (table, column) of `used_by`; what refers to it from those of `with_it` goes with it.
    """

    what: str
    table: str
    found: Statement
    used_by: Sequence[tuple[str, str]]
    with_it: Sequence[tuple[str, str]]


_BY_DELETED = "SELECT id FROM {} WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2"
_OF_DELETED = "SELECT e.id FROM application a JOIN endpoint e ON e.app_id = a.id WHERE a.deleted_at < $1 ORDER BY a.deleted_at LIMIT $2"
_WITH_ENDPOINTS = (("transformation", "endpoint_id"), ("restriction", "endpoint_id"))
_WITH_APPLICATIONS = (("token", "app_id"), ("integration", "app_id"), ("inbound", "app_id"), ("message_consumer", "app_id"))
_KINDS = (
    _Kind("endpoints", "endpoint", Statement.same(_BY_DELETED.format("endpoint")), [("delivery", "endpoint_id")], _WITH_ENDPOINTS),
    _Kind("endpoints of applications", "endpoint", Statement.same(_OF_DELETED), [("delivery", "endpoint_id")], _WITH_ENDPOINTS),
    _Kind(
        "applications",
        "application",
        Statement.same(_BY_DELETED.format("application")),
        [("endpoint", "app_id"), ("message", "app_id")],
        _WITH_APPLICATIONS,
    ),
)


async def remove(before: datetime, limit: int) -> int:
    """Look at `limit` of each kind that were deleted before that time, and remove those of which nothing is left; answers with how many went of one kind
    at most."""
    return max([await _remove(kind, before, limit) for kind in _KINDS])


async def _remove(kind: _Kind, before: datetime, limit: int) -> int:
    async with database.transaction() as session:
        if not await alone(session):
            return 0
        ids = [row["id"] for row in await session.fetch(kind.found, to_us(before), limit)]
        for table, column in kind.used_by if ids else ():
            used = {row["id"] for row in await session.fetch(_used(table, column), ids)}
            ids = [id for id in ids if id not in used]
        for table, column in (*kind.with_it, (kind.table, "id")) if ids else ():
            await session.fetch(_delete(table, column), ids)
    if ids:
        log.info("retention removed what was deleted long ago: %d of the %s", len(ids), kind.what, extra={"removed": ids})
    return len(ids)


def _used(table: str, column: str) -> Statement:
    """Which ids a table still names. PostgreSQL looks each up by itself; for a plain EXISTS it would read the whole table."""
    return Statement(
        postgresql=f"""
            SELECT w.id FROM unnest($1::text[]) AS w(id)
            CROSS JOIN LATERAL (SELECT 1 FROM {table} x WHERE x.{column} = w.id LIMIT 1) used""",
        sqlite=f"SELECT w.value AS id FROM json_each(?1) w WHERE EXISTS (SELECT 1 FROM {table} x WHERE x.{column} = w.value)",
    )


def _delete(table: str, column: str) -> Statement:
    return Statement.same(f"DELETE FROM {table} WHERE {column} = ANY($1::text[])")
