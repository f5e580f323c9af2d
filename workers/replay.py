"""Steps of the tasks that send again: recover what failed, replay what was missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from graphook.database import Row, Session, Statement
from graphook.errors import Conflict
from models import replay_sql as sql
from models.attempt import MessageStatus
from models.task import ClaimedTask
from workers.tasks import Step, progress_within

PAGE = 500


async def recover(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Send each message of the window once more that failed and never succeeded, also where its last tries were canceled because the endpoint was
    disabled. One that is still on its way is left alone."""
    rows = await _delivered(session, task, state)
    return await _send(session, task, state, rows, {sql.ADD_RUNS: [row for row in rows if _has_failed(row)]})


async def bulk_replay(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Send each message of the window once more that the filters choose, whatever became of it."""
    rows = await _delivered(session, task, state)
    return await _send(session, task, state, rows, {sql.ADD_RUNS: [row for row in rows if _is_chosen(row, task.arguments)]})


async def replay_missing(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Deliver each message of the window that the endpoint listens to and never had. Those that were canceled before they were tried, because it was
    disabled, are sent once."""
    after = state.get("after", task.arguments["from"])
    rows = await session.fetch(sql.LISTENED, task.app_id, after, task.arguments["to"], PAGE, task.arguments["endpoint_id"])
    new, canceled = ([row for row in rows if row["wanted"] and row["had"] == had] for had in (0, 1))
    return await _send(session, task, state, rows, {sql.ADD_DELIVERIES: new, sql.ADD_RUNS: canceled})


async def _delivered(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Sequence[Row]:
    after = state.get("after", task.arguments["from"])
    return await session.fetch(sql.DELIVERED, task.arguments["endpoint_id"], after, task.arguments["to"], PAGE)


def _status(row: Row) -> MessageStatus:
    """How the message stands with the endpoint. One that did not succeed counts as on its way while any run of it is."""
    status = MessageStatus(row["status"])
    over = status in (MessageStatus.FAIL, MessageStatus.CANCELED)
    return MessageStatus.SENDING if over and row["open"] else status


def _has_failed(row: Row) -> bool:
    status = _status(row)
    return status is MessageStatus.FAIL or (status is MessageStatus.CANCELED and bool(row["cut_short"]))


def _is_chosen(row: Row, filters: Mapping[str, Any]) -> bool:
    channels, tags = orjson.loads(row["channels"] or "[]"), orjson.loads(row["tags"] or "[]")
    low = filters["status_code_class"]
    return (
        (filters["event_types"] is None or row["event_type"] in filters["event_types"])
        and (filters["channel"] is None or filters["channel"] in channels)
        and (filters["tag"] is None or filters["tag"] in tags)
        and (filters["status"] is None or _status(row) == filters["status"])
        and (low is None or (row["code"] is not None and low <= row["code"] < low + 100))
    )


async def _send(
    session: Session, task: ClaimedTask, state: Mapping[str, Any], rows: Sequence[Row], chosen: Mapping[Statement, Sequence[Row]]
) -> Step:
    """The step that looked at `rows` and sends what is `chosen` of them, by the statement that adds it."""
    endpoint_id = task.arguments["endpoint_id"]
    if not await session.fetch(sql.ENABLED, endpoint_id):
        raise Conflict(f"The endpoint was disabled or deleted; {state.get('sent', 0)} messages had been sent.", code="ENDPOINT_DISABLED")
    sent = state.get("sent", 0)
    for add, some in chosen.items():
        sent += len(await session.fetch_rows(add, [(row["message_id"], endpoint_id) for row in some]))
    if len(rows) < PAGE:
        return Step({}, 100.0, done=True, data={"messagesSent": sent}, endpoint_ids=[endpoint_id] if sent else [])
    after = rows[-1]["message_id"]
    return Step({"after": after, "sent": sent}, progress_within(task, after), endpoint_ids=[endpoint_id])
