"""The broker wakes workers: it carries ids of endpoints that have something to send, never a payload and never the truth.

A wake-up that is lost costs at most a second: every engine looks for itself once a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker

from graphook import metrics

log = logging.getLogger(__name__)

QUEUE = "graphook"
MAX_IDS = 100
MAX_PENDING = 10_000
LONGEST_PAUSE = 0.02


def create_broker(redis_url: str | None, middleware: Sequence[dramatiq.Middleware] = ()) -> dramatiq.Broker:
    """Dramatiq's broker on Redis, or in this process when there is no Redis; without Dramatiq's retries, delays and results."""
    if redis_url is None:
        broker: dramatiq.Broker = StubBroker(middleware=list(middleware))
        broker.declare_queue(QUEUE)
    else:
        # Redis that does not answer must not hold up a thread for long. A worker's unacknowledged messages come back on maintenance only.
        broker = RedisBroker(
            url=redis_url,
            middleware=list(middleware),
            maintenance_chance=50_000,
            socket_timeout=2,
            socket_connect_timeout=2,
        )
        broker.declare_queue(QUEUE)
        # Nothing of ours is delayed: a consumer of the queue for that would ask Redis fifty times a second for nothing.
        broker.delay_queues.clear()
    return broker


class Waker:
    """Sends wake-ups off the event loop, one Dramatiq message per hundred ids, and gathers what arrives while one is being sent.

    Without a broker nobody would hear them, and none are kept.
    """

    def __init__(self, broker: dramatiq.Broker | None) -> None:
        self._broker = broker
        self._pending: dict[str, dict[str, None]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="graphook-wake")
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def wake(self, actor_name: str, ids: Iterable[str]) -> None:
        """Tell a worker that these have something to do. Never waits, never raises; ids beyond ten thousand are left to the tick."""
        broker = self._broker
        if broker is None:
            return
        pending = self._pending.setdefault(actor_name, {})
        for item in ids:
            if len(pending) >= MAX_PENDING:
                break
            pending[item] = None
        if pending and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._send(broker))

    async def close(self) -> None:
        """Send what is pending and stop."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=3)
        self._thread.shutdown(wait=False)

    async def _send(self, broker: dramatiq.Broker) -> None:
        loop = asyncio.get_running_loop()
        try:
            while any(self._pending.values()):
                batch, self._pending = self._pending, {}
                began = loop.time()
                await loop.run_in_executor(self._thread, self._enqueue, broker, batch)
                # On a busy process, where this takes long, wake-ups for more endpoints go together: at most half of the time is spent on them.
                await asyncio.sleep(min(loop.time() - began, LONGEST_PAUSE))
        finally:
            self._task = None

    def _enqueue(self, broker: dramatiq.Broker, batch: dict[str, dict[str, None]]) -> None:
        try:
            for actor_name, ids in batch.items():
                listed = list(ids)
                for start in range(0, len(listed), MAX_IDS):
                    broker.enqueue(
                        dramatiq.Message(
                            queue_name=QUEUE,
                            actor_name=actor_name,
                            args=(listed[start : start + MAX_IDS],),
                            kwargs={},
                            options={},
                        )
                    )
            self._failing = False
        except Exception as error:
            metrics.wake_failed()
            # The database has the deliveries; say once that wake-ups are not getting through.
            if not self._failing:
                log.warning("wake-ups do not get through, workers look once a second: %s", error)
            self._failing = True
