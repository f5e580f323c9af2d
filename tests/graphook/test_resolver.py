"""The guarded resolver by itself: what it looks up, what it keeps, and what is dialled of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import pytest

from graphook import connector
from graphook.connector import GuardedResolver, NoAddress, NotAllowed
from graphook.errors import Overloaded
from graphook.ssrf import Policy
from tests.waiting import until

PUBLIC = "93.184.216.34"


class Names:
    """Answers every lookup with one public address, or raises what is to be raised, once `gate` is open; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
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
    assert len(resolver._good_answers) <= 3
    assert "n9.example.com" in resolver._answers, "the latest are kept"


async def test_of_a_thousand_addresses_only_those_that_may_be_dialled_are_kept() -> None:
    async def many(host: str) -> Sequence[str]:
        return ["10.0.0.1", *(f"93.184.{n // 250}.{n % 250}" for n in range(1000))] if host.startswith("open") else ["10.0.0.1", "10.0.0.2"]

    resolver = GuardedResolver(Policy(), many)
    await resolver.resolve("open.example.com")
    with pytest.raises(NotAllowed):
        await resolver.resolve("inside.example.com")

    assert [len(addresses) for _, addresses in resolver._answers.values()] == [Policy().max_addresses, 1]
    await resolver.close()


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), Overloaded("Too many wait.")])
async def test_the_last_good_answer_stands_in_for_one_that_does_not_come(names: Names, error: Exception) -> None:
    resolver = GuardedResolver(Policy(), names, kept=0)
    await resolver.resolve("hook.example.com")
    names.error = error

    assert await resolver.resolve("hook.example.com") == [PUBLIC]
    with pytest.raises(NoAddress):
        await resolver.resolve("never.example.com")
    await resolver.close()


async def test_so_it_does_when_the_time_is_up_and_the_late_answer_is_kept(names: Names) -> None:
    resolver = GuardedResolver(Policy(dns_timeout=0.3), names, kept=0)
    await resolver.resolve("hook.example.com")
    names.gate.clear()

    assert await resolver.resolve("hook.example.com") == [PUBLIC]
    for _ in range(2):
        with pytest.raises(NoAddress):
            await resolver.resolve("late.example.com")
    resolver._kept = 60
    names.gate.set()
    await until(lambda: not resolver._running, "the lookups")
    assert await resolver.resolve("late.example.com") == [PUBLIC]
    assert names.asked == ["hook.example.com"] * 2 + ["late.example.com"], "a lookup that is out is not begun again"
    await resolver.close()


async def test_a_name_that_is_gone_has_no_last_good_answer(names: Names) -> None:
    resolver = GuardedResolver(Policy(), names, kept=0)
    await resolver.resolve("hook.example.com")
    for names.error in (
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    ):
        with pytest.raises(NoAddress):
            await resolver.resolve("hook.example.com")
    await resolver.close()


async def test_a_last_good_answer_is_one_for_a_while_only(names: Names) -> None:
    resolver = GuardedResolver(Policy(), names, kept=0, good=0)
    await resolver.resolve("hook.example.com")
    names.error = Overloaded("Too many wait.")

    with pytest.raises(NoAddress):
        await resolver.resolve("hook.example.com")
    await resolver.close()


async def test_a_last_good_answer_is_checked_like_any_other() -> None:
    answers: list[Sequence[str] | Exception] = [
        ["10.0.0.1"],
        Overloaded("Too many wait."),
        [PUBLIC, "10.0.0.1"],
        Overloaded("Too many wait."),
    ]

    async def look_up(_host: str) -> Sequence[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    resolver = GuardedResolver(Policy(), look_up, kept=0)
    for _ in range(2):
        with pytest.raises(NotAllowed):
            await resolver.resolve("inside.example.com")
    for _ in range(2):
        assert await resolver.resolve("inside.example.com") == [PUBLIC]
    await resolver.close()
