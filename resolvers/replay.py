"""Operations that send again: background tasks on an endpoint's messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import strawberry

from graphook.auth import Scope
from graphook.clock import now
from graphook.errors import InvalidInput
from graphook.ids import start_id
from models import idempotency
from models.application import Application
from models.endpoint import Endpoint
from models.task import Task, TaskType
from resolvers.expected import mutation
from schema.context import Info
from schema.fields import check, given
from schema.types.replay import BulkReplayIn, RecoverIn, ReplayIn
from schema.types.task import BackgroundTask, BackgroundTaskPayload

LONGEST_WINDOW = timedelta(days=14)
SLACK = timedelta(minutes=5)


@mutation(BackgroundTaskPayload, Scope.SEND)
async def recover(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: RecoverIn, idempotency_key: str | None = None
) -> BackgroundTaskPayload:
    """Send every message of a time once more that failed at the endpoint and never succeeded: one try each."""
    return await _start(info, TaskType.ENDPOINT_RECOVER, app_id, endpoint_id, input, {}, idempotency_key)


@mutation(BackgroundTaskPayload, Scope.SEND)
async def replay_missing(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: ReplayIn, idempotency_key: str | None = None
) -> BackgroundTaskPayload:
    """Deliver every message of a time that the endpoint listens to and never had, such as those from before it was created."""
    return await _start(info, TaskType.ENDPOINT_REPLAY, app_id, endpoint_id, input, {}, idempotency_key)


@mutation(BackgroundTaskPayload, Scope.SEND)
async def bulk_replay(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: BulkReplayIn, idempotency_key: str | None = None
) -> BackgroundTaskPayload:
    """Send every message of a time once more that the filters choose, whatever became of it: one try each."""
    filters = {
        "event_types": input.event_types,
        "channel": input.channel,
        "tag": input.tag,
        "status": None if input.status is None else int(input.status),
        "status_code_class": None if input.status_code_class is None else input.status_code_class.value,
    }
    return await _start(info, TaskType.ENDPOINT_BULK_REPLAY, app_id, endpoint_id, input, filters, idempotency_key)


async def _start(
    info: Info,
    kind: TaskType,
    app_id: strawberry.ID,
    endpoint_id: strawberry.ID,
    input: RecoverIn,
    filters: Mapping[str, Any],
    idempotency_key: str | None,
) -> BackgroundTaskPayload:
    check(input)
    since, until = _window(input.since, input.until)
    app = await Application.load(info.context.caller, str(app_id))
    endpoint = await Endpoint.load(app, str(endpoint_id))
    arguments = {"endpoint_id": endpoint.id, "from": start_id("msg_", since), "to": start_id("msg_", until), **filters}
    key = info.context.idempotency(info, idempotency_key, {"endpoint": endpoint.id, "input": given(input)})

    async def add() -> str:
        return (await Task.start(app.org_id, kind, arguments, app.id)).id

    return BackgroundTaskPayload(background_task=BackgroundTask.of(await Task.load(info.context.caller, await idempotency.once(key, add))))


def _window(since: datetime, until: datetime | None) -> tuple[datetime, datetime]:
    present = now()
    end = min(until or present, present + SLACK)
    if since >= end:
        raise InvalidInput("since is not before until.", ("input", "since"))
    if since < end - LONGEST_WINDOW - SLACK:
        raise InvalidInput(f"since is more than {LONGEST_WINDOW.days} days before until.", ("input", "since"))
    return since, end
