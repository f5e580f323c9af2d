"""Instants: aware UTC datetimes in Python, microseconds since the epoch in the database, RFC 3339 on the wire."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,100})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)


def now() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


def now_us() -> int:
    """The present instant in microseconds since the epoch."""
    return time.time_ns() // 1000


def from_us(microseconds: int) -> datetime:
    """The instant so many microseconds after the epoch."""
    return _EPOCH + timedelta(0, 0, microseconds)  # keywords cost a quarter more


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - _EPOCH) // _MICROSECOND


def parse_rfc3339(text: str) -> datetime:
    """The instant of an RFC 3339 date-time with an offset. Raises ValueError; digits beyond microseconds are cut."""
    if _RFC3339.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 date-time with an offset, such as 2026-01-31T12:00:00Z")
    instant = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).upper())
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error


def format_rfc3339(instant: datetime) -> str:
    """The instant as `2026-01-31T12:00:00.000000Z`, always in UTC and with microseconds."""
    return instant.astimezone(UTC).isoformat("T", "microseconds")[: -len("+00:00")] + "Z"
