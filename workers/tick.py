"""The tick: what an engine finds by itself, whether or not a wake-up said so."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable

from graphook import database, metrics
from graphook.errors import Unavailable
from graphook.live import Bus
from models import delivery, statistic
from workers.fanout import FanOuts
from workers.prune import prune

log = logging.getLogger(__name__)

SCAN = 1000
FOLD = 2000
# So many seconds after an outage, or after this process stood still, no lease is taken back: results that were kept through it, here or in another
# process, are recorded first.
RESULTS_FIRST = 2.0
# Who looks again only after so many seconds was stopped, or the machine was, and what came for it meanwhile is still to be read.
STOOD_STILL = 5.0
PRUNE_EVERY = 60.0


class Tick:
    """Looks for work of each kind; `wake` is told of the endpoints that have something ready, `bus` of the applications that have news."""

    def __init__(self, retention_days: int, bus: Bus, wake: Callable[[Iterable[str]], None]) -> None:
        self._retention_days = retention_days
        self._bus = bus
        self._wake = wake
        self._scan_after = ""
        self._prune_at = 0.0
        self._answers = True
        self._take_back_at = 0.0
        # By the wall clock: others stand still with a machine that is suspended.
        self._looked_at = math.inf
        self._fan_outs = FanOuts()

    async def look(self) -> bool:
        """Do some of each kind, so that none waits for all of another. Whether there is more.

        Raises what one of them has failed at, after the others.
        """
        stood_still = time.time() - self._looked_at > STOOD_STILL
        if await self._answers_again() or stood_still:
            self._take_back_at = time.monotonic() + RESULTS_FIRST
        more, failures = False, list[Exception]()
        for part in (self._take_back, self._promote, self._fan_out, self._scan, self._fold, self._prune):
            try:
                more = await part() or more
            except Exception as error:
                failures.append(error)
                if isinstance(error, Unavailable):  # for that one alone, or an outage: then the tick is over
                    await self._answers_again()
        self._looked_at = time.time()
        for other in failures[1:]:
            if not isinstance(other, Unavailable):  # which is in the log already
                log.error("the engine stumbled and goes on: %s", other, exc_info=other)
        if failures:
            raise failures[0]
        return more

    async def _answers_again(self) -> bool:
        """Ask the database; whether it had not answered when it was asked before. Raises `Unavailable`, which the next time remembers."""
        answered, self._answers = self._answers, False
        await database.answers()
        self._answers = True
        return not answered

    async def _take_back(self) -> bool:
        if time.monotonic() < self._take_back_at:
            return False
        lanes, apps, taken_back = await delivery.take_back(SCAN)
        metrics.leases_taken_back(taken_back)
        self._wake(lanes)
        self._bus.publish(apps)
        return taken_back >= SCAN

    async def _promote(self) -> bool:
        lanes, promoted = await delivery.promote(SCAN)
        self._wake(lanes)
        return promoted >= SCAN

    async def _fan_out(self) -> bool:
        page = await self._fan_outs.page()
        self._wake(page or ())
        return page is not None

    async def _scan(self) -> bool:
        found = await delivery.lanes(self._scan_after, SCAN)
        self._scan_after = found[-1] if len(found) == SCAN else ""
        self._wake(found)
        return False

    async def _fold(self) -> bool:
        return await statistic.fold(FOLD) >= FOLD

    async def _prune(self) -> bool:
        if time.monotonic() >= self._prune_at:
            # Also what fails is tried again a minute later only.
            self._prune_at = time.monotonic() + PRUNE_EVERY
            if await prune(self._retention_days) >= SCAN:
                self._prune_at = 0.0
        return False
