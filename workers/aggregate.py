"""Steps of the tasks that add up over all applications: how much each sent, and which event types each asks for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from graphook.database import Row, Session, Statement
from models import statistic
from models.task import ClaimedTask
from workers.tasks import Step

PAGE = 500
# The result is one row: what is beyond this is counted and not listed.
LISTED = {"appStats": 10_000, "eventTypes": 1000}

# org id, after, limit, ids or uids (null for all)
APPLICATIONS = Statement.same("""
    SELECT id, uid FROM application
    WHERE org_id = $1 AND id > $2 AND deleted_at IS NULL AND NOT operational
      AND ($4::text[] IS NULL OR id = ANY($4::text[]) OR uid = ANY($4::text[])) ORDER BY id LIMIT $3""")
COUNT = Statement.same("SELECT count(*) AS n FROM application WHERE org_id = $1 AND deleted_at IS NULL AND NOT operational")
# application ids → each different filter of their live endpoints; null for an endpoint that takes every event type
_FILTERS = "SELECT DISTINCT app_id, event_type FROM ({}) f ORDER BY app_id, event_type"
FILTERS = Statement(
    postgresql=_FILTERS.format("""
        SELECT e.app_id, t.event_type FROM endpoint e LEFT JOIN LATERAL jsonb_array_elements_text(e.filter_types) AS t(event_type) ON true
        WHERE e.app_id = ANY($1::text[]) AND e.deleted_at IS NULL"""),
    sqlite=_FILTERS.format("""
        SELECT e.app_id, t.value AS event_type FROM endpoint e LEFT JOIN json_each(e.filter_types) t
        WHERE e.app_id IN (SELECT value FROM json_each(?1)) AND e.deleted_at IS NULL"""),
)


async def application_stats(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """How much each application sent in the time."""
    since, until = (datetime.fromisoformat(task.arguments[name]) for name in ("since", "until"))
    page = await _page(session, task, state, task.arguments["app_ids"])
    counts = await statistic.usage(session, [row["id"] for row in page], since, until)
    found = [{"appId": row["id"], "appUid": row["uid"], "messageDestinations": counts.get(row["id"], 0)} for row in page]
    return await _step(session, task, state, "appStats", page, found)


async def event_types(session: Session, task: ClaimedTask, state: Mapping[str, Any]) -> Step:
    """Which event types the endpoints of each application name, and whether one takes all."""
    page = await _page(session, task, state, None)
    filters: dict[str, list[str | None]] = {row["id"]: [] for row in page}
    for row in await session.fetch(FILTERS, list(filters)):
        filters[row["app_id"]].append(row["event_type"])
    found = [
        {"appId": app_id, "explicitlySubscribedEventTypes": [name for name in names if name], "hasCatchAllEndpoint": None in names}
        for app_id, names in filters.items()
    ]
    return await _step(session, task, state, "eventTypes", page, found)


async def _page(session: Session, task: ClaimedTask, state: Mapping[str, Any], references: list[str] | None) -> list[Row]:
    return list(await session.fetch(APPLICATIONS, task.org_id, state.get("after", ""), PAGE, references))


async def _step(
    session: Session, task: ClaimedTask, state: Mapping[str, Any], name: str, page: list[Row], found: list[dict[str, Any]]
) -> Step:
    """The state after a page, or the result after the last one."""
    done = state.get("applications", 0) + len(page)
    listed = [*state.get("found", ()), *found][: LISTED[name]]
    if len(page) < PAGE:
        return Step({}, done=True, data={name: listed, "applications": done})
    total = state.get("total") or (await session.fetch(COUNT, task.org_id))[0]["n"]
    return Step(
        {"after": page[-1]["id"], "applications": done, "total": total, "found": listed}, progress=min(99.0, 100 * done / max(1, total))
    )
