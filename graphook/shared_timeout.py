"""Timeouts of one length for many blocks, with one timer for all of them.

`asyncio.timeout` sets and cancels a timer per block, which costs more than most blocks that a request has. Of limits that are equally long the
first to begin is the first to run out: they wait in line, and the timer is set for the head of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any

# Seconds between the end of a block's time and its cancellation: what came before the end, also while the process stood still, is read meanwhile.
A_MOMENT = 0.01


class SharedTimeout:
    """Blocks that may take so many seconds. One object serves the tasks of one event loop at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._line: deque[_Block] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> _Block:
        """A block: cancelled when it takes longer, it then raises `TimeoutError`."""
        return _Block(self)

    def _began(self, block: _Block, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            self._loop, self._timer = loop, None
            self._line.clear()
        line = self._line
        while line and line[0].task is None:
            line.popleft()
        block.ends_at = loop.time() + self.seconds
        line.append(block)
        if self._timer is None:
            self._timer = loop.call_at(block.ends_at, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        # Behind the tasks that wake up by what was read.
        self._timer = loop.call_later(A_MOMENT, loop.call_soon, self._end)

    def _end(self) -> None:
        """Cancel what has run out, drop what has ended, and come again for the next."""
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._line:
            block = self._line[0]
            if block.task is not None:
                if block.ends_at > loop.time():
                    self._timer = loop.call_at(block.ends_at, self._look)
                    return
                block.expire()
            self._line.popleft()


class _Block:
    __slots__ = ("_cancelling", "_limit", "ends_at", "expired", "task")

    def __init__(self, limit: SharedTimeout) -> None:
        self._limit = limit
        self._cancelling = 0
        self.ends_at = 0.0
        self.expired = False
        self.task: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self.task = task = asyncio.current_task(loop)
        assert task is not None
        self._cancelling = task.cancelling()
        self._limit._began(self, loop)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        task, self.task = self.task, None
        # As in asyncio.timeout: a cancellation by somebody else goes on.
        if self.expired and task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task that is in the block."""
        assert self.task is not None
        self.expired = True
        self.task.cancel()
