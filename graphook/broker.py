"""The broker wakes workers: it carries ids of endpoints that have something to send, never a payload and never the truth.

A wake-up that is lost costs at most a second: every engine looks for itself once a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import ConnectionClosed

from graphook import metrics

log = logging.getLogger(__name__)

QUEUE = "graphook"
MAX_IDS = 100
MAX_PENDING = 10_000
LONGEST_PAUSE = 0.02
# Where so many messages wait, no worker runs, or none keeps up: for so many seconds none is added.
MAX_WAITING, UNHEARD_SECONDS = 1000, 1.0
# Who has as many messages as it may hold looks again after so many seconds: its threads need a fraction of a millisecond for one.
FULL_SECONDS = 0.002


class _Consumer(_RedisConsumer):
    """Waits until it hears of a message, where Dramatiq's asks Redis fifty times a second: that took the interpreter from the engine each time.

    `timeout` is in milliseconds, after which it looks by itself: what is said while it is not connected is not heard.
    """

    def __init__(self, broker: _Broker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, 0)  # type: ignore[no-untyped-call]
        self._seconds = timeout / 1000
        self._pubsub = broker.client.pubsub(ignore_subscribe_messages=True)

    def __next__(self) -> dramatiq.MessageProxy | None:
        try:
            if not self._pubsub.subscribed:
                self._pubsub.subscribe(self.broker.channel(self.queue_name))
            full = self.outstanding_message_count >= self.prefetch
            found: dramatiq.MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
            if found is None and full:
                time.sleep(FULL_SECONDS)
            elif found is None and self._pubsub.get_message(timeout=self._seconds) is not None:
                while self._pubsub.get_message() is not None:  # one look finds all that was said by now
                    pass
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None
        return found

    def close(self) -> None:
        """Hear no more."""
        self._pubsub.close()


class _Broker(RedisBroker):
    # In seconds of this process's monotonic clock.
    _unheard_until = 0.0

    @property
    def consumer_class(self) -> type[_Consumer]:
        """What workers consume with."""
        return _Consumer

    def channel(self, queue_name: str) -> str:
        """Where it is said that a queue has something."""
        return f"{self.namespace}:{queue_name}.said"

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Enqueue a message and say so, unless nobody seems to listen: what they would be told, workers find by themselves when they come."""
        if time.monotonic() < self._unheard_until:
            return message
        enqueued: dramatiq.Message[Any] = super().enqueue(message, delay=delay)
        with self.client.pipeline(transaction=False) as said:
            said.publish(self.channel(message.queue_name), b"")
            said.llen(f"{self.namespace}:{message.queue_name}")
            _, waiting = said.execute()
        if waiting >= MAX_WAITING:
            self._unheard_until = time.monotonic() + UNHEARD_SECONDS
        return enqueued


def create_broker(redis_url: str | None, middleware: Sequence[dramatiq.Middleware] = ()) -> dramatiq.Broker:
    """Dramatiq's broker on Redis, or in this process when there is no Redis; without Dramatiq's retries, delays and results."""
    if redis_url is None:
        broker: dramatiq.Broker = StubBroker(middleware=list(middleware))
        broker.declare_queue(QUEUE)
    else:
        # Redis that does not answer must not hold up a thread for long. A worker's unacknowledged messages come back on maintenance only.
        broker = _Broker(  # type: ignore[no-untyped-call]
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
