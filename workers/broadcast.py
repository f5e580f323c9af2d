"""The step that sends one message to the next page of applications: the same statements as for any message, committed with the position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from graphook.database import Row, Session, Statement
from models.fields import dump_json
from models.message import INLINE_ENDPOINTS, Accepted, Message, NewMessage
from models.task import ClaimedTask
from workers.tasks import Step

# What one transaction writes at most, which keeps it short: messages, deliveries and bytes.
PAGE = 200
DELIVERIES = 1000
BYTES = 4 * 1024 * 1024
# The result is one row: what is beyond this is counted and not listed.
LISTED = 1000

# org id, after, up to, limit → applications with how many endpoints they have, up to one more than a message fans out to inline.
APPLICATIONS = Statement.same(f"""
    SELECT a.id, (SELECT count(*) FROM (
               SELECT 1 FROM endpoint e WHERE e.app_id = a.id AND e.deleted_at IS NULL LIMIT {INLINE_ENDPOINTS + 1}) x) AS endpoints
    FROM application a WHERE a.org_id = $1 AND a.id > $2 AND a.id <= $3 AND a.deleted_at IS NULL AND NOT a.operational ORDER BY a.id LIMIT $4""")
COUNT = Statement.same("SELECT count(*) AS n FROM application WHERE org_id = $1 AND id <= $2 AND deleted_at IS NULL AND NOT operational")
# The list of what was created is kept in the result as it grows, not in the position, which is written with every page.
LISTED_SO_FAR = Statement.same("SELECT data::text AS data FROM task WHERE id = $1")
LIST = Statement.same("UPDATE task SET data = $2 WHERE id = $1")


async def broadcast(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Accept the message for the next applications, unless one has a message of its event id or was deleted just now."""
    wanted, body = task.arguments, task.arguments["body"].encode()
    limit = max(1, min(PAGE, BYTES // max(1, len(body))))
    rows = await session.fetch(APPLICATIONS, task.org_id, state.get("after", ""), wanted["up_to"], limit)
    if not rows:
        return await _end(session, task, state)
    page = _within(rows)
    messages = [
        NewMessage(
            org_id=task.org_id,
            app=app_id,
            event_type=wanted["event_type"],
            body=body,
            event_id=wanted["event_id"],
            channels=wanted["channels"],
            retention=timedelta(days=wanted["retention_days"]),
        )
        for app_id in page
    ]
    accepted = await Message.accept(messages)
    created = [outcome for outcome in accepted.outcomes if isinstance(outcome, Accepted)]
    so_far = state.get("created", 0)
    if so_far < LISTED:
        listed = [{"appId": outcome.app_id, "msgId": outcome.message_id} for outcome in created]
        await session.fetch(LIST, task.id, dump_json({"messagesCreated": [*await _listed(session, task), *listed][:LISTED]}))
    done = state.get("done", 0) + len(page)
    total = state.get("total") or (await session.fetch(COUNT, task.org_id, wanted["up_to"]))[0]["n"]
    position = {
        "after": page[-1],
        "created": so_far + len(created),
        "skipped": state.get("skipped", 0) + len(page) - len(created),
        "done": done,
        "total": total,
    }
    return Step(position, progress=min(99.0, 100 * done / max(1, total)), endpoint_ids=accepted.endpoint_ids)


def _within(rows: Sequence[Row]) -> list[str]:
    """The first applications, at least one, whose deliveries one transaction may write. What is fanned out by workers does not count."""
    page: list[str] = []
    deliveries = 0
    for row in rows:
        deliveries += row["endpoints"] if row["endpoints"] <= INLINE_ENDPOINTS else 0
        if page and deliveries > DELIVERIES:
            break
        page.append(row["id"])
    return page


async def _listed(session: Session, task: ClaimedTask) -> list[dict[str, str]]:
    found: list[dict[str, str]] = orjson.loads((await session.fetch(LISTED_SO_FAR, task.id))[0]["data"]).get("messagesCreated", [])
    return found


async def _end(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    data = {
        "messagesCreated": await _listed(session, task),
        "created": state.get("created", 0),
        "skipped": state.get("skipped", 0),
    }
    return Step({}, done=True, data=data)
