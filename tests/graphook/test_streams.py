"""Streams that end when something else does: what they are made of has ended with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from graphook.streams import until


async def test_a_stream_that_is_cancelled_again_and_again_closes_what_it_is_made_of() -> None:
    waiting, left, closed = asyncio.Event(), asyncio.Event(), []

    async def items() -> AsyncGenerator[int, None]:
        try:
            waiting.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            # As a transaction that is rolled back.
            await left.wait()
            closed.append(True)

    async def read() -> None:
        async for _ in until(asyncio.Event().wait(), items()):
            pass

    reader = asyncio.create_task(read())
    await waiting.wait()
    # A cancel scope of anyio, in which an answer is sent, cancels on every turn of the loop.
    for _ in range(5):
        reader.cancel()
        await asyncio.sleep(0)
    left.set()

    with pytest.raises(asyncio.CancelledError):
        await reader
    assert closed == [True]
