"""Claiming deliveries: leasing to a process what is ready, as much of it as the process has slots for and each endpoint allows."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Self

from graphook import database
from graphook.database import Row, Session
from models import claiming_sql as sql
from models import restriction
from models.cancel import CLOSED
from models.claim import Claim, ClaimedEndpoint, claim_of, claimed_endpoint
from models.restriction import Limits, Room

log = logging.getLogger(__name__)

# What a claim cancels at most of a disabled endpoint; the rest is found again.
CANCEL_PER_LANE = 200
# Until an endpoint that we cannot read is looked at again.
UNREADABLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """The leased deliveries. Lanes that may hold more are to be looked at again now (`more`), after so many seconds (`later`), or once something of
    theirs that is in flight has ended (`full`). `canceled_apps` are the applications of what was canceled."""

    claims: list[Claim]
    more: list[str]
    later: dict[str, float]
    full: list[str]
    canceled_apps: Set[str]


@dataclass(frozen=True, slots=True)
class _Lane:
    endpoint: ClaimedEndpoint
    limits: Limits | None
    lease_us: int

    @classmethod
    def of(cls, row: Row, lease_us: int, transform_us: int, breaker: bool) -> Self:
        endpoint = claimed_endpoint(row, breaker)
        limits = Limits.of(row["rate_limit"], endpoint.policy, bool(endpoint.breaker and row["tripped"]))
        return cls(endpoint, limits, lease_us + (0 if endpoint.code is None else transform_us))


async def claim(wanted: Mapping[str, int], leased_by: str, lease_us: int, *, transform_us: int = 0, breaker: bool = False) -> Claimed:
    """Lease ready deliveries: of each endpoint in `wanted` at most so many, oldest first, within what restricts it.

    A lease is `transform_us` longer where there is a transformation. `breaker` is for endpoints that do not choose. What is ready for a disabled or deleted endpoint is canceled instead.
    """
    began = time.monotonic()
    async with database.read() as session:
        rows = {row["id"]: row for row in await session.fetch(sql.ENDPOINTS, sorted(wanted))}
        lanes = _readable([row for row in rows.values() if not row["closed"]], lease_us, transform_us, breaker)
        limits = {endpoint_id: lane.limits for endpoint_id, lane in lanes.items() if lane.limits is not None}
        free = {} if session.dialect == "sqlite" else {lane: wanted[lane] for lane in lanes.keys() - limits.keys()}
        if free and len(free) == len(wanted):
            return _claimed(wanted, lanes, *await _claim_free(session, lanes, free, leased_by), {}, began)
    async with database.transaction() as session:
        canceled = await _cancel_ready(session, sorted(lane for lane in wanted if lane not in rows or rows[lane]["closed"]))
        rooms = await restriction.look(session, wanted, limits)
        picked = await _pick(session, {lane: wanted[lane] for lane in lanes.keys() - rooms.keys() - free.keys()} | _unordered(rooms))
        picked += await restriction.pick_queued(session, rooms)
        await restriction.write(session, rooms, picked)
        counted = {lane for lane, room in rooms.items() if room.counted}
        await session.write_rows(sql.LEASE, sorted(_lease(row, leased_by, lanes, counted) for row in picked))
        bodies = {row["id"]: row for row in await session.fetch(sql.BODIES, sorted({row["message_id"] for row in picked}))}
        if free:
            more, their_bodies = await _claim_free(session, lanes, free, leased_by)
            picked, bodies = [*picked, *more], bodies | their_bodies
    claimed = _claimed(wanted, lanes, picked, bodies, rooms, began)
    by_endpoint = Counter(row["endpoint_id"] for row in canceled)
    return replace(
        claimed,
        more=[*claimed.more, *(lane for lane, count in by_endpoint.items() if count >= CANCEL_PER_LANE)],
        later=claimed.later | {lane: UNREADABLE_SECONDS for lane, row in rows.items() if lane not in lanes and not row["closed"]},
        canceled_apps={row["app_id"] for row in canceled},
    )


def _readable(rows: Sequence[Row], lease_us: int, transform_us: int, breaker: bool) -> dict[str, _Lane]:
    """The lanes of endpoints. One that we cannot read must not keep the others from being claimed."""
    lanes = {}
    for row in rows:
        try:
            lanes[row["id"]] = _Lane.of(row, lease_us, transform_us, breaker)
        except Exception:
            log.exception("endpoint %s cannot be read; nothing is sent to it", row["id"], extra={"endpoint_id": row["id"]})
    return lanes


async def _claim_free(
    session: Session, lanes: Mapping[str, _Lane], free: Mapping[str, int], leased_by: str
) -> tuple[Sequence[Row], dict[str, Row]]:
    """Lease of endpoints that nothing restricts, in one statement; with the rows that have the bodies, by message."""
    leases = [lanes[lane].lease_us for lane in free]
    picked = await session.fetch_text(sql.CLAIM, list(free), list(free.values()), leases, leased_by)
    return picked, {row["message_id"]: row for row in picked if row["body"] is not None}


def _claimed(
    wanted: Mapping[str, int],
    lanes: Mapping[str, _Lane],
    picked: Sequence[Row],
    bodies: Mapping[str, Row],
    rooms: Mapping[str, Room],
    began: float,
) -> Claimed:
    taken = Counter(row["endpoint_id"] for row in picked)
    openings = {lane: room.opening for lane, room in rooms.items()}
    until = {endpoint_id: began + lane.lease_us / 1_000_000 for endpoint_id, lane in lanes.items()}
    claims = [
        claim_of(row, lanes[lane].endpoint, bodies.get(row["message_id"]), openings.get(lane, 0), until[lane])
        for row in picked
        for lane in (row["endpoint_id"],)
    ]
    full = [lane for lane, room in rooms.items() if room.is_full]
    later = {lane: room.later for lane, room in rooms.items() if lane not in full and room.later is not None}
    more = [lane for lane in lanes if taken[lane] >= wanted[lane] and lane not in full and lane not in later]
    return Claimed(claims, more, later, full, frozenset())


def _lease(row: Row, leased_by: str, lanes: Mapping[str, _Lane], counted: Set[str]) -> tuple[Any, ...]:
    endpoint_id = row["endpoint_id"]
    return row["message_id"], endpoint_id, row["run"], leased_by, lanes[endpoint_id].lease_us, endpoint_id in counted


def _unordered(rooms: Mapping[str, Room]) -> dict[str, int]:
    return {lane: room.size for lane, room in rooms.items() if not room.limits.ordered and not room.is_open}


async def _cancel_ready(session: Session, endpoint_ids: Sequence[str]) -> list[Row]:
    """Cancel some of what is ready for those that are still disabled or deleted: none is enabled meanwhile, and then sent a message that we cancel."""
    if not endpoint_ids:
        return []
    opened = {row["id"] for row in await session.fetch(sql.HOLD_CLOSED, endpoint_ids) if not row["closed"]}
    rows = list(await session.fetch(sql.PICK, [lane for lane in endpoint_ids if lane not in opened], CANCEL_PER_LANE))
    await session.write_rows(sql.CANCEL_READY, sorted((row["message_id"], row["endpoint_id"], row["run"], CLOSED) for row in rows))
    return rows


async def _pick(session: Session, allowed: Mapping[str, int]) -> list[Row]:
    by_count: dict[int, list[str]] = {}
    for lane, n in sorted(allowed.items()):
        by_count.setdefault(n, []).append(lane)
    picked: list[Row] = []
    for n, lanes_of_n in sorted(by_count.items()):
        if n > 0:
            picked += await session.fetch(sql.PICK, lanes_of_n, n)
    return picked
