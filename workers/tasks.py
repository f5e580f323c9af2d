"""Runs background tasks: takes one up, does its steps one transaction at a time, and leaves it to another worker when its turn ends or this one dies.

A kind of task is a step function. It gets the session of the step's transaction, the task and how far it has come, does a page of work and says
how far it has come then. The work and the position are committed together, so a crash repeats nothing and skips nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphook import database
from graphook.database import Session
from graphook.errors import GraphookError, Unavailable
from graphook.ids import id_time
from graphook.live import Bus
from graphook.outage import log_outage
from models.task import MAX_STARTS, ClaimedTask, LeaseLost, TaskStatus, TaskType, claim_task, take_back_tasks

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
LEASE_SECONDS = 30.0
AT_ONCE = 2
# A task that took so many seconds of steps is given back, for others to have their turn.
TURN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did: how far the task has come, in percent too, its result once it is done, and the endpoints that have something to send."""

    state: Mapping[str, Any]
    progress: float = 0.0
    done: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)
    endpoint_ids: Iterable[str] = ()


def progress_within(task: ClaimedTask, reached: str) -> float:
    """How much of the task's window of messages, the ids `from` and `to` of its arguments, lies behind the id it has reached, in percent."""
    begin, end, at = (id_time(text) for text in (task.arguments["from"], task.arguments["to"], reached))
    share = (at - begin) / (end - begin) if end > begin else 1.0
    return round(100 * min(max(share, 0.0), 0.99), 1)


TakeStep = Callable[[Session, ClaimedTask, Mapping[str, Any]], Awaitable[Step]]


class TaskRunner:
    """One per process: works on a few tasks at a time until it is stopped."""

    def __init__(
        self,
        worker: str,
        steps: Mapping[TaskType, TakeStep],
        wake: Callable[[Iterable[str]], None],
        bus: Bus,
        *,
        kinds: Iterable[TaskType] | None = None,
        at_once: int = AT_ONCE,
        owns_database: bool = False,
        lease_seconds: float = LEASE_SECONDS,
        look_every: float = LOOK_EVERY,
        turn_seconds: float = TURN_SECONDS,
    ) -> None:
        self._worker = worker
        self._steps = steps
        self._kinds = tuple(steps if kinds is None else kinds)
        self._at_once = at_once
        self._look_every = look_every
        self._turn_seconds = turn_seconds
        self._wake = wake
        self._bus = bus
        self._owns_database = owns_database
        self._lease_us = round(lease_seconds * 1_000_000)
        self._stopping = asyncio.Event()
        self._awake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Work until `stop`."""
        self._loop = asyncio.get_running_loop()
        if self._owns_database:
            await self._through_outages(lambda: take_back_tasks(self._worker))
        await asyncio.gather(*(self._work() for _ in range(self._at_once)))

    def stop(self) -> None:
        """Take up nothing more; a task at work is given back after its present step."""
        self._stopping.set()
        self._awake.set()

    def look(self) -> None:
        """There may be something to take up. Thread-safe."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._awake.set)

    async def _claim(self) -> tuple[ClaimedTask | None, float]:
        """The next task, and until when it is leased at least, by this process's monotonic clock."""
        asked = time.monotonic()
        return await claim_task(self._worker, self._lease_us, self._kinds), asked + self._lease_us / 1_000_000

    async def _work(self) -> None:
        while not self._stopping.is_set():
            task, until = await self._through_outages(self._claim) or (None, 0.0)
            if task is not None:
                # No longer than it is leased: what never gets through must count as taken up in vain, and leave its place to others.
                await self._through_outages(lambda task=task: self._do(task), until=until)  # type: ignore[misc]
                continue
            try:
                async with asyncio.timeout(self._look_every * random.uniform(0.8, 1.2)):
                    await self._awake.wait()
            except TimeoutError:
                pass
            # Who is stopped must find it set also when it was looking meanwhile.
            if not self._stopping.is_set():
                self._awake.clear()

    async def _do(self, task: ClaimedTask) -> None:
        """Take the task's steps until it is done, lost to another worker, or given back: at the end of its turn, or because the process stops."""
        try:
            await self._take_steps(task)
        except LeaseLost:
            log.warning("background task %s was taken over by another worker", task.id)
        except Unavailable:
            raise
        except Exception:
            # Left leased: taken up again when the lease runs out, and ended if this goes on.
            log.exception("background task %s stumbled", task.id)

    async def _take_steps(self, task: ClaimedTask) -> None:
        if task.starts >= MAX_STARTS:
            await self._fail(task, "It was interrupted too often without getting anywhere.")
            return
        turn_ends = time.monotonic() + self._turn_seconds
        while not self._stopping.is_set():
            try:
                step, told = await self._step(task)
            except Unavailable:
                raise
            except GraphookError as error:
                await self._fail(task, error.message)
                return
            self._wake([*step.endpoint_ids, *told])
            self._bus.publish([task.id])
            if step.done:
                return
            if time.monotonic() >= turn_ends:
                break
        await task.release()

    async def _step(self, task: ClaimedTask) -> tuple[Step, list[str]]:
        async with database.transaction() as session:
            # Read anew for each step: after an outage nobody knows whether the last one was committed.
            step = await self._steps[task.type](session, task, await task.position(session))
            if step.done:
                return step, await task.end(session, TaskStatus.FINISHED, step.data)
            await task.advance(session, step.state, step.progress, self._lease_us)
            return step, []

    async def _fail(self, task: ClaimedTask, why: str) -> None:
        async with database.transaction() as session:
            told = await task.end(session, TaskStatus.FAILED, {"error": why})
        self._wake(told)
        self._bus.publish([task.id])

    async def _through_outages(self, call: Callable[[], Awaitable[Any]], until: float = math.inf) -> Any:
        """Call until the database answers, or a moment of this process's monotonic clock; a fault of ours is logged, and what it was about is looked
        at again after a pause."""
        while True:
            try:
                return await call()
            except Unavailable as error:
                log_outage(error.__cause__ or error)
            except Exception:
                log.exception("the runner of background tasks stumbled and goes on")
            if self._stopping.is_set() or time.monotonic() >= until:
                return None
            await asyncio.sleep(random.uniform(0.5, 1.0))
