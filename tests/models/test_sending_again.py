"""What is sent once more: only what can still be sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from graphook import database
from graphook.clock import now
from graphook.errors import Conflict
from graphook.ids import end_id, start_id
from models import replay_sql
from models.task import Task, TaskType, claim_task
from tests.models import make
from workers.replay import recover, replay_missing

pytestmark = pytest.mark.usefixtures("db")


async def test_a_payload_that_has_expired_is_not_sent_again() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    kept = await make.message(app)
    expired = await make.message(app, retention=timedelta(seconds=-1))

    async with database.transaction() as session:
        added = await session.fetch_rows(replay_sql.ADD_RUNS, [(kept, endpoint.id), (expired, endpoint.id)])

    assert [row["message_id"] for row in added] == [kept]


async def test_a_task_says_how_far_it_had_come_when_its_endpoint_was_disabled() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    window = {"from": start_id("msg_", now()), "to": end_id("msg_", now())}
    await Task.start(app.org_id, TaskType.ENDPOINT_REPLAY, {"endpoint_id": endpoint.id, **window}, app.id)
    task = await claim_task("worker", 30_000_000)
    assert task is not None
    await endpoint.change({"disabled": True})

    for step in (recover, replay_missing):
        async with database.transaction() as session:
            with pytest.raises(Conflict, match="disabled or deleted; 7 messages had been sent"):
                await step(session, task, {"sent": 7})
