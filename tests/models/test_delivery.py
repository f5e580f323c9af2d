"""Claims, leases and fences: one delivery is never in two hands, and nothing is recorded twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from graphook import database
from graphook.clock import now
from graphook.database import Statement
from graphook.errors import Conflict
from models import cancel, claiming, delivery, endpoint_health, purge
from models.attempt import Attempt
from models.cancel import cancel_pending
from models.claim import Claim
from models.delivery import State
from models.message import INLINE_ENDPOINTS, Message, NewMessage
from models.page import PageRequest
from models.where import Where
from tests.models import make
from tests.waiting import somebody_waits_for_a_lock, until
from workers.fanout import PAGE, FanOuts

pytestmark = pytest.mark.usefixtures("db")

STATES = Statement.same(
    "SELECT endpoint_id, run, state, claim, tries, interrupts FROM delivery WHERE message_id = $1 ORDER BY endpoint_id, run"
)


async def rows(message_id: str) -> list[Any]:
    async with database.read() as session:
        return list(await session.fetch(STATES, message_id))


async def attempts(app_id: str) -> list[Attempt]:
    return (await Attempt.page(Where().equal("a.app_id", app_id), PageRequest(limit=250))).items


async def test_a_claim_leases_and_a_success_settles() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    assert await delivery.lanes("", 10) == [endpoint.id]

    (claim,) = await make.claims(endpoint)
    assert (claim.message_id, claim.number, claim.tries, claim.body is not None) == (message_id, 1, 0, True)
    assert await make.claims(endpoint) == []
    await delivery.settle([make.result(claim)])

    ((row),) = await rows(message_id)
    assert (row["state"], row["tries"]) == (State.SUCCEEDED, 1)
    assert await delivery.lanes("", 10) == []
    assert [attempt.response for attempt in await attempts(app.id)] == ["said"]


async def test_settling_twice_records_once() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    (claim,) = await make.claims(endpoint)

    await delivery.settle([make.result(claim, State.WAITING, delay=0, status=500)])
    await delivery.settle([make.result(claim, State.WAITING, delay=0, status=500)])

    assert len(await attempts(app.id)) == 1
    ((row),) = await rows(claim.message_id)
    assert row["tries"] == 1


async def test_a_failure_of_a_superseded_claim_changes_nothing_and_a_success_still_counts() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    (stale,) = await make.claims(endpoint, lease_us=0)
    assert (await delivery.take_back(10))[0] == [endpoint.id]
    (current,) = await make.claims(endpoint)
    assert current.number == 2

    await delivery.settle([make.result(stale, State.FAILED, status=500)])
    ((row),) = await rows(message_id)
    assert (row["state"], row["claim"], row["interrupts"]) == (State.LEASED, 2, 1)

    await delivery.settle([make.result(stale)])
    await delivery.settle([make.result(current, State.WAITING, delay=0, status=500)])
    ((row),) = await rows(message_id)
    assert row["state"] == State.SUCCEEDED, "it was taken: no failure may undo that"
    # The first thing that a stale claim says is what became of its request; nothing it says later is.
    assert [(a.status, a.error_code, a.response_status_code) for a in await attempts(app.id)] == [(2, None, 500), (2, None, 500)]


async def test_a_success_that_comes_after_its_claim_was_taken_back_takes_the_place_of_the_interrupted_attempt() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    (stale,) = await make.claims(endpoint, lease_us=0)
    await delivery.take_back(10)
    (interrupted,) = await attempts(app.id)
    assert interrupted.error_code == "interrupted"

    await delivery.settle([make.result(stale)])

    ((row),) = await rows(message_id)
    assert row["state"] == State.SUCCEEDED
    (attempt,) = await attempts(app.id)
    assert (attempt.id, attempt.status, attempt.error_code, attempt.response) == (interrupted.id, 0, None, "said")
    await delivery.take_back(10)
    assert await attempts(app.id) == [attempt]


async def test_a_lease_that_runs_out_is_an_interrupted_attempt_and_uses_up_no_retry() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    await make.claims(endpoint, lease_us=0)

    ready, apps, count = await delivery.take_back(10)

    assert (ready, apps, count) == ([endpoint.id], {app.id}, 1)
    ((row),) = await rows(message_id)
    assert (row["state"], row["tries"], row["interrupts"]) == (State.READY, 0, 1)
    assert [attempt.error_code for attempt in await attempts(app.id)] == ["interrupted"]


async def test_the_third_interruption_quarantines() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    for _ in range(3):
        await make.claims(endpoint, lease_us=0)
        await delivery.take_back(10)

    ((row),) = await rows(message_id)
    assert row["state"] == State.QUARANTINED
    assert await make.claims(endpoint) == []
    assert len(await attempts(app.id)) == 3


async def test_waiting_deliveries_become_ready_when_they_are_due() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    (claim,) = await make.claims(endpoint)
    await delivery.settle([make.result(claim, State.WAITING, delay=3_600_000_000, status=500)])
    assert await delivery.promote(10) == ([], 0)

    (again,) = await _wait_again(claim)
    assert (again.number, again.tries) == (2, 1)


async def _wait_again(claim: Claim) -> list[Claim]:
    async with database.transaction() as session:
        await session.fetch(Statement.same("UPDATE delivery SET due_at = 0 WHERE message_id = $1"), claim.message_id)
    lanes, count = await delivery.promote(10)
    assert (lanes, count) == ([claim.endpoint.id], 1)
    return (await claiming.claim({claim.endpoint.id: 5}, "worker", 1_000_000)).claims


async def test_many_workers_never_hold_one_delivery_twice() -> None:
    app = await make.application()
    endpoints = [await make.endpoint(app) for _ in range(4)]
    for _ in range(25):
        await make.message(app)

    async def work(name: str) -> list[tuple[str, str]]:
        held: list[tuple[str, str]] = []
        while found := await make.claims(*endpoints, each=3, worker=name):
            held += [(claim.message_id, claim.endpoint.id) for claim in found]
            await delivery.settle([make.result(claim) for claim in found])
        return held

    held = [pair for pairs in await asyncio.gather(*(work(f"worker {n}") for n in range(5))) for pair in pairs]

    assert len(held) == len(set(held)) == 100
    assert len(await attempts(app.id)) == 100


async def test_a_long_backlog_of_one_endpoint_does_not_hold_up_the_others() -> None:
    app = await make.application()
    busy, idle = await make.endpoint(app), await make.endpoint(app, filter_types=["rare"])
    for _ in range(60):
        await make.message(app)
    async with database.transaction() as session:
        sql = "UPDATE endpoint SET filter_types = NULL WHERE id = $1"
        await session.fetch(Statement.same(sql), idle.id)
    await make.message(app)

    found = await make.claims(busy, idle, each=10)

    assert [claim.endpoint.id for claim in found].count(idle.id) == 1
    assert len(found) == 11


async def test_what_is_ready_for_a_disabled_endpoint_is_canceled() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    await endpoint.change({"disabled": True})

    claimed = await claiming.claim({endpoint.id: 5}, "worker", 1_000_000)

    assert (claimed.claims, claimed.canceled_apps) == ([], {app.id})
    ((row),) = await rows(message_id)
    assert row["state"] == State.CANCELED


async def test_resends_at_once_get_runs_of_their_own() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    message = await Message.load(app, message_id)

    await asyncio.gather(*(delivery.resend(message, endpoint) for _ in range(5)))

    assert [row["run"] for row in await rows(message_id)] == [0, 1, 2, 3, 4, 5]
    await endpoint.change({"disabled": True})
    with pytest.raises(Conflict):
        await delivery.resend(message, endpoint)


async def test_endpoint_health_counts_from_the_first_failure_and_a_success_clears_it() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(3):
        await make.message(app)
    first, second, third = await make.claims(endpoint)

    await delivery.settle([make.result(first, State.FAILED, status=500)])
    await endpoint.refresh_from_db()
    since = endpoint.failing_since
    assert since is not None
    await delivery.settle([make.result(second, State.FAILED, status=500)])
    await endpoint.refresh_from_db()
    assert endpoint.failing_since == since
    assert await endpoint_health.disable([(endpoint.id, endpoint.url)], failing_for_us=3_600_000_000) == ([], [])

    async with database.transaction() as session:
        await session.fetch(Statement.same("UPDATE endpoint SET failing_since = 1 WHERE id = $1"), endpoint.id)
    assert await endpoint_health.disable([(endpoint.id, endpoint.url)], failing_for_us=5 * 86_400_000_000) == ([endpoint.id], [])
    assert await endpoint_health.disable([(endpoint.id, endpoint.url)], failing_for_us=5 * 86_400_000_000) == ([], [])
    await delivery.settle([make.result(third)])
    await endpoint.refresh_from_db()
    healed: Any = endpoint.failing_since
    assert (healed, endpoint.disabled) == (None, True)
    await endpoint.change({"disabled": False})
    assert endpoint.disabled_reason is None


async def test_what_was_given_back_or_not_to_be_sent_says_nothing_of_the_health_of_an_endpoint() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(3):
        await make.message(app)
    first, second, third = await make.claims(endpoint)

    await delivery.settle([replace(make.result(first, State.WAITING, delay=0, status=0), counted=False, recorded=False)])
    await endpoint.refresh_from_db()
    assert endpoint.failing_since is None
    await delivery.settle([make.result(second, State.FAILED, status=500)])
    await delivery.settle([make.result(third, State.SUCCEEDED, status=0)])
    await endpoint.refresh_from_db()
    assert endpoint.failing_since is not None


async def test_of_results_that_come_together_a_success_ends_the_run_of_failures() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(2):
        await make.message(app)
    claims = await make.claims(endpoint)

    await delivery.settle([make.result(claims[0]), make.result(claims[1], State.WAITING, delay=0, status=500)])

    await endpoint.refresh_from_db()
    assert endpoint.failing_since is None


async def test_a_message_to_many_endpoints_is_fanned_out_in_pages() -> None:
    app = await make.application()
    template = await make.endpoint(app)
    await make.copies(template, 2 * INLINE_ENDPOINTS)

    message_id = await make.message(app)
    assert await rows(message_id) == []
    pages = []
    while (page := await FanOuts().page()) is not None:
        pages.append(page)

    assert [len(page) for page in pages] == [PAGE, 1, 0]
    assert len(await rows(message_id)) == 2 * INLINE_ENDPOINTS + 1 == PAGE + 1


async def test_a_message_that_is_canceled_while_it_is_fanned_out_goes_to_nobody_more() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    first, second = await make.message(app), await make.message(app)
    async with database.transaction() as session:
        for message_id in (first, second):
            await session.fetch(Statement.same("DELETE FROM delivery WHERE message_id = $1"), message_id)
            await session.fetch(
                Statement.same("INSERT INTO fanout (message_id, app_id, after_endpoint) VALUES ($1, $2, '')"), message_id, app.id
            )

    assert await cancel_pending(first, endpoint.id) == 1
    assert await cancel_pending(second, None) == 0
    while await FanOuts().page() is not None:
        pass

    assert [row["state"] for row in await rows(first)] == [State.CANCELED]
    assert await rows(second) == []


async def test_a_later_message_is_fanned_out_waiting() -> None:
    app = await make.application()
    await make.endpoint(app)
    message_id = await make.message(app, deliver_at=now() + timedelta(hours=1))
    async with database.transaction() as session:
        await session.fetch(Statement.same("DELETE FROM delivery WHERE message_id = $1"), message_id)
        await session.fetch(
            Statement.same("INSERT INTO fanout (message_id, app_id, after_endpoint) VALUES ($1, $2, '')"), message_id, app.id
        )

    assert await FanOuts().page() == [], "nobody is woken for it"
    assert [row["state"] for row in await rows(message_id)] == [State.WAITING]
    assert await delivery.promote(10) == ([], 0)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
async def test_what_is_answered_to_a_request_that_was_out_when_its_content_was_forgotten_is_not_kept(state: State) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    (claim,) = await make.claims(endpoint)
    async with database.transaction() as session:
        forgotten = await purge.forget(session, await cancel.messages_between(session, app.id, "", message_id, 10))
    assert forgotten == (1, 0)

    await delivery.settle([make.result(claim, state, status=200 if state is State.SUCCEEDED else 500)])

    async with database.read() as session:
        (row,) = await session.fetch_text("SELECT status, response, expunged, error_code FROM attempt")
        (now_is,) = await session.fetch_text("SELECT state FROM delivery")
    assert (bytes(row["response"]), bool(row["expunged"]), row["error_code"]) == (b"", True, None)
    assert (row["status"], now_is["state"]) == ((0, State.SUCCEEDED) if state is State.SUCCEEDED else (2, State.CANCELED))


@pytest.mark.postgresql_only
async def test_what_is_answered_to_a_request_of_a_page_that_was_under_way_when_its_content_was_forgotten_is_not_kept() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    new = NewMessage(app.org_id, app.id, "a.b", b"{}")
    async with database.transaction() as session:
        await Message.write(session, [(new, True)])
    written = asyncio.Event()

    async def forget() -> None:
        await written.wait()
        async with database.transaction() as session:
            await purge.forget(session, await cancel.messages_between(session, app.id, "", new.id, 10))

    async def watch() -> None:
        await written.wait()
        await until(somebody_waits_for_a_lock, "what forgets to wait for the page")

    # Begun outside the transaction, so that they take no part in it.
    forgetting, watching = asyncio.create_task(forget()), asyncio.create_task(watch())
    async with database.transaction():
        assert await FanOuts().page() == [endpoint.id]
        written.set()
        await watching
        # By whoever is quick, before the one that forgets goes on.
        (claim,) = await make.claims(endpoint)
    await forgetting

    await delivery.settle([make.result(claim)])

    async with database.read() as session:
        (row,) = await session.fetch_text("SELECT response, expunged FROM attempt")
    assert (bytes(row["response"]), row["expunged"]) == (b"", True)
