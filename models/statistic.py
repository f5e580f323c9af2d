"""Statistics of attempts by time, added up while they happen so that reading a month costs milliseconds.

On PostgreSQL settling appends what it counted to `attempt_count`, in its own transaction; on SQLite the attempts themselves, in the order of
their rows, are what is still to be added. `fold` adds either and forgets it, or moves on, in one transaction: every attempt counts exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from graphook import database
from graphook.clock import from_us, to_us
from graphook.database import Session
from graphook.ids import start_id
from models import statistic_sql as sql
from models.attempt import MessageStatus

STEP = timedelta(minutes=5)
DAY = timedelta(days=1)
_STEP_US, _DAY_US = (round(width.total_seconds()) * 1_000_000 for width in (STEP, DAY))
_WIDTHS = [_STEP_US, _DAY_US]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Series:
    """Attempts by periods that follow each other, from `start` to before `end`: how many succeeded and failed in each."""

    start: datetime
    end: datetime
    width: timedelta
    succeeded: list[int]
    failed: list[int]


@dataclass(frozen=True, slots=True)
class Standing:
    """How many messages stand how with an endpoint."""

    success: int = 0
    pending: int = 0
    sending: int = 0
    fail: int = 0
    canceled: int = 0


async def fold(limit: int) -> int:
    """Add what was recorded to the statistics; answers with how much there was, `limit` when there may be more. One process at a time."""
    async with database.transaction() as session:
        if session.dialect == "postgresql":
            if not (await session.fetch_text("SELECT pg_try_advisory_xact_lock(hashtext('graphook_statistics')) AS alone"))[0]["alone"]:
                return 0
            return int((await session.fetch_text(sql.FOLD_COUNTS, limit, _WIDTHS))[0]["counts"])
        span = (await session.fetch_text(sql.NEXT_ATTEMPTS, limit))[0]
        if span["last"] is None:
            return 0
        await session.fetch_text(sql.FOLD_ATTEMPTS, span["after"], span["last"], _WIDTHS)
        await session.fetch_text(sql.COUNTED, span["last"])
        return int(span["last"] - span["after"])


async def series(app_id: str, endpoint_id: str | None, start: datetime, end: datetime, width: timedelta) -> Series:
    """The attempts of an application, or of one of its endpoints, in the periods of `width` (`STEP` or `DAY`) that the time touches."""
    first, last = _floor(start, width), _ceil(end, width)
    width_us = round(width.total_seconds()) * 1_000_000
    async with database.read() as session:
        rows = await session.fetch(sql.PERIODS, app_id, endpoint_id or "", width_us, to_us(first), to_us(last))
    found = {row["bucket"]: (int(row["succeeded"]), int(row["failed"])) for row in rows}
    counts = [found.get(bucket, (0, 0)) for bucket in range(to_us(first), to_us(last), width_us)]
    return Series(first, last, width, [count for count, _ in counts], [count for _, count in counts])


async def usage(session: Session, app_ids: Sequence[str], since: datetime, until: datetime) -> dict[str, int]:
    """Per application the message destinations of a time, to five minutes: messages times endpoints, by their first attempt."""
    first, last = _floor(since, STEP), _ceil(until, STEP)
    days = (_ceil(first, DAY), _floor(last, DAY))
    if days[0] > days[1]:
        days = (first, first)
    bounds = (_DAY_US, to_us(days[0]), to_us(days[1]), _STEP_US, to_us(first), to_us(last))
    rows = await session.fetch(sql.USAGE, list(app_ids), *bounds)
    return {row["app_id"]: int(row["destinations"]) for row in rows}


async def standing(endpoint_id: str, since: datetime, until: datetime) -> Standing:
    """How the messages of a time stand with the endpoint."""
    async with database.read() as session:
        rows = await session.fetch(sql.STANDING, endpoint_id, start_id("msg_", since), start_id("msg_", until))
    return Standing(**{MessageStatus(row["status"]).name.lower(): row["messages"] for row in rows})


async def delete_old(before: datetime, limit: int) -> int:
    """Forget at most `limit` rows of the statistics whose periods had ended by then; answers with how many went."""
    async with database.transaction() as session:
        return len(await session.fetch(sql.DELETE_OLD, to_us(before), limit))


def _floor(at: datetime, width: timedelta) -> datetime:
    return at - (at - _EPOCH) % width


def _ceil(at: datetime, width: timedelta) -> datetime:
    floor = _floor(at, width)
    return floor if floor == at else from_us(to_us(floor) + round(width.total_seconds()) * 1_000_000)
