"""How much an organisation has ready and unsent, so that a flood is refused before it is accepted."""

from __future__ import annotations

import asyncio
import time

from graphook import database
from graphook.database import Statement
from graphook.errors import Overloaded, Unavailable

# Per endpoint one probe into the index of what is ready; counting ends at the limit. Operational messages are not the organisation's doing.
_READY = "SELECT count(*) AS ready FROM (SELECT 1 FROM application a {} WHERE a.org_id = $1 AND NOT a.operational LIMIT $2) counted"
# From the organisation's own applications down: the planner would rather read all that is ready.
READY = Statement(
    postgresql=_READY.format("""JOIN endpoint e ON e.app_id = a.id
        CROSS JOIN LATERAL (SELECT 1 FROM delivery d WHERE d.endpoint_id = e.id AND d.state = 0 LIMIT $2) d"""),
    sqlite=_READY.format("""CROSS JOIN endpoint e ON e.app_id = a.id
        CROSS JOIN delivery d ON d.endpoint_id = e.id AND d.state = 0""").replace("$", "?"),
)
COUNT_EVERY = 2.0
# A count says nothing of an organisation any more that has been quiet for so many seconds.
BELIEVED = 15.0


class Backlog:
    """Refuses messages of organisations that have `limit` deliveries or more ready and unsent.

    Each organisation's are counted in the background, every two seconds at most while it sends: nobody waits for the count.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Organisation id → when it was counted last, and whether its backlog was full.
        self._known: dict[str, tuple[float, bool]] = {}
        self._counting: dict[str, asyncio.Task[None]] = {}

    def check(self, org_id: str) -> None:
        """Raises `Overloaded` (BACKLOG_FULL) when the organisation must wait."""
        counted_at, full = self._known.get(org_id, (float("-inf"), False))
        full = full and time.monotonic() - counted_at < BELIEVED
        if time.monotonic() - counted_at > COUNT_EVERY and org_id not in self._counting:
            task = self._counting[org_id] = asyncio.create_task(self._count(org_id))
            task.add_done_callback(lambda _: self._counting.pop(org_id, None))
        if full:
            raise Overloaded(
                f"{self._limit} deliveries or more of this organisation are ready and unsent; send again when some are done.",
                code="BACKLOG_FULL",
            )

    async def counted(self) -> None:
        """Return when every count that was begun is done."""
        await asyncio.gather(*self._counting.values())

    async def _count(self, org_id: str) -> None:
        try:
            async with database.read() as session:
                full = int((await session.fetch(READY, org_id, self._limit))[0]["ready"]) >= self._limit
        except Unavailable:
            return  # the message itself meets the same outage
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[org_id] = (time.monotonic(), full)
