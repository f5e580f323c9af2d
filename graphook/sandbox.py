"""The sandbox: runs a tenant's JavaScript on a webhook, in processes that have nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from graphook import metrics
from graphook.errors import Overloaded
from graphook.sandbox_process import START_SECONDS, Child, ChildFailed
from graphook.settings import Settings
from graphook.shared_timeout import SharedTimeout
from graphook.ssrf import Policy
from graphook.transformation import TransformationError, Webhook, check_sizes, failure, given, taken
from graphook.turns import Turns

log = logging.getLogger(__name__)

# Seconds that a call waits for a process.
PATIENCE = 5.0
# Calls that wait beside deliveries: of one organisation, whose own limit keeps others' calls from being refused, and of all.
WAITING_PER_TENANT = 200
MAX_WAITING = 4000
# The clock may run so many times as long as the processor, before the process is killed.
CLOCK = 2.0


class Sandbox:
    """One per process and event loop. Child processes are started when they are needed: a tenant has at most `processes` of them, and there is one more
    for the others.

    A call may use `seconds` on the processor, twice as many on the clock, and `memory_mib` for its objects. `deliveries` is how many more calls may
    wait than those of `WAITING_PER_TENANT` and `MAX_WAITING`: all deliveries that are under way may be of one tenant.
    """

    def __init__(
        self, *, processes: int = 2, seconds: float = 0.5, memory_mib: int = 32, deliveries: int = 0, policy: Policy | None = None
    ) -> None:
        self._seconds = seconds
        self._limit_time = SharedTimeout(CLOCK * seconds)
        self._memory = memory_mib * 1024 * 1024
        self._policy = policy or Policy()
        self._turns = Turns(processes + 1, processes, MAX_WAITING + deliveries, WAITING_PER_TENANT + deliveries)
        self._idle: list[Child] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._warned = self._closed = False

    @classmethod
    def of(cls, settings: Settings) -> Sandbox:
        """As the settings have it."""
        return cls(
            processes=settings.transformation_processes,
            seconds=settings.transformation_timeout,
            memory_mib=settings.transformation_memory,
            deliveries=settings.worker_slots,
            policy=settings.ssrf_policy(),
        )

    async def transform(
        self,
        code: str,
        webhook: Webhook,
        *,
        tenant: str,
        line: str = "",
        variables: Mapping[str, str] | None = None,
        params: str | None = None,
    ) -> Webhook:
        """What the code's `handler` makes of a webhook. `params` is JSON text. Raises `TransformationError`.

        Organisations take turns, and so do the applications of each: `tenant` is the organisation, `line` the application.

        The handler is given `method`, `url`, `payload`, `eventType`, `headers`, `channels`, `env` (the variables), `transformationsParams` and `cancel`.
        """
        began, outcome = perf_counter(), "OK"
        try:
            check_sizes(code, webhook.payload)
            asked = given(webhook, variables or {}, params)
            state, first, second = await self._run(tenant, line, [code.encode("utf-8", "replace"), asked, webhook.payload])
            if state != "OK":
                raise failure(state, first, second, lines=code.count("\n") + 1)
            return taken(webhook, first, second, self._policy)
        except TransformationError as error:
            outcome = error.code
            raise
        except Exception as error:
            # A fault of ours is told like one of a process: whoever asked knows what to do with a call that ran nothing.
            log.exception("the sandbox stumbled")
            outcome = "CRASHED"
            raise failure("CRASHED") from error
        finally:
            metrics.transformed(outcome, perf_counter() - began)

    async def lacking(self) -> str:
        """What of the processes' confinement the system refuses, empty for nothing. Raises `TransformationError` when none can be started."""
        async with self._turn("", ""):
            child = await self._ready()
            async with self._kept(child):
                return child.lacking

    @property
    def longest(self) -> float:
        """Seconds that a call may take at most: its turn, a process that fails, one that is started and one that runs to the end."""
        return PATIENCE + START_SECONDS + 2 * CLOCK * self._seconds

    async def close(self) -> None:
        """End every process. What is still running fails as UNAVAILABLE."""
        self._closed = True
        for child in self._idle:
            self._end(child)
        self._idle.clear()
        while self._ending:
            await asyncio.wait(self._ending)

    async def _run(self, tenant: str, line: str, parts: Sequence[bytes]) -> tuple[str, str, str]:
        async with self._turn(tenant, line):
            child = await self._ready()
            if child.calls:
                try:
                    return await self._ask(child, parts)
                except TransformationError as error:
                    # What was kept may have come to its end by what it had done before.
                    if error.code != "CRASHED":
                        raise
                child = await self._start()
            return await self._ask(child, parts)

    async def _ask(self, child: Child, parts: Sequence[bytes]) -> tuple[str, str, str]:
        async with self._kept(child):
            try:
                async with self._limit_time():
                    answer = await child.ask(parts)
            except TimeoutError:
                metrics.sandbox_killed()
                raise failure("TIMEOUT") from None
            except ChildFailed as error:
                log.warning("process %d of the sandbox: %s", child.pid, error)
                raise failure("CRASHED") from error
            if answer[0] in ("TIMEOUT", "MEMORY"):  # what it has grown to is given back
                raise failure(answer[0])
            return answer

    @asynccontextmanager
    async def _turn(self, tenant: str, line: str) -> AsyncIterator[None]:
        try:
            async with self._turns.turn(tenant, line, PATIENCE):
                yield
        except Overloaded as error:
            raise TransformationError("UNAVAILABLE", f"The code could not be run now: {error.message}") from error

    @asynccontextmanager
    async def _kept(self, child: Child) -> AsyncIterator[None]:
        """Keep a process for the next call; it is killed unless this one ends well."""
        well = False
        try:
            yield
            well = not child.worn and not self._closed
        finally:
            if well:
                self._idle.append(child)
            else:
                self._end(child)

    async def _ready(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if not child.ended:
                return child
            self._end(child)
        return await self._start()

    async def _start(self) -> Child:
        if self._closed:
            raise failure("UNAVAILABLE")
        try:
            child = await Child.start(self._memory, self._seconds)
        except ChildFailed as error:
            log.error("a process of the sandbox failed: %s", error)
            raise failure("UNAVAILABLE") from error
        if child.lacking and not self._warned:
            self._warned = True
            log.warning("the sandbox does without what this system refuses: %s", child.lacking)
        return child

    def _end(self, child: Child) -> None:
        task = asyncio.get_running_loop().create_task(child.kill())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
