"""The guarded resolver by itself: what it looks up, what it keeps, and what is dialled of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from graphook import connector
from graphook.connector import GuardedResolver
from graphook.ssrf import Policy
from tests.waiting import until

PUBLIC = "93.184.216.34"


class Names:
    """Answers every lookup with one public address, once `gate` is open; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        await self.gate.wait()
        return [PUBLIC]


@pytest.fixture
async def names() -> Names:
    return Names()


@pytest.fixture
async def resolver(names: Names) -> AsyncIterator[GuardedResolver]:
    found = GuardedResolver(Policy(), names, kept=60)
    yield found
    await found.close()


async def test_an_answer_is_kept_for_a_while_and_then_looked_up_anew(names: Names, resolver: GuardedResolver) -> None:
    for _ in range(3):
        await resolver.resolve("hook.example.com")
    await resolver.resolve("other.example.com")
    assert names.asked == ["hook.example.com", "other.example.com"]

    keeping_nothing = GuardedResolver(Policy(), names, kept=0)
    for _ in range(2):
        await keeping_nothing.resolve("hook.example.com")
    await keeping_nothing.close()
    assert names.asked[2:] == ["hook.example.com"] * 2


async def test_who_asks_for_the_same_name_at_once_shares_one_lookup_that_outlives_those_who_give_up(
    names: Names, resolver: GuardedResolver
) -> None:
    names.gate.clear()
    asking = [asyncio.create_task(resolver.resolve("hook.example.com")) for _ in range(3)]
    await until(lambda: bool(names.asked), "the lookup")
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    names.gate.set()

    assert [await task for task in asking[1:]] == [[PUBLIC]] * 2
    assert names.asked == ["hook.example.com"]


async def test_what_is_dialled_is_the_address_that_was_checked_and_no_name(resolver: GuardedResolver) -> None:
    assert await resolver.resolve("hook.example.com") == [PUBLIC]


async def test_answers_do_not_pile_up(names: Names, resolver: GuardedResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "_DNS_ENTRIES", 3)
    for n in range(10):
        await resolver.resolve(f"n{n}.example.com")

    assert len(resolver._answers) <= 3
