"""Group commit: what gathers, what fails, and for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from graphook import batch
from graphook.batch import Batcher
from graphook.errors import Conflict, Overloaded, Unavailable
from tests.waiting import PATIENCE


async def test_what_arrives_during_a_flush_goes_with_the_next_one() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def flush(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await gate.wait()
        return [item * 2 for item in items]

    batcher: Batcher[int, int] = Batcher(flush, max_items=100, concurrency=1)
    first = asyncio.gather(*(batcher.submit(n) for n in range(3)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = asyncio.gather(*(batcher.submit(n) for n in range(3, 8)))
    await asyncio.sleep(0)
    gate.set()

    assert await first == [0, 2, 4]
    assert await rest == [6, 8, 10, 12, 14]
    assert batches == [[0, 1, 2], [3, 4, 5, 6, 7]]


async def test_a_second_flush_begins_beside_a_slow_one_or_for_many_items_only(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def flush(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await gate.wait()
        return list(items)

    async def submit(batcher: Batcher[int, int], *items: int) -> asyncio.Future[list[int]]:
        answers = asyncio.gather(*(batcher.submit(item) for item in items))
        for _ in range(3):
            await asyncio.sleep(0)
        return answers

    full: Batcher[int, int] = Batcher(flush, max_items=3, concurrency=2, slow_seconds=PATIENCE)
    waiting = [await submit(full, 1), await submit(full, 2, 3)]
    assert batches == [[1]]
    waiting.append(await submit(full, 4, 5))
    assert batches == [[1], [2, 3, 4]]
    waiting.append(await submit(full, 6, 7, 8))
    assert batches == [[1], [2, 3, 4]]

    batches.clear()
    monkeypatch.setattr(batch, "ENOUGH", 2)
    many: Batcher[int, int] = Batcher(flush, max_items=3, concurrency=2, slow_seconds=PATIENCE)
    waiting += [await submit(many, 1), await submit(many, 2)]
    assert batches == [[1]]
    waiting.append(await submit(many, 3))
    assert batches == [[1], [2, 3]]

    batches.clear()
    slow: Batcher[int, int] = Batcher(flush, max_items=3, concurrency=2, slow_seconds=0.0)
    waiting += [await submit(slow, 1), await submit(slow, 2), await submit(slow, 3)]
    assert batches == [[1], [2]]

    gate.set()
    await asyncio.gather(*waiting)


async def test_what_comes_during_the_pause_after_a_flush_goes_together_though_the_flush_is_answered() -> None:
    batches: list[list[int]] = []
    asked: list[tuple[int, bool]] = []

    async def flush(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return list(items)

    def pause(count: int, seconds: float) -> float:
        asked.append((count, seconds >= 0))
        return 1.0 if count == 1 else 0.0

    batcher: Batcher[int, int] = Batcher(flush, max_items=100, concurrency=1, pause=pause)
    assert await batcher.submit(1) == 1
    # One by one: without the pause each would have a flush of its own.
    rest = []
    for item in (2, 3, 4):
        rest.append(asyncio.ensure_future(batcher.submit(item)))
        for _ in range(5):
            await asyncio.sleep(0)
    assert batches == [[1]]

    assert await asyncio.gather(*rest) == [2, 3, 4]
    assert batches == [[1], [2, 3, 4]]
    await batcher.drain()
    assert asked == [(1, True), (3, True)]


async def test_a_batch_is_capped_by_items_and_by_weight_but_takes_one_item_always() -> None:
    batches: list[list[int]] = []

    async def flush(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=3, max_weight=10, weigh=lambda item: item, concurrency=1)
    await batcher.submit_all([1, 1, 1, 1, 50, 9, 2])

    assert batches == [[1, 1, 1], [1], [50], [9], [2]]


async def test_an_item_that_breaks_a_batch_fails_alone() -> None:
    async def flush(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise ValueError("three")
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=100)
    results = await batcher.submit_all(list(range(7)))

    assert [r for r in results if not isinstance(r, BaseException)] == [0, 1, 2, 4, 5, 6]
    assert isinstance(results[3], ValueError)


async def test_the_failure_of_an_item_does_not_carry_those_of_the_batches_that_it_was_in() -> None:
    async def flush(items: Sequence[int]) -> list[int]:
        raise ValueError(f"{len(items)} items")

    batcher: Batcher[int, int] = Batcher(flush, max_items=100)
    answers = await asyncio.gather(*(batcher.submit(n) for n in range(8)), return_exceptions=True)

    assert [(str(answer), isinstance(answer, ValueError) and answer.__context__) for answer in answers] == [("1 items", None)] * 8


async def test_an_answer_may_be_an_item_s_own_failure() -> None:
    async def flush(items: Sequence[int]) -> list[int | Exception]:
        return [Conflict("odd") if item % 2 else item for item in items]

    batcher: Batcher[int, int] = Batcher(flush, max_items=100)

    assert await batcher.submit(2) == 2
    with pytest.raises(Conflict):
        await batcher.submit(1)


async def test_an_outage_is_everybodys_answer_after_one_attempt() -> None:
    calls = 0

    async def flush(items: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        raise Unavailable("away")

    batcher: Batcher[int, int] = Batcher(flush, max_items=100)
    results = await batcher.submit_all(list(range(50)))

    assert all(isinstance(result, Unavailable) for result in results)
    assert calls == 1


async def test_what_nobody_waits_for_any_more_is_not_written() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def flush(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await gate.wait()
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=100, concurrency=1)
    callers = [asyncio.create_task(batcher.submit(number)) for number in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = [asyncio.create_task(batcher.submit(number)) for number in range(4, 7)]
    await asyncio.sleep(0)
    late[1].cancel()
    await asyncio.sleep(0)
    gate.set()

    assert await asyncio.gather(*callers, late[0], late[2]) == [0, 1, 2, 3, 4, 6]
    assert batches == [[0, 1, 2, 3], [4, 6]]


async def test_of_several_that_were_submitted_together_none_is_written_once_their_caller_has_gone() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def flush(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        await gate.wait()
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=100, concurrency=1)
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.sleep(0)
    together, other = asyncio.create_task(batcher.submit_all([1, 2, 3])), asyncio.create_task(batcher.submit(4))
    await asyncio.sleep(0)
    together.cancel()
    await asyncio.sleep(0)
    gate.set()

    assert (await first, await other) == (0, 4)
    assert batches == [[0], [4]]


async def test_a_caller_that_goes_away_does_not_disturb_the_others() -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def flush(items: Sequence[int]) -> list[int]:
        begun.set()
        await gate.wait()
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=100)
    one, other = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
    await begun.wait()
    one.cancel()
    await asyncio.sleep(0)
    gate.set()

    assert await asyncio.wait_for(other, PATIENCE) == 2
    with pytest.raises(asyncio.CancelledError):
        await one
    await batcher.drain()


async def test_more_than_may_wait_is_refused_at_once_and_several_together_or_not_at_all() -> None:
    gate = asyncio.Event()

    async def flush(items: Sequence[int]) -> list[int]:
        await gate.wait()
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=1, concurrency=1, max_waiting=3, weigh=lambda n: n, max_waiting_weight=100)
    waiting = [asyncio.ensure_future(batcher.submit(n)) for n in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher.submit_all([3, 4])
    waiting.append(asyncio.ensure_future(batcher.submit(200)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher.submit(5)
    gate.set()

    assert await asyncio.gather(*waiting) == [1, 2, 200]
    assert await batcher.submit_all([6, 7, 8, 9]) == [6, 7, 8, 9], "what is more than may wait, alone, is taken all the same"
