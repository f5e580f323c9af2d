"""A feed follows committed rows of one key for many subscribers: one reader per key and process, resumable from any cursor.

    wake-up or one-second tick ─► reader ─► rows after its position ─► every subscriber's queue

A subscriber first has the reader queue what it finds from then on, then reads by itself what lies between its own cursor and the reader's position:
so nothing is missed and nothing comes twice. A watcher wants no rows, but to know how something stands: it is woken by the same news and looks
by itself. All of them take turns at reading.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from graphook.errors import GraphookError, Unavailable
from graphook.turns import Turns

log = logging.getLogger(__name__)

T = TypeVar("T")
V = TypeVar("V")

PAGE = 500
QUEUE = 2000
TICK = 1.0
# Seconds between two looks of a watcher.
PAUSE = 0.25
# How many read at once in a process, and of one tenant: each has a connection of the pool meanwhile.
READS, READS_PER_TENANT = 4, 2
# While a commit is still hidden behind an older open transaction, look again this soon, this often.
PATIENCE_SECONDS, PATIENCE_TIMES = 0.01, 100


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the order of commits."""

    commit: int
    id: str


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """A row and its place."""

    position: Position
    item: T


@dataclass(frozen=True, slots=True)
class Chunk(Generic[T]):
    """Rows in commit order. `hidden`: committed rows may exist that cannot be read in order yet."""

    events: Sequence[Event[T]]
    hidden: bool


class Overflow(GraphookError):
    """A subscriber did not keep up; it can resume from its last cursor."""

    code = "SUBSCRIPTION_OVERFLOW"


class Source(Protocol[T]):
    """Reads rows of a key in commit order."""

    async def head(self) -> Position:
        """The place behind everything that is committed now."""

    async def read(self, key: str, after: Position, limit: int) -> Chunk[T]:
        """Rows after a place."""


@dataclass(eq=False)
class _Subscriber(Generic[T]):
    queue: asyncio.Queue[Event[T] | None]


def fair_turns() -> Turns:
    """Turns at reading the database. Those who wait are as many as there are subscriptions, and are never refused."""
    return Turns(READS, READS_PER_TENANT, sys.maxsize, sys.maxsize)


class Feed(Generic[T]):
    """All readers of one process. A subscriber may be `queue` events behind the reader; `page` rows are read at a time.

    Readers, subscribers and watchers take `turns` at the database; a watcher looks every `pause` seconds at most.
    """

    def __init__(
        self, source: Source[T], turns: Turns | None = None, *, queue: int = QUEUE, page: int = PAGE, pause: float = PAUSE
    ) -> None:
        self._source = source
        self._turns = fair_turns() if turns is None else turns
        self._queue = queue
        self._page = page
        self._pause = pause
        self._readers: dict[str, _Reader[T]] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}

    def wake(self, key: str) -> None:
        """The key has news."""
        if (reader := self._readers.get(key)) is not None:
            reader.awake.set()
        for awake in self._watchers.get(key, ()):
            awake.set()

    async def follow(self, tenant: str, key: str, after: Position | None) -> AsyncGenerator[Event[T], None]:
        """Rows of a tenant's key after a place (from now on, when None), for ever. Raises `Overflow` when the caller does not keep up."""
        if key not in self._readers:
            self._readers[key] = _Reader(self._source.head, partial(self._read, tenant, "rows", key), self._page)
        reader = self._readers[key]
        subscriber: _Subscriber[T] = _Subscriber(asyncio.Queue(self._queue))
        reader.users += 1
        try:
            position = await reader.join(subscriber)
            last = position if after is None else after
            while last < position:
                chunk = await self._read(tenant, "earlier rows", key, last)
                for event in chunk.events:
                    if event.position > position:  # the reader's, as is all that follows
                        break
                    last = event.position
                    yield event
                if len(chunk.events) < self._page or chunk.events[-1].position > position:
                    break
            while True:
                event_or_end = await subscriber.queue.get()
                if event_or_end is None:
                    raise Overflow("Events came faster than they were read; resume with `after` from the last cursor.")
                if event_or_end.position > last:
                    last = event_or_end.position
                    yield event_or_end
        finally:
            reader.users -= 1
            reader.subscribers.discard(subscriber)
            if not reader.users:
                reader.stop()
                if self._readers.get(key) is reader:
                    del self._readers[key]

    async def _read(self, tenant: str, line: str, key: str, after: Position) -> Chunk[T]:
        async with self._turns.turn(tenant, line, math.inf):
            return await self._source.read(key, after, self._page)

    async def watch(self, tenant: str, key: str, look: Callable[[], Awaitable[V]]) -> AsyncGenerator[V, None]:
        """What a tenant's `look` finds: at once, then whenever the key may have news, and every second at the latest.

        News within `pause` seconds after a look wait for them to pass, so that a burst costs few looks; those after a quiet time are looked at at once.
        """
        clock = asyncio.get_running_loop().time
        awake = asyncio.Event()
        self._watchers.setdefault(key, set()).add(awake)
        line = "first looks"
        try:
            while True:
                async with self._turns.turn(tenant, line, math.inf):
                    awake.clear()
                    found = await look()
                line, looked = "looks", clock()
                yield found
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await awake.wait()
                await asyncio.sleep(looked + self._pause - clock())
        finally:
            self._watchers[key].discard(awake)
            if not self._watchers[key]:
                del self._watchers[key]

    async def close(self) -> None:
        """Stop every reader."""
        for reader in list(self._readers.values()):
            reader.stop()
        self._readers.clear()


class _Reader(Generic[T]):
    """Follows one key while it has subscribers."""

    def __init__(self, head: Callable[[], Awaitable[Position]], read: Callable[[Position], Awaitable[Chunk[T]]], page: int) -> None:
        self._head = head
        self._read = read
        self._page = page
        self._position: Position | None = None
        self._joining = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.awake = asyncio.Event()
        self.subscribers: set[_Subscriber[T]] = set()
        self.users = 0

    async def join(self, subscriber: _Subscriber[T]) -> Position:
        """Queue everything after the answered place for the subscriber."""
        async with self._joining:
            if self._position is None:
                self._position = await self._head()
            # No await between the two: what the reader delivers next goes to the subscriber too.
            self.subscribers.add(subscriber)
            if self._task is None:
                self._task = asyncio.create_task(self._run())
            return self._position

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        patience = 0
        while True:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS if patience else TICK):
                    await self.awake.wait()
            except TimeoutError:
                pass
            woken = self.awake.is_set()
            self.awake.clear()
            hidden = False
            try:
                hidden = await self._read_all()
            except Unavailable as error:
                log.warning("a live reader waits for the database: %s", error)
            except Exception:
                # Its subscribers would wait for ever for a reader that is gone.
                log.exception("a live reader stumbled and goes on")
            if woken:
                patience = PATIENCE_TIMES
            patience = patience - 1 if hidden and patience else 0

    async def _read_all(self) -> bool:
        assert self._position is not None
        while True:
            chunk = await self._read(self._position)
            for event in chunk.events:
                self._position = event.position
                for subscriber in list(self.subscribers):
                    self._hand_over(subscriber, event)
            if len(chunk.events) < self._page:
                return chunk.hidden

    def _hand_over(self, subscriber: _Subscriber[T], event: Event[T]) -> None:
        try:
            subscriber.queue.put_nowait(event)
        except asyncio.QueueFull:
            # Tell it in the place of the oldest event, and forget it: it resumes from its own cursor.
            self.subscribers.discard(subscriber)
            while not subscriber.queue.empty():
                subscriber.queue.get_nowait()
            subscriber.queue.put_nowait(None)
