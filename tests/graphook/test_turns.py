"""Turns: every one that is given comes back, whoever gives up meanwhile."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from graphook.errors import Overloaded
from graphook.turns import Turns
from tests.waiting import PATIENCE

SLOTS = 3
TENANTS = ("a", "b", "c")


async def hold(turns: Turns, tenant: str, until: asyncio.Event, line: str = "") -> None:
    async with turns.turn(tenant, line, 60.0):
        await until.wait()


async def assert_all_free(turns: Turns) -> None:
    """Fail unless as many turns can be had at once as there are."""
    until = asyncio.Event()
    held = [asyncio.create_task(hold(turns, f"new {number}", until)) for number in range(SLOTS)]
    await asyncio.sleep(0)
    assert (turns._free, sum(turns._having.values()), turns._waiting) == (0, SLOTS, {})
    until.set()
    await asyncio.gather(*held)
    assert (turns._free, turns._having, turns._waiting) == (SLOTS, {}, {})


async def test_who_gives_up_in_the_moment_of_its_turn_leaves_it_to_the_next() -> None:
    turns, until = Turns(SLOTS, SLOTS, 100, 100), asyncio.Event()
    held = [asyncio.create_task(hold(turns, "busy", until)) for _ in range(SLOTS)]
    await asyncio.sleep(0)
    first, second = (asyncio.create_task(hold(turns, "a", asyncio.Event())) for _ in range(2))
    third = asyncio.create_task(hold(turns, "b", until))
    await asyncio.sleep(0)

    until.set()
    first.cancel()
    second.cancel()
    await asyncio.wait_for(asyncio.gather(*held, third), PATIENCE)

    assert [type(found) for found in await asyncio.gather(first, second, return_exceptions=True)] == [asyncio.CancelledError] * 2
    await assert_all_free(turns)


async def test_who_waits_too_long_is_refused_and_costs_nobody_a_turn() -> None:
    turns, until = Turns(1, 1, 100, 100), asyncio.Event()
    held = asyncio.create_task(hold(turns, "a", until))
    await asyncio.sleep(0)
    for tenant in ("a", "b"):
        try:
            async with turns.turn(tenant, "", 0):
                raise AssertionError("there was no turn to be had")
        except Overloaded:
            pass
    until.set()
    await held
    assert (turns._free, turns._having, turns._waiting) == (1, {}, {})


async def test_a_tenant_that_lets_too_many_wait_is_refused_and_others_are_not() -> None:
    turns, until = Turns(1, 1, 5, 2), asyncio.Event()
    busy = [asyncio.create_task(hold(turns, "busy", until, f"line {number}")) for number in range(10)]
    others = [asyncio.create_task(hold(turns, f"other {number}", until)) for number in range(4)]
    await asyncio.sleep(0)
    until.set()

    found = await asyncio.gather(*busy, return_exceptions=True)
    assert [type(one) for one in found] == [type(None)] * 3 + [Overloaded] * 7
    found = await asyncio.gather(*others, return_exceptions=True)
    assert [type(one) for one in found] == [type(None)] * 3 + [Overloaded], "there is an end for all together, too"


async def test_a_tenant_that_waits_has_no_more_turns_than_it_may_although_one_is_free() -> None:
    turns, first, second = Turns(3, 1, 100, 100), asyncio.Event(), asyncio.Event()
    held = [asyncio.create_task(hold(turns, tenant, first)) for tenant in ("a", "b")]
    begun = asyncio.create_task(hold(turns, "busy", second))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(hold(turns, "busy", first))
    await asyncio.sleep(0)

    first.set()
    await asyncio.gather(*held)
    assert (turns._free, dict(turns._having), waiting.done()) == (2, {"busy": 1}, False)
    second.set()
    await asyncio.gather(begun, waiting)


async def test_tenants_take_turns_and_the_lines_of_each_as_well() -> None:
    """A tenant with ten lines gets no more than one with one."""
    turns, order = Turns(1, 1, 100, 100), []

    async def one(tenant: str, line: str) -> None:
        async with turns.turn(tenant, line, 60.0):
            order.append(f"{tenant}{line}")
            await asyncio.sleep(0)

    await asyncio.gather(
        one("first", ""), *(one("a", "1") for _ in range(3)), *(one("a", "2") for _ in range(2)), *(one("b", "1") for _ in range(3))
    )
    assert order == ["first", "a1", "b1", "a2", "b1", "a1", "b1", "a2", "a1"]


STEP = st.one_of(
    st.tuples(st.just("take"), st.sampled_from(TENANTS), st.sampled_from(("", "x"))),
    st.tuples(st.just("end"), st.integers(0, 30), st.just("")),
    st.tuples(st.just("give up"), st.integers(0, 30), st.just("")),
    st.just(("tick", 0, "")),
)


@given(st.lists(STEP, max_size=60))
def test_after_whatever_happened_every_turn_is_free_again(steps: list[tuple[str, str | int, str]]) -> None:
    async def happen() -> None:
        turns = Turns(SLOTS, 2, 8, 4)
        calls: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        for what, which, line in steps:
            if what == "take":
                until = asyncio.Event()
                calls.append((asyncio.create_task(hold(turns, str(which), until, line)), until))
            elif what == "tick":
                await asyncio.sleep(0)
            elif calls:
                task, until = calls[int(which) % len(calls)]
                if what == "end":
                    until.set()
                else:
                    task.cancel()
        for _, until in calls:
            until.set()
        found = await asyncio.wait_for(asyncio.gather(*(task for task, _ in calls), return_exceptions=True), PATIENCE)
        assert {type(one) for one in found} <= {type(None), asyncio.CancelledError, Overloaded}
        await assert_all_free(turns)

    asyncio.run(happen())
