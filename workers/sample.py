"""Measure once in a while what no event reports: how late the event loop runs, and how much is ready to be sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graphook import database, metrics
from graphook.database import Statement
from graphook.errors import Unavailable
from graphook.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
BACKLOG_EVERY = 15.0
COUNTED = 100_000

# The scan stops at so many, so that a long backlog costs no more to count than to have.
_BACKLOG = Statement.same("""
    WITH lane AS (
        SELECT endpoint_id, count(*) AS ready, min(due_at) AS due_at FROM (SELECT endpoint_id, due_at FROM delivery WHERE state = 0 LIMIT $1) d
        GROUP BY endpoint_id)
    SELECT COALESCE(sum(ready), 0) AS ready, COALESCE((graphook_now() - min(due_at)) / 1e6, 0) AS oldest,
           COALESCE((graphook_now() - min(due_at) FILTER (WHERE NOT restricted)) / 1e6, 0) AS unrestricted
    FROM (
        SELECT lane.ready, lane.due_at,
               COALESCE(e.rate_limit, a.rate_limit) IS NOT NULL OR e.delivery_policy ->> 'max_in_flight' IS NOT NULL
               OR COALESCE((e.delivery_policy ->> 'ordered')::bool, false) OR r.open_until IS NOT NULL AS restricted
        FROM lane JOIN endpoint e ON e.id = lane.endpoint_id JOIN application a ON a.id = e.app_id
          LEFT JOIN restriction r ON r.endpoint_id = e.id) lanes""")


@asynccontextmanager
async def sampled(settings: Settings, *, backlog: bool) -> AsyncIterator[int | None]:
    """Show the process's metrics and keep its samples fresh, where the settings say so; with the port. `backlog`: also that of the database."""
    with metrics.served(settings.metrics_host, settings.metrics_port) as port:
        if port is None:
            yield None
            return
        if not settings.embedded:
            metrics.watch(connections=database.connections)
        task = asyncio.create_task(_sample_forever(backlog))
        try:
            yield port
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _sample_forever(backlog: bool) -> None:
    looked_at = -BACKLOG_EVERY
    while True:
        due = time.monotonic() + LOOK_EVERY
        await asyncio.sleep(LOOK_EVERY)
        metrics.loop_lagged(max(0.0, time.monotonic() - due))
        if backlog and time.monotonic() - looked_at >= BACKLOG_EVERY:
            looked_at = time.monotonic()
            try:
                await look_at_backlog()
            except Unavailable as error:
                log.debug("the backlog was not counted: %s", error)
            except Exception:
                log.exception("the backlog was not counted")


async def look_at_backlog() -> None:
    """Count what is ready, and see how long the oldest of it has waited, also of what no endpoint holds back itself."""
    async with database.read() as session:
        row = (await session.fetch(_BACKLOG, COUNTED))[0]
    metrics.backlog(int(row["ready"]), max(0.0, float(row["oldest"])), max(0.0, float(row["unrestricted"])))
