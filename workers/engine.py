"""The delivery engine: claims what is due, sends hundreds at a time on one event loop, and records the results in batches.

    wake-up (endpoint ids)  ─┐
    one-second tick          ├─► lanes ─► claim ─► send ─► settle ─► publish
    a send that finished     ┘

A lane is an endpoint that may have something ready. Wake-ups only make it faster: the tick finds everything by itself.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from graphook import metrics
from graphook.batch import Batcher
from graphook.errors import Unavailable
from graphook.ids import new_id
from graphook.live import Bus
from graphook.outage import log_outage
from graphook.sandbox import Sandbox
from graphook.sender import Sender
from graphook.settings import Settings
from models import claiming, delivery, endpoint_health
from models.breaker import BreakerRule
from models.claim import Claim, ClaimedEndpoint
from models.delivery import Result, State
from workers.lanes import Lanes
from workers.record import record
from workers.send import GONE, attempt, failure, unsent
from workers.tick import Tick

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# So many claims are made at a time.
CLAIMS = 2
# While `BUSY` or more are in flight, a transaction for few is followed by a pause this many times as long as it took, within a limit in seconds: claims
# are quick, and by themselves would be made for one or two at a time.
FEW, BUSY = 32, 8
PAUSE, LONGEST_PAUSE = 2.0, 0.02
TICK = 1.0
SETTLE_BATCH = 200
# Beyond the time an attempt may take: settling must be done before somebody else takes the delivery over.
LEASE_MARGIN = 15.0
# A process that was stopped this long between claiming and sending gives the claim back.
STALE_CLAIM = 10.0


@dataclass(slots=True)
class _Held:
    claim: Claim
    since: float


class Engine:
    """One per process. `wake` may be called from any thread; everything else belongs to the loop that `run` runs on."""

    def __init__(self, settings: Settings, sender: Sender, bus: Bus, sandbox: Sandbox, *, owns_database: bool = False) -> None:
        self.name = new_id("wrk_")
        self._settings = settings
        self._sender = sender
        self._bus = bus
        self._sandbox = sandbox
        self._owns_database = owns_database
        self._rule = BreakerRule.of(settings)
        # One waits for the database while another's deliveries are sent; SQLite takes one transaction at a time anyway.
        self._claims = 1 if owns_database else CLAIMS
        self._lanes = Lanes(settings.worker_slots, settings.endpoint_slots, self._claims)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._awake = asyncio.Event()
        self._stopping = False
        self._ended = asyncio.Event()
        self._tick = Tick(settings.retention_days, bus, self._add_lanes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settle: Batcher[Result, None] = Batcher(self._settle_batch, max_items=SETTLE_BATCH, pause=self._pause)

    def wake(self, endpoint_ids: Iterable[str]) -> None:
        """These endpoints may have something ready. Thread-safe."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._add_lanes, list(endpoint_ids))

    async def run(self) -> None:
        """Work until `stop`. A database that goes away is waited for."""
        self._loop = asyncio.get_running_loop()
        if self._owns_database:
            await self._through_outages(delivery.take_back_all, self.name)
        tick = asyncio.create_task(self._tick_forever())
        metrics.watch(in_flight=lambda: self._lanes.sending, unrecorded=lambda: self._lanes.held - self._lanes.sending)
        log.info("delivery engine %s is ready", self.name, extra={"engine": self.name})
        try:
            await asyncio.gather(*(self._claim_forever() for _ in range(self._claims)))
        finally:
            tick.cancel()
            await asyncio.gather(tick, return_exceptions=True)
            self._ended.set()

    async def stop(self) -> None:
        """Claim nothing more; return when what is in flight is recorded."""
        self._stopping = True
        self._awake.set()
        if self._loop is not None:  # a claim that is being made is still sent
            await self._ended.wait()
        while self._deliveries:
            await asyncio.wait(self._deliveries)
        await self._settle.drain()
        log.info("delivery engine %s has stopped", self.name, extra={"engine": self.name})

    def _pause(self, count: int, seconds: float) -> float:
        """How long to wait after a transaction for so many: slots come free and results come in one by one, and together they cost less."""
        return min(PAUSE * seconds, LONGEST_PAUSE) if count < FEW and self._lanes.held >= BUSY else 0.0

    # Claiming

    def _add_lanes(self, endpoint_ids: Iterable[str]) -> None:
        self._lanes.add(endpoint_ids)
        self._awake.set()

    async def _claim_forever(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            claimed = await self._through_outages(self._claim_once)
            if claimed is not None:
                await asyncio.sleep(self._pause(claimed, time.monotonic() - began))
            elif not self._stopping:  # nobody would wake it again
                await self._wait()

    async def _wait(self) -> None:
        """Until there is something to claim: a wake-up, a finished send, or the time a limited lane may go on."""
        timeout = self._lanes.until_next()
        if timeout is None or timeout > 0:
            try:
                async with asyncio.timeout(timeout):
                    await self._awake.wait()
            except TimeoutError:
                pass
        self._awake.clear()

    async def _claim_once(self) -> int | None:
        """Claim one batch and begin to send it; how many deliveries it has, None when there is nothing to claim or no slot is free."""
        wanted = {} if self._stopping else self._lanes.choose()
        if not wanted:
            return None
        since = time.monotonic()
        lease, transform = round((self._settings.request_timeout + LEASE_MARGIN) * 1e6), round(self._sandbox.longest * 1e6)
        try:
            claimed = await claiming.claim(wanted, self.name, lease, transform_us=transform, breaker=self._settings.breaker)
        except BaseException:
            self._lanes.claimed(wanted, {}, more=wanted)
            self._awake.set()
            raise
        found = Counter(claim.endpoint.id for claim in claimed.claims)
        self._lanes.claimed(wanted, found, more=claimed.more, later=claimed.later, full=claimed.full)
        metrics.claimed(len(claimed.claims), time.monotonic() - since)
        for claim in claimed.claims:
            task = asyncio.create_task(self._deliver(_Held(claim, since)))
            self._deliveries.add(task)
            task.add_done_callback(self._deliveries.discard)
        self._bus.publish(claimed.canceled_apps)
        self._awake.set()  # another claim may have waited for the slots or the lanes of this one
        return len(claimed.claims)

    # Sending

    async def _deliver(self, held: _Held) -> None:
        claim = held.claim
        try:
            try:
                result = await self._send(held)
            finally:
                claim.body = claim.params = None  # many results may wait to be recorded
                self._lanes.sent(claim.endpoint.id)
                self._awake.set()
            if result is not None:
                await record(claim, partial(self._settle.submit, result), lambda: self._stopping)
        except Exception:
            # Left leased: the delivery is taken back when the lease runs out, and quarantined if this goes on.
            log.exception("sending message %s to endpoint %s broke off", claim.message_id, claim.endpoint.id)
        finally:
            self._lanes.recorded(claim.endpoint.id)
            self._awake.set()

    async def _send(self, held: _Held) -> Result | None:
        """What came of it; None when there is nothing to record."""
        claim = held.claim
        if claim.is_over:
            log.warning("the lease of message %s was over before it was sent; others take it back", claim.message_id)
        elif time.monotonic() - held.since > STALE_CLAIM:
            log.warning("a claim on message %s went stale before it was sent; it is given back", claim.message_id)
            return unsent(claim)
        elif claim.body is None:
            await record(claim, partial(delivery.cancel, [claim], "the payload has expired or was expunged"), lambda: self._stopping)
            self._bus.publish([claim.app_id])
        else:
            return await attempt(claim, claim.body, self._sender, self._settings, self._sandbox)
        return None

    async def _settle_batch(self, results: Sequence[Result]) -> list[Exception | None]:
        began = time.monotonic()
        settled = await delivery.settle(results, self._rule)
        self._add_lanes(settled.told)
        metrics.settled(((r.state.name.lower(), failure(r), r.duration_ms) for r in results if r.recorded), time.monotonic() - began)
        for endpoint_id in settled.opened:
            log.warning("the breaker of endpoint %s is open: too many tries failed", endpoint_id)
        self._bus.publish({result.claim.app_id for result in results})
        gone = [r.claim.endpoint for r in results if r.status_code == GONE]
        exhausted = [r.claim.endpoint for r in results if r.state is State.FAILED and not r.claim.run]
        # Behind an open breaker hardly any schedule comes to its end, and the clock goes on.
        exhausted += [r.claim.endpoint for r in results if r.state is not State.SUCCEEDED and r.counted and r.claim.probe]
        if gone and self._settings.disable_on_gone:
            await self._disable(gone, None, "gone", "it answered 410 Gone")
        if exhausted and self._settings.disable_after_hours:
            window = round(self._settings.disable_after_hours * 3600 * 1_000_000)
            await self._disable(exhausted, window, "failing", "every attempt failed for too long")
        return [None] * len(results)

    async def _disable(self, endpoints: Iterable[ClaimedEndpoint], failing_for_us: int | None, reason: str, why: str) -> None:
        disabled, told = await endpoint_health.disable([(one.id, one.url) for one in endpoints], failing_for_us=failing_for_us)
        self._add_lanes(told)
        for endpoint_id in disabled:
            metrics.endpoint_disabled(reason)
            log.warning("endpoint %s is disabled: %s", endpoint_id, why, extra={"endpoint_id": endpoint_id, "reason": reason})

    async def _tick_forever(self) -> None:
        while True:
            more = await self._through_outages(self._tick.look)
            await asyncio.sleep(0 if more else TICK * random.uniform(0.8, 1.2))

    async def _through_outages(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call until the database answers; a fault of ours is logged and the caller goes on after a pause."""
        while not self._stopping:
            try:
                return await call(*args, **kwargs)
            except Unavailable as error:
                log_outage(error.__cause__ or error)
            except Exception:
                log.exception("the engine stumbled and goes on")
            await asyncio.sleep(random.uniform(0.5, 1.0))
        return None
