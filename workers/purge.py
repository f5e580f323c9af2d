"""Steps of the tasks that go through an application's messages: cancel what is pending, forget all contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphook.database import Row, Session
from models import cancel, purge
from models.task import ClaimedTask
from workers.tasks import Step, progress_within

PAGE = 500


async def cancel_messages(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Cancel the pending deliveries of each message of the window that the filters choose."""
    rows = await _page(session, task, state)
    wanted, endpoint_id = task.arguments["event_types"], task.arguments["endpoint_id"]
    chosen = [row["id"] for row in rows if wanted is None or row["event_type"] in wanted]
    canceled = await cancel.cancel_in(session, chosen, endpoint_id, cancel.BY_REQUEST) if chosen else 0
    return _step(task, state, rows, {"deliveriesCanceled": canceled})


async def purge_content(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Forget the payload and the responses of each message, and cancel what is still to be sent."""
    rows = await _page(session, task, state)
    payloads, responses = await purge.forget(session, rows) if rows else (0, 0)
    return _step(task, state, rows, {"payloadsExpunged": payloads, "responsesExpunged": responses})


async def _page(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Sequence[Row]:
    assert task.app_id is not None
    after = state.get("after", task.arguments["from"])
    return await cancel.messages_between(session, task.app_id, after, task.arguments["to"], PAGE)


def _step(task: ClaimedTask, state: Mapping[str, Any], rows: Sequence[Row], done: Mapping[str, int]) -> Step:
    counts = {name: state.get(name, 0) + number for name, number in done.items()}
    if len(rows) < PAGE:
        return Step({}, 100.0, done=True, data=counts)
    return Step({"after": rows[-1]["id"], **counts}, progress_within(task, rows[-1]["id"]))
