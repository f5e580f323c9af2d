"""The circuit breaker of an endpoint: after too many failures its deliveries stay pending, and use up no try, until it answers again.

    closed ── tries fail ──► open ── its time is over ──► half-open ── tries succeed ──► closed
                               ▲                               │
                               └──── for twice as long ── a try fails

The state is in the endpoint's restriction row, so that every process keeps to it. How many tries failed is counted from the attempts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from graphook import database
from graphook.clock import from_us, now
from graphook.database import Row, Session
from graphook.ids import end_id, start_id
from graphook.settings import Settings
from models import breaker_sql as sql

# Half-open, one try may be in flight, and one more for each that succeeded: 1, 2, 4, 8 in turn. With so many it closes.
PROBES_TO_CLOSE = 16


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When a breaker opens, and for how long; times in microseconds."""

    tries: int
    failures: float
    window: int
    first: int
    longest: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        first, longest = round(settings.breaker_open * 1e6), round(settings.breaker_open_max * 1e6)
        return cls(settings.breaker_tries, settings.breaker_failures, round(settings.breaker_window * 1e6), first, longest)

    def open_for(self, openings: int) -> int:
        """How long the n-th opening in a row lasts."""
        doubled = self.first << min(openings - 1, 32)
        return min(self.longest, doubled)


@dataclass(frozen=True, slots=True)
class Tried:
    """What a try says about an endpoint. `probe` is the number of the opening in which it was claimed, 0 when the breaker was closed."""

    endpoint_id: str
    probe: int
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A breaker that is not closed. Half-open, its time is over."""

    open_until: datetime
    half_open: bool


async def record(session: Session, tried: Iterable[Tried], rule: BreakerRule) -> list[str]:
    """Open, reopen or close breakers after tries, in the transaction that records them; answers with the endpoints whose breaker opened.

    Only the tries of the present opening move a breaker that is not closed: late ones from before are history.
    """
    told: dict[str, list[Tried]] = {}
    for one in tried:
        if one.probe or not one.succeeded:
            told.setdefault(one.endpoint_id, []).append(one)
    if not told:
        return []
    rows = {row["endpoint_id"]: row for row in await session.fetch(sql.LOCK, sorted(told))}
    changes, suspects = [], []
    for endpoint_id, tries in told.items():
        row = rows.get(endpoint_id)
        if row is None or row["open_until"] is None:
            suspects.append((endpoint_id, _window_start(row, rule)))
        elif (change := _moved(row, [one.succeeded for one in tries if one.probe == row["openings"]], rule)) is not None:
            changes.append((endpoint_id, *change))
    counted = await session.fetch_rows(sql.COUNT, sorted(suspects))
    failing = [row for row in counted if row["tries"] >= rule.tries and row["failures"] >= rule.failures * row["tries"]]
    changes += [(row["endpoint_id"], rule.open_for(1), 1, 1) for row in failing]
    await session.write_rows(sql.WRITE, sorted(changes, key=lambda change: change[0]))
    return [endpoint_id for endpoint_id, open_us, _, _ in changes if open_us]


async def opened(endpoint_ids: list[str]) -> dict[str, Opened]:
    """Which of the endpoints' breakers are not closed."""
    async with database.read() as session:
        rows = await session.fetch(sql.STATE, endpoint_ids)
    return {row["endpoint_id"]: Opened(from_us(row["open_until"]), bool(row["half_open"])) for row in rows if row["open_until"] is not None}


def _moved(row: Row, probes: list[bool], rule: BreakerRule) -> tuple[int | None, int, int] | None:
    """The time it is open for (None: it closes), the openings and the probes after probes of the present opening; None when nothing changes."""
    openings: int = row["openings"]
    if not all(probes):
        return (rule.open_for(openings + 1), openings + 1, 1) if row["half_open"] else None
    if not probes:
        return None
    # A manual resend that succeeds while the breaker is open ends its time.
    allowed = row["probes"] + len(probes)
    return (None, 0, 0) if allowed >= PROBES_TO_CLOSE else (0, openings, allowed)


def _window_start(row: Row | None, rule: BreakerRule) -> str:
    """The attempt id that the window begins with: what failed before the breaker last closed is forgiven."""
    start = start_id("atmpt_", now() - timedelta(microseconds=rule.window))
    closed_at = None if row is None else row["closed_at"]
    return start if closed_at is None else max(start, end_id("atmpt_", from_us(closed_at)))
