"""What is sent once more: only what can still be sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from graphook import database
from graphook.clock import now, to_us
from graphook.database import Statement
from graphook.errors import Conflict
from graphook.ids import end_id, start_id
from models import cancel, delivery, replay_sql
from models.attempt import MessageStatus
from models.delivery import State
from models.endpoint import Endpoint
from models.message import Message, NewMessage
from models.task import Task, TaskStatus, TaskType, claim_task
from tests.models import make
from workers.replay import PAGE, bulk_replay, recover, replay_missing
from workers.tasks import Step, TakeStep

pytestmark = pytest.mark.usefixtures("db")


async def test_a_payload_that_has_expired_is_not_sent_again_nor_to_an_endpoint_that_came_since() -> None:
    app = await make.application()
    kept = await make.message(app)
    expired = await make.message(app, retention=timedelta(seconds=-1))
    endpoint = await make.endpoint(app)

    for statement in (replay_sql.ADD_DELIVERIES, replay_sql.ADD_RUNS):
        async with database.transaction() as session:
            added = await session.fetch_rows(statement, [(kept, endpoint.id), (expired, endpoint.id)])
        assert [row["message_id"] for row in added] == [kept]


async def test_what_was_sent_to_one_endpoint_by_hand_is_missed_by_that_one_only() -> None:
    app = await make.application()
    meant, other = await make.endpoint(app), await make.endpoint(app)
    await make.message(app, endpoint_id=meant.id)
    await meant.change({"disabled": True})
    assert await make.claims(meant) == [], "it is canceled"
    await meant.change({"disabled": False})

    assert await sent_again(other, TaskType.ENDPOINT_REPLAY, replay_missing) == 0
    assert await sent_again(meant, TaskType.ENDPOINT_REPLAY, replay_missing) == 1


async def test_what_failed_is_not_sent_again_while_a_resend_of_it_is_under_way() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message = await Message.load(app, await make.message(app))
    (failed,) = await make.claims(endpoint)
    await delivery.settle([make.result(failed, State.FAILED, status=500)])
    await delivery.resend(message, endpoint)
    assert await sent_again(endpoint, TaskType.ENDPOINT_RECOVER, recover) == 0, "it is ready"
    (resent,) = await make.claims(endpoint)
    assert await sent_again(endpoint, TaskType.ENDPOINT_RECOVER, recover) == 0, "it is out"
    await delivery.settle([make.result(resent, State.FAILED, status=500)])

    assert await sent_again(endpoint, TaskType.ENDPOINT_RECOVER, recover) == 1


@pytest.mark.parametrize("closed", ["endpoint disabled", "endpoint deleted", "application deleted"])
async def test_a_task_says_how_far_it_had_come_when_its_endpoint_was_closed(closed: str) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    window = {"from": start_id("msg_", now()), "to": end_id("msg_", now())}
    await Task.start(app.org_id, TaskType.ENDPOINT_REPLAY, {"endpoint_id": endpoint.id, **window}, app.id)
    task = await claim_task("worker", 30_000_000)
    assert task is not None
    if closed == "endpoint disabled":
        await endpoint.change({"disabled": True})
    else:
        await (endpoint if closed == "endpoint deleted" else app).remove()

    for step in (recover, replay_missing):
        async with database.transaction() as session:
            with pytest.raises(Conflict, match="disabled or deleted; 7 messages had been sent"):
                await step(session, task, {"sent": 7})


async def test_a_message_that_retention_has_taken_does_not_end_what_is_sent_again() -> None:
    """Retention takes messages first and their deliveries a little later: a page with one of those is as full as any."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    batch = [NewMessage(app.org_id, app.id, "a.b", b"{}") for _ in range(PAGE + 1)]
    await Message.accept(batch)
    async with database.transaction() as session:
        await session.fetch_text("UPDATE delivery SET state = 4")
        await session.fetch(Statement.same("DELETE FROM message WHERE id = $1"), min(message.id for message in batch))

    assert await sent_again(endpoint, TaskType.ENDPOINT_RECOVER, recover) == PAGE


async def test_what_is_chosen_by_how_it_stands_stands_as_everywhere_else() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app, deliver_at=now() + timedelta(hours=1))
    filters = {"event_types": None, "channel": None, "tag": None, "status_code_class": None}

    for status, sent in ((MessageStatus.SENDING, 0), (MessageStatus.FAIL, 0), (MessageStatus.PENDING, 1)):
        assert await sent_again(endpoint, TaskType.ENDPOINT_BULK_REPLAY, bulk_replay, **filters, status=int(status)) == sent, status


async def test_a_message_that_is_to_be_delivered_later_is_not_delivered_sooner_to_an_endpoint_that_came_since() -> None:
    app = await make.application()
    at = now() + timedelta(hours=1)
    await make.message(app, deliver_at=at)
    endpoint = await make.endpoint(app)

    assert await sent_again(endpoint, TaskType.ENDPOINT_REPLAY, replay_missing) == 1

    async with database.read() as session:
        (row,) = await session.fetch_text("SELECT state, due_at FROM delivery")
    assert (row["state"], row["due_at"]) == (State.WAITING, to_us(at))


async def test_what_was_canceled_because_its_endpoint_was_disabled_is_sent_once_that_is_enabled_again() -> None:
    """By recovering what had been tried in vain, by replaying what never was; what was canceled by request stays so."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    tried, withdrawn, untried, withdrawn_untried = [await make.message(app) for _ in range(4)]
    for claim in await make.claims(endpoint, each=2):
        await delivery.settle([make.result(claim, State.WAITING, delay=0, status=500)])
    await cancel.cancel_pending(withdrawn, None)
    await cancel.cancel_pending(withdrawn_untried, None)
    await delivery.promote(10)
    await endpoint.change({"disabled": True})
    assert await make.claims(endpoint) == []
    assert {await make.standing(message_id) for message_id in (tried, untried, withdrawn)} == {MessageStatus.CANCELED}
    await endpoint.change({"disabled": False})

    assert await sent_again(endpoint, TaskType.ENDPOINT_RECOVER, recover) == 1
    (claim,) = await make.claims(endpoint)
    assert claim.message_id == tried
    await delivery.settle([make.result(claim)])
    assert await sent_again(endpoint, TaskType.ENDPOINT_RECOVER, recover) == 0

    assert await sent_again(endpoint, TaskType.ENDPOINT_REPLAY, replay_missing) == 1
    assert await sent_again(endpoint, TaskType.ENDPOINT_REPLAY, replay_missing) == 0, "it is on its way"
    (claim,) = await make.claims(endpoint)
    assert claim.message_id == untried
    await delivery.settle([make.result(claim, State.FAILED, status=500)])
    assert await sent_again(endpoint, TaskType.ENDPOINT_REPLAY, replay_missing) == 0, "now it was tried"
    assert await sent_again(endpoint, TaskType.ENDPOINT_RECOVER, recover) == 1


async def sent_again(endpoint: Endpoint, kind: TaskType, take_step: TakeStep, **filters: Any) -> int:
    """How many messages of the last hour a task sends once more."""
    window = {"from": start_id("msg_", now() - timedelta(hours=1)), "to": end_id("msg_", now())}
    await Task.start(endpoint.org_id, kind, {"endpoint_id": endpoint.id, **window, **filters}, endpoint.app_id)
    task = await claim_task("worker", 30_000_000)
    assert task is not None
    step = Step({})
    while not step.done:
        async with database.transaction() as session:
            step = await take_step(session, task, step.state)
            if step.done:
                await task.end(session, TaskStatus.FINISHED, step.data)
    return int(step.data["messagesSent"])
