"""Group commit: what arrives while a flush is running is flushed together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from graphook.errors import Overloaded, Unavailable

# A flush that takes longer may be waiting for a lock; others need not wait with it.
SLOW_SECONDS = 0.05
# So many are worth a flush of their own beside one that is running: what it costs by itself is little for each of them.
ENOUGH = 128

Item = TypeVar("Item")
Result = TypeVar("Result")

# Writes a batch in one transaction; answers per item with a result or the exception that is the item's own.
Flush = Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]]


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    weight: int
    answer: asyncio.Future[Result]


class Batcher(Generic[Item, Result]):
    """Collects items and hands them to `flush`, at most `concurrency` flushes at a time. There is no timer.

    Beside a flush that is running another begins only when that one is slow or `ENOUGH` items wait (or a full batch): fewer flushes of more
    items cost less.

    While `max_waiting` items (0: any number) or `max_waiting_weight` wait, more are refused with `Overloaded`, several together or not at all.

    A flush takes up to `max_items` items and `max_weight` units of weight (but always one item). One that raises is split in halves until the
    item that broke it stands alone, so an item never fails its neighbours; an outage of the database is everybody's answer at once. What nobody waits for
    any more when its flush begins is left out.

    `pause(count, seconds)` is asked after a flush of so many items that took so long, and answers for how many seconds more it counts as running.
    """

    def __init__(
        self,
        flush: Flush[Item, Result],
        *,
        max_items: int,
        max_weight: int = 0,
        weigh: Callable[[Item], int] = lambda item: 0,
        concurrency: int = 2,
        max_waiting: int = 0,
        max_waiting_weight: int = 0,
        slow_seconds: float = SLOW_SECONDS,
        pause: Callable[[int, float], float] = lambda count, seconds: 0.0,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._max_weight = max_weight
        self._weigh = weigh
        self._concurrency = concurrency
        self._max_waiting = max_waiting
        self._max_waiting_weight = max_waiting_weight
        self._slow_seconds = slow_seconds
        self._pause = pause
        self._waiting_weight = 0
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._began = 0.0

    async def submit(self, item: Item) -> Result:
        """The item's result, once its batch is committed. Raises what the flush answered for it, or `Overloaded`."""
        self._refuse_too_many(1)
        return await self._enqueue(item)

    async def submit_all(self, items: Sequence[Item]) -> list[Result | BaseException]:
        """The results or exceptions of several items, in order. Raises `Overloaded`."""
        self._refuse_too_many(len(items))
        waiting = [self._enqueue(item) for item in items]
        try:
            return [await _outcome(answer) for answer in waiting]
        except asyncio.CancelledError:
            for answer in waiting:
                answer.cancel()
            raise

    async def drain(self) -> None:
        """Return when nothing waits or runs."""
        while self._running:
            await asyncio.wait(self._running)

    def _refuse_too_many(self, count: int) -> None:
        if self._max_waiting and len(self._queue) + count > max(self._max_waiting, count):
            raise Overloaded(f"{len(self._queue)} others wait to be written.")
        if self._max_waiting_weight and self._waiting_weight > self._max_waiting_weight:
            raise Overloaded(f"{self._waiting_weight} bytes of others wait to be written.")

    def _enqueue(self, item: Item) -> asyncio.Future[Result]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        waiting = _Waiting(item, self._weigh(item), answer)
        self._queue.append(waiting)
        self._waiting_weight += waiting.weight
        if self._may_start():
            # The task starts on the loop's next turn: whatever is submitted in this one goes with it.
            self._start()
        return answer

    def _may_start(self) -> bool:
        if not self._running:
            return True
        if len(self._running) >= self._concurrency:
            return False
        return len(self._queue) >= min(ENOUGH, self._max_items) or asyncio.get_running_loop().time() - self._began > self._slow_seconds

    def _start(self) -> None:
        self._began = asyncio.get_running_loop().time()
        task = asyncio.get_running_loop().create_task(self._run())
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        task.result()
        if self._queue and self._may_start():
            self._start()

    async def _run(self) -> None:
        batch: list[_Waiting[Item, Result]] = []
        weight = 0
        while self._queue and len(batch) < self._max_items:
            if batch and self._max_weight and weight + self._queue[0].weight > self._max_weight:
                break
            waiting = self._queue.popleft()
            weight += waiting.weight
            self._waiting_weight -= waiting.weight
            batch.append(waiting)
        if batch:
            began = asyncio.get_running_loop().time()
            await self._settle(batch)
            await asyncio.sleep(self._pause(len(batch), asyncio.get_running_loop().time() - began))

    async def _settle(self, waiting: Sequence[_Waiting[Item, Result]]) -> None:
        batch = [one for one in waiting if not one.answer.done()]
        if not batch:
            return
        results: Sequence[Result | Exception] | None = None
        try:
            results = await self._flush([one.item for one in batch])
        except Exception as error:
            if len(batch) == 1 or isinstance(error, Unavailable):
                results = [error] * len(batch)
        if results is None:  # outside of the handler: the errors of the halves would each carry this one along
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
            return
        for one, result in zip(batch, results, strict=True):
            if one.answer.done():  # its caller was cancelled; the row stands all the same
                continue
            if isinstance(result, Exception):
                one.answer.set_exception(result)
            else:
                one.answer.set_result(result)


async def _outcome(answer: asyncio.Future[Any]) -> Any:
    try:
        return await answer
    except Exception as error:
        return error
    finally:
        del answer  # the error knows this frame, and would go with it only when garbage is collected
