"""The partitions of PostgreSQL's time-ordered tables: one a week, made ahead of time; retention drops them whole.

A week keeps their number near fourteen over the longest payload retention, which keeps planning cheap for statements that cannot be pruned.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from graphook.clock import now, to_us
from graphook.database import Session
from graphook.ids import start_id

WEEK = timedelta(days=7)
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
# Messages are written now; their content expires up to 90 days ahead.
AHEAD = {"message": 3, "delivery": 3, "attempt": 3, "message_content": 15}


async def ensure(session: Session, at: datetime | None = None) -> list[str]:
    """Make the missing partitions from this week on; answers with their names. Does nothing on SQLite."""
    if session.dialect == "sqlite":
        return []
    first = _MONDAY + ((at or now()) - _MONDAY) // WEEK * WEEK
    wanted = {f"{table}_{first + n * WEEK:%Y%m%d}": (table, first + n * WEEK) for table, weeks in AHEAD.items() for n in range(weeks)}
    rows = await session.fetch_text("SELECT relname FROM pg_class WHERE relname = ANY($1::text[])", list(wanted))
    missing = sorted(set(wanted) - {row["relname"] for row in rows})
    if missing:
        # Two processes may notice at the same time; the second waits, then finds them made.
        await session.fetch_text("SELECT pg_advisory_xact_lock(hashtext('graphook_partitions'))")
        for name in missing:
            table, start = wanted[name]
            low, high = _bounds(table, start)
            fill = " WITH (fillfactor = 70)" if table == "delivery" else ""
            await session.fetch_text(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES FROM ({low}) TO ({high}){fill}")
    return missing


def _bounds(table: str, start: datetime) -> tuple[str, str]:
    if table == "message_content":
        return str(to_us(start)), str(to_us(start + WEEK))
    return f"'{start_id('msg_', start)}'", f"'{start_id('msg_', start + WEEK)}'"
