"""Which delivery is claimed first, which is never sent, and which result stands."""

from __future__ import annotations

from datetime import timedelta

import pytest

from graphook import database
from models import delivery
from models.attempt import MessageStatus
from models.delivery import State
from models.destination import Destination
from models.page import PageRequest
from models.replay_sql import DELIVERED
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")


async def state(message_id: str) -> int:
    async with database.read() as session:
        (row,) = await session.fetch_text(f"SELECT state FROM delivery WHERE message_id = '{message_id}'")
    return int(row["state"])


async def test_what_has_been_due_longest_is_claimed_first() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    ids = [await make.message(app) for _ in range(4)]
    async with database.transaction() as session:
        for due, message_id in enumerate((ids[2], ids[0], ids[3], ids[1])):
            await session.fetch_text(f"UPDATE delivery SET due_at = {due} WHERE message_id = '{message_id}'")

    first = await make.claims(endpoint, each=2)
    second = await make.claims(endpoint, each=2)

    assert {claim.message_id for claim in first} == {ids[2], ids[0]}
    assert {claim.message_id for claim in second} == {ids[3], ids[1]}


async def test_a_payload_that_has_expired_is_claimed_without_its_bytes() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app, retention=timedelta(seconds=-1))

    (claim,) = await make.claims(endpoint)

    assert claim.body is None, "it is there until it is pruned, and not to be sent"


async def test_a_success_stands_although_the_delivery_was_canceled_while_it_was_out() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    (claim,) = await make.claims(endpoint)
    await delivery.cancel([claim], "a test")
    assert await state(message_id) == State.CANCELED

    await delivery.settle([make.result(claim, State.WAITING, delay=0, status=500)])
    assert await state(message_id) == State.CANCELED

    await delivery.settle([make.result(claim)])
    assert await state(message_id) == State.SUCCEEDED


async def test_a_schedule_that_came_to_its_end_is_not_opened_again_by_a_late_failure() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    (stale,) = await make.claims(endpoint, lease_us=0)
    await delivery.take_back(10)
    (current,) = await make.claims(endpoint)
    await delivery.settle([make.result(current, State.FAILED, status=500)])

    await delivery.settle([make.result(stale, State.WAITING, delay=0, status=500)])

    assert await state(message_id) == State.FAILED


@pytest.mark.parametrize("late_first", [True, False])
@pytest.mark.parametrize("late", [State.SUCCEEDED, State.FAILED])
@pytest.mark.parametrize("current", [State.SUCCEEDED, State.WAITING])
async def test_of_two_results_for_one_delivery_that_come_together_a_success_stands_else_the_current_one(
    late: State, current: State, late_first: bool
) -> None:
    """A process that kept a result while its lease ran out may have claimed and sent the delivery again by then."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    (first,) = await make.claims(endpoint, lease_us=0)
    await delivery.take_back(10)
    (second,) = await make.claims(endpoint)
    results = [
        make.result(first, late, status=200 if late is State.SUCCEEDED else 500),
        make.result(second, current, delay=1 if current is State.WAITING else None, status=200 if current is State.SUCCEEDED else 500),
    ]

    await delivery.settle(results if late_first else results[::-1])

    assert await state(message_id) == (State.SUCCEEDED if State.SUCCEEDED in (late, current) else current)
    async with database.read() as session:
        (row,) = await session.fetch_text("SELECT tries FROM delivery")
        attempts = await session.fetch_text("SELECT claim, response_status_code AS status FROM attempt ORDER BY claim")
    assert row["tries"] == 1
    assert [(a["claim"], a["status"]) for a in attempts] == [(1, results[0].status_code), (2, results[1].status_code)]


@pytest.mark.parametrize("ended", [State.FAILED, State.QUARANTINED])
async def test_what_was_given_up_and_turns_out_to_have_succeeded_is_not_sent_again(ended: State) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    (late,) = await make.claims(endpoint, lease_us=0)
    await delivery.take_back(10)
    if ended is State.FAILED:
        await delivery.settle([make.result(claim, State.FAILED, status=500) for claim in await make.claims(endpoint)])
    else:
        for _ in range(2):
            await make.claims(endpoint, lease_us=0)
            await delivery.take_back(10)
    assert await destination(message_id) == (MessageStatus.FAIL, ended)

    await delivery.settle([make.result(late)])

    assert await destination(message_id) == (MessageStatus.SUCCESS, State.SUCCEEDED)
    async with database.read() as session:
        (stands,) = await session.fetch(DELIVERED, endpoint.id, "", message_id, 10)
        (row,) = await session.fetch_text("SELECT reason FROM delivery")
    assert (stands["status"], row["reason"]) == (MessageStatus.SUCCESS, None)


async def destination(message_id: str) -> tuple[MessageStatus, int]:
    (found,) = (await Destination.page(message_id, PageRequest(limit=10))).items
    return found.status, await state(message_id)
