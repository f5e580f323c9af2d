"""Timeouts that share a timer end like asyncio's own."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
import uvloop

from graphook.shared_timeout import SharedTimeout


async def test_a_block_that_takes_too_long_is_cancelled_and_others_are_not() -> None:
    limit = SharedTimeout(0.05)
    ended: list[str] = []

    async def slow() -> None:
        try:
            async with limit():
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append("slow")

    async def quick() -> None:
        async with limit():
            await asyncio.sleep(0)
        ended.append("quick")

    await asyncio.gather(slow(), quick(), slow())
    assert ended == ["quick", "slow", "slow"]


async def test_a_later_block_gets_its_whole_time() -> None:
    limit, loop = SharedTimeout(0.2), asyncio.get_running_loop()

    async def wait() -> float:
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with limit():
                await asyncio.Event().wait()
        return loop.time() - began

    first = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    assert await wait() >= 0.19
    assert await first >= 0.19


async def test_a_cancellation_by_somebody_else_stays_one() -> None:
    limit = SharedTimeout(60)

    async def work() -> None:
        async with limit():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_came_while_the_process_stood_still_is_in_time(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    limit = SharedTimeout(0.05)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def read() -> bytes:
        async with limit():
            return await asyncio.get_running_loop().sock_recv(ours, 100)

    async def stand_still() -> bytes:
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        theirs.send(b"an answer")
        time.sleep(0.1)  # noqa: ASYNC251 - as a process does that is stopped
        return await reading

    with ours, theirs, asyncio.Runner(loop_factory=make_loop) as runner:
        assert runner.run(stand_still()) == b"an answer"


async def test_an_exception_goes_through_and_the_task_can_go_on() -> None:
    limit = SharedTimeout(60)
    with pytest.raises(ValueError, match="ours"):
        async with limit():
            raise ValueError("ours")
    async with limit():
        await asyncio.sleep(0)


async def test_blocks_that_have_ended_are_forgotten() -> None:
    limit = SharedTimeout(60)
    for _ in range(1000):
        async with limit():
            pass
    assert len(limit._line) <= 1


def test_another_event_loop_starts_afresh() -> None:
    limit = SharedTimeout(0.05)

    async def wait() -> None:
        with pytest.raises(TimeoutError):
            async with limit():
                await asyncio.Event().wait()

    asyncio.run(asyncio.wait_for(wait(), 10))
    asyncio.run(asyncio.wait_for(wait(), 10))
