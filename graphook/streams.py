"""Streams that end when something else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")


async def until(ended: Coroutine[Any, Any, Any], items: AsyncGenerator[T, None], last: Sequence[T] = ()) -> AsyncGenerator[T, None]:
    """The items until `ended` returns, whose turn is before an item's; `last` then follow, and `items` is closed."""
    ending = asyncio.create_task(ended)
    following: asyncio.Future[T | None] | None = None
    async with aclosing(items):
        try:
            while True:
                following = asyncio.ensure_future(anext(items, None))
                await asyncio.wait((following, ending), return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    for item in last:
                        yield item
                    return
                found = following.result()
                if found is None:
                    return
                yield found
        finally:
            # Nothing may still run in the items when they are closed.
            tasks = [task for task in (following, ending) if task is not None]
            for task in tasks:
                task.cancel()
            await _ended(tasks)


async def _ended(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Return when the tasks have ended; who is cancelled meanwhile, however often, is so only then."""
    cancelled: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
