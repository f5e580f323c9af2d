"""The circuit breaker: it opens on too many failures, keeps deliveries and their tries, lets a few through, and closes step by step."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from graphook import database
from graphook.clock import now_us
from graphook.database import Statement
from models import claiming, delivery
from models.breaker import PROBES_TO_CLOSE, BreakerRule, opened
from models.claim import Claim
from models.delivery import State
from models.endpoint import Endpoint
from models.message import Message
from tests.models import make
from tests.waiting import somebody_waits_for_a_lock, until
from workers.send import unsent

pytestmark = pytest.mark.usefixtures("db")

SECOND = 1_000_000
RULE = BreakerRule(tries=10, failures=0.7, window=300 * SECOND, first=30 * SECOND, longest=100 * SECOND)


async def guarded(messages: int, **policy: Any) -> Endpoint:
    app = await make.application()
    endpoint = await make.endpoint(app, delivery_policy={"breaker": True, **policy})
    for _ in range(messages):
        await make.message(app)
    return endpoint


async def settle(claims: list[Claim], state: State = State.WAITING) -> list[str]:
    status = 200 if state is State.SUCCEEDED else 500
    results = [make.result(claim, state, delay=0 if state is State.WAITING else None, status=status) for claim in claims]
    return (await delivery.settle([dataclasses.replace(result, started_at=now_us()) for result in results], RULE)).opened


async def trip(endpoint: Endpoint) -> list[Claim]:
    claims = await make.claims(endpoint, each=10)
    assert await settle(claims) == [endpoint.id]
    return claims


async def breaker(endpoint: Endpoint) -> Any:
    async with database.read() as session:
        text = "SELECT open_until, openings, probes, open_until - graphook_now() AS open_for FROM restriction WHERE endpoint_id = $1"
        return (await session.fetch(Statement.same(text), endpoint.id))[0]


async def let_time_pass(endpoint: Endpoint) -> None:
    async with database.transaction() as session:
        await session.fetch(Statement.same("UPDATE restriction SET open_until = graphook_now() WHERE endpoint_id = $1"), endpoint.id)


async def tries(endpoint: Endpoint) -> int:
    async with database.read() as session:
        rows = await session.fetch(Statement.same("SELECT sum(tries) AS n FROM delivery WHERE endpoint_id = $1"), endpoint.id)
        return int(rows[0]["n"])


async def test_it_opens_on_ten_tries_of_which_seven_failed() -> None:
    endpoint = await guarded(12)
    claims = await make.claims(endpoint, each=12)

    await settle(claims[:3], State.SUCCEEDED)
    assert await settle(claims[3:9]) == [], "nine tries are too few"
    assert await settle(claims[9:10]) == [endpoint.id]
    assert await settle(claims[10:]) == [], "it is open already"

    row = await breaker(endpoint)
    assert (row["openings"], row["probes"], row["open_for"] > 28 * SECOND) == (1, 1, True)
    assert (await opened([endpoint.id]))[endpoint.id].half_open is False


async def not_sent(claims: list[Claim], code: str | None) -> list[str]:
    """Settle what a transformation canceled, or failed to make with that code."""
    state = State.SUCCEEDED if code is None else State.WAITING
    results = [make.result(claim, state, delay=None if code is None else 0, status=0) for claim in claims]
    return (await delivery.settle([dataclasses.replace(one, error_code=code, started_at=now_us()) for one in results], RULE)).opened


@pytest.mark.parametrize("code", [None, "transformation_threw"])
async def test_what_was_not_sent_is_no_try(code: str | None) -> None:
    """Neither do those that a transformation cancels hide that all others fail, nor do those it cannot make open the breaker."""
    endpoint = await guarded(40)
    claims = await make.claims(endpoint, each=40)

    assert await not_sent(claims[:20], code) == []
    await settle(claims[20:29])
    assert await settle(claims[29:30]) == [endpoint.id]


@pytest.mark.parametrize("code", [None, "transformation_threw"])
async def test_a_probe_that_was_not_sent_moves_nothing_and_frees_its_place(code: str | None) -> None:
    endpoint = await guarded(12)
    await trip(endpoint)
    await let_time_pass(endpoint)
    (probe,) = await make.claims(endpoint)
    before = await breaker(endpoint)

    assert await not_sent([probe], code) == []

    after = await breaker(endpoint)
    assert [after[name] for name in ("open_until", "openings", "probes")] == [before[name] for name in ("open_until", "openings", "probes")]
    assert len(await make.claims(endpoint)) == 1


async def test_only_the_latest_hundred_tries_count() -> None:
    endpoint = await guarded(170)
    claims = await make.claims(endpoint, each=170)

    await settle(claims[:100], State.SUCCEEDED)
    assert await settle(claims[100:169]) == []
    assert await settle(claims[169:]) == [endpoint.id]


async def test_a_probe_that_a_fault_of_ours_gave_back_moves_nothing() -> None:
    endpoint = await guarded(12)
    await trip(endpoint)
    await let_time_pass(endpoint)
    (probe,) = await make.claims(endpoint)
    before = await breaker(endpoint)

    assert (await delivery.settle([unsent(probe)], RULE)).opened == []

    after = await breaker(endpoint)
    assert [after[name] for name in ("open_until", "openings", "probes")] == [before[name] for name in ("open_until", "openings", "probes")]


async def test_it_stays_closed_while_fewer_fail() -> None:
    endpoint = await guarded(10)
    claims = await make.claims(endpoint, each=10)
    await settle(claims[:4], State.SUCCEEDED)

    assert await settle(claims[4:]) == []


async def test_without_a_breaker_failures_restrict_nothing() -> None:
    endpoint = await guarded(20, breaker=False)

    assert await settle(await make.claims(endpoint, each=10)) == []
    assert len(await make.claims(endpoint, each=10)) == 10


async def test_an_open_breaker_keeps_deliveries_pending_without_using_up_tries() -> None:
    endpoint = await guarded(15)
    await trip(endpoint)
    before = await tries(endpoint)

    claimed = await claiming.claim({endpoint.id: 10}, "another", 30 * SECOND)

    assert (claimed.claims, claimed.more, list(claimed.later)) == ([], [], [endpoint.id])
    assert await delivery.lanes("", 10) == [endpoint.id], "they are still ready"
    assert await tries(endpoint) == before == 10


async def test_half_open_it_lets_one_through_then_two_then_four_and_closes() -> None:
    endpoint = await guarded(60)
    await trip(endpoint)
    await let_time_pass(endpoint)

    seen = []
    while len(claims := await make.claims(endpoint, each=20)) < 20:
        seen.append(len(claims))
        assert await make.claims(endpoint, each=20, worker="another") == [], "over all processes"
        await settle(claims, State.SUCCEEDED)

    assert seen == [1, 2, 4, 8]
    assert sum(seen) + 1 == PROBES_TO_CLOSE
    assert await opened([endpoint.id]) == {}


async def half_open(allowed: int) -> tuple[Endpoint, list[Claim]]:
    """An endpoint whose breaker lets so many through, and they."""
    endpoint = await guarded(40)
    await trip(endpoint)
    await let_time_pass(endpoint)
    while len(claims := await make.claims(endpoint, each=20)) < allowed:
        await settle(claims, State.SUCCEEDED)
    return endpoint, claims


async def test_probes_that_are_recorded_again_after_the_answer_to_a_commit_was_lost_count_once() -> None:
    endpoint, claims = await half_open(4)

    await settle(claims[:3], State.SUCCEEDED)
    await settle(claims, State.SUCCEEDED)

    assert (await breaker(endpoint))["probes"] == 8
    await settle(claims, State.SUCCEEDED)
    assert (await breaker(endpoint))["probes"] == 8


async def test_a_probe_whose_lease_was_taken_back_counts_when_it_turns_out_to_have_succeeded() -> None:
    endpoint, (probe,) = await half_open(1)
    async with database.transaction() as session:
        await session.fetch_text("UPDATE delivery SET lease_until = 0 WHERE state = 2")
    assert (await delivery.take_back(10))[2] == 1

    await settle([probe], State.SUCCEEDED)

    assert (await breaker(endpoint))["probes"] == 2


@pytest.mark.postgresql_only
async def test_probes_that_are_recorded_again_while_their_first_commit_is_under_way_count_once() -> None:
    endpoint, claims = await half_open(4)
    recorded, begun = asyncio.Event(), asyncio.Event()

    async def again() -> None:
        await recorded.wait()
        begun.set()
        await settle(claims, State.SUCCEEDED)

    async def watch() -> None:
        await begun.wait()
        await until(somebody_waits_for_a_lock, "the second commit to wait for the first")

    # Begun outside the transaction, so that they take no part in it.
    second, watching = asyncio.create_task(again()), asyncio.create_task(watch())
    async with database.transaction():
        await settle(claims, State.SUCCEEDED)
        recorded.set()
        await watching
    await second

    assert (await breaker(endpoint))["probes"] == 8


async def test_a_failed_probe_opens_it_again_for_twice_as_long_up_to_a_limit() -> None:
    endpoint = await guarded(20)
    await trip(endpoint)

    seen = []
    for _ in range(3):
        await let_time_pass(endpoint)
        (probe,) = await make.claims(endpoint)
        assert await settle([probe]) == [endpoint.id]
        seen.append(round((await breaker(endpoint))["open_for"] / SECOND, -1))

    assert seen == [60, 100, 100]


async def test_late_results_of_before_the_opening_change_nothing() -> None:
    endpoint = await guarded(15)
    late = await make.claims(endpoint, each=5)
    await trip(endpoint)
    await let_time_pass(endpoint)
    before = await breaker(endpoint)

    await settle(late[:3])
    await settle(late[3:], State.SUCCEEDED)

    after = await breaker(endpoint)
    assert (after["openings"], after["probes"], after["open_until"]) == (before["openings"], before["probes"], before["open_until"])


async def test_a_manual_resend_passes_an_open_breaker_and_its_success_ends_the_wait() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app, delivery_policy={"breaker": True})
    ids = [await make.message(app) for _ in range(12)]
    await trip(endpoint)

    await delivery.resend(await Message.load(app, ids[0]), endpoint)
    (resent,) = await make.claims(endpoint)
    assert (resent.message_id, resent.run) == (ids[0], 1)
    await settle([resent], State.FAILED)
    assert (await breaker(endpoint))["openings"] == 1, "a resend that fails opens nothing longer"

    await delivery.resend(await Message.load(app, ids[0]), endpoint)
    await settle(await make.claims(endpoint), State.SUCCEEDED)
    assert (await opened([endpoint.id]))[endpoint.id].half_open
    assert len(await make.claims(endpoint)) == 2


async def test_what_failed_before_it_closed_is_forgiven() -> None:
    endpoint = await guarded(90)
    assert await settle(await make.claims(endpoint, each=50)) == [endpoint.id]
    await let_time_pass(endpoint)
    while endpoint.id in await opened([endpoint.id]):
        await settle(await make.claims(endpoint, each=20), State.SUCCEEDED)

    assert await settle(await make.claims(endpoint, each=3)) == [], "three failures after fifty that are forgiven"
