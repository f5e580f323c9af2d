"""What holds an endpoint's deliveries back: a rate limit, how many may be in flight, the order of its queue, an open breaker.

A restricted endpoint has a row. A claim locks it, decides, and writes it back with the leases, so that all processes together keep to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from graphook.database import Row, Session
from models import restriction_sql as sql
from models.delivery_policy import DeliveryPolicy

# A bucket holds a fifth of a second's worth: in any one second at most 1.2 times the rate is sent.
BURST = 0.2
# Another process is claiming from the endpoint: it is done in a few milliseconds.
BUSY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """What restricts an endpoint. `rate` is per second; `tripped` says that its breaker is not closed."""

    rate: float | None
    max_in_flight: int | None
    ordered: bool
    tripped: bool = False

    @classmethod
    def of(cls, rate: int | None, policy: DeliveryPolicy, tripped: bool) -> Self | None:
        """The limits of an endpoint, None when nothing restricts it."""
        if rate is None and policy.max_in_flight is None and not policy.ordered and not tripped:
            return None
        return cls(rate, policy.max_in_flight, bool(policy.ordered), tripped)

    @property
    def counts(self) -> bool:
        """Whether leases are counted."""
        return self.tripped or self.max_in_flight is not None

    @property
    def burst(self) -> float:
        return max(1.0, (self.rate or 0) * BURST)


@dataclass(slots=True)
class Room:
    """How much may be claimed of a restricted endpoint now, and, once it has been, what was `taken`."""

    endpoint_id: str
    limits: Limits
    wanted: int
    row: Row | None
    in_flight: int
    tokens: float = 0.0
    head: str | None = None
    taken: int = 0
    # The present opening of the breaker, 0 when it is closed, and for how many seconds yet.
    opening: int = 0
    open_for: float = 0.0

    def __post_init__(self) -> None:
        if self.row is not None:
            self.head = self.row["head"]
            refill = max(0.0, float(self.row["seconds"])) * (self.limits.rate or 0)
            if self.limits.tripped and self.row["open_for"] is not None:
                self.opening, self.open_for = self.row["openings"], float(self.row["open_for"])
            # What an ordered queue took while no rate was set is no debt.
            self.tokens = min(self.limits.burst, max(0.0, self.row["tokens"]) + refill)

    @property
    def _below_rate(self) -> int:
        return self.wanted if self.limits.rate is None else int(self.tokens)

    @property
    def is_open(self) -> bool:
        """Whether the breaker lets nothing but a manual resend through."""
        return self.open_for > 0

    @property
    def _below_ceiling(self) -> int:
        ceiling = self.limits.max_in_flight
        if self.opening and self.row is not None:
            probes = 1 if self.is_open else self.row["probes"]
            ceiling = probes if ceiling is None else min(ceiling, probes)
        return self.wanted if ceiling is None else max(0, ceiling - self.in_flight)

    @property
    def size(self) -> int:
        """How many may be claimed."""
        return 0 if self.row is None else min(self.wanted, self._below_rate, self._below_ceiling)

    @property
    def counted(self) -> bool:
        """Whether its leases are counted."""
        return self.limits.counts

    @property
    def is_full(self) -> bool:
        """Whether there may be more once something in flight has ended."""
        return self.row is not None and (self.taken >= self._below_ceiling or (self.limits.ordered and self.taken > 0))

    @property
    def later(self) -> float | None:
        """Seconds after which there may be more without anything ending; None when time changes nothing."""
        if self.row is None:
            return BUSY_SECONDS
        if self.is_open:
            return min(1.0, self.open_for)
        if self.limits.rate is not None and self.taken >= self._below_rate:
            return max(0.02, min(1.0, 1.0 / self.limits.rate))
        return None


async def look(session: Session, wanted: Mapping[str, int], limits: Mapping[str, Limits]) -> dict[str, Room]:
    """Lock the rows of the restricted endpoints among those wanted, and say how much room they have."""
    if not limits:
        return {}
    await session.write_rows(sql.OPEN, sorted((lane, limit.burst) for lane, limit in limits.items()))
    locked = {row["endpoint_id"]: row for row in await session.fetch(sql.LOCK, sorted(limits))}
    # Counted under the lock: whoever held it before has committed its leases.
    counted = sorted(lane for lane in locked if limits[lane].counts)
    in_flight = {row["endpoint_id"]: row["n"] for row in await session.fetch(sql.IN_FLIGHT, counted)} if counted else {}
    return {lane: Room(lane, limit, wanted[lane], locked.get(lane), in_flight.get(lane, 0)) for lane, limit in limits.items()}


async def pick_queued(session: Session, rooms: Mapping[str, Room]) -> list[Row]:
    """The heads of the ordered queues that are ready, and one manual resend of each, which passes the queue as it does an open breaker."""
    queues = {lane: room for lane, room in rooms.items() if (room.limits.ordered or room.is_open) and room.size > 0}
    if not queues:
        return []
    heads = await session.fetch_rows(sql.PICK_HEADS, sorted((lane, room.head) for lane, room in queues.items() if not room.is_open))
    for row in heads:
        rooms[row["endpoint_id"]].head = row["message_id"]
    taken = {row["endpoint_id"] for row in heads}
    roomy = sorted(lane for lane, room in queues.items() if room.size > (lane in taken))
    return [*heads, *(await session.fetch(sql.PICK_RESENDS, roomy) if roomy else ())]


async def write(session: Session, rooms: Mapping[str, Room], picked: Sequence[Row]) -> None:
    """Write back what was taken."""
    for lane, n in Counter(row["endpoint_id"] for row in picked).items():
        if lane in rooms:
            rooms[lane].taken = n
    changed = [room for room in rooms.values() if room.row is not None and (room.limits.rate is not None or room.limits.ordered)]
    await session.write_rows(sql.WRITE, sorted((room.endpoint_id, room.tokens - room.taken, room.head) for room in changed))


async def forget_head(session: Session, endpoint_id: str) -> None:
    """Let the endpoint's queue begin anew: what was at its head when it was ordered before holds nothing up."""
    await session.fetch(sql.FORGET_HEAD, endpoint_id)
