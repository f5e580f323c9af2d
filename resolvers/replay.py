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
from models.application import Application
from models.endpoint import Endpoint
from models.task import TaskType
from resolvers.expected import mutation
from resolvers.task import begin, begun
from schema.context import Info
from schema.fields import check, given
from schema.types.replay import (
    BulkReplayIn,
    EndpointBulkReplayPayload,
    EndpointRecoverPayload,
    EndpointReplayMissingPayload,
    RecoverIn,
    ReplayIn,
)
from schema.types.task import BackgroundTask

LONGEST_WINDOW = timedelta(days=14)
SLACK = timedelta(minutes=5)


@mutation(EndpointRecoverPayload, Scope.SEND)
async def recover(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: RecoverIn, idempotency_key: str | None = None
) -> EndpointRecoverPayload:
    """Send every message of a time once more that failed at the endpoint and never succeeded: one try each."""
    task = await _begin(info, TaskType.ENDPOINT_RECOVER, app_id, endpoint_id, input, {}, idempotency_key)
    return EndpointRecoverPayload(background_task=task)


@mutation(EndpointReplayMissingPayload, Scope.SEND)
async def replay_missing(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: ReplayIn, idempotency_key: str | None = None
) -> EndpointReplayMissingPayload:
    """Deliver every message of a time that the endpoint listens to and never had, such as those from before it was created."""
    task = await _begin(info, TaskType.ENDPOINT_REPLAY, app_id, endpoint_id, input, {}, idempotency_key)
    return EndpointReplayMissingPayload(background_task=task)


@mutation(EndpointBulkReplayPayload, Scope.SEND)
async def bulk_replay(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: BulkReplayIn, idempotency_key: str | None = None
) -> EndpointBulkReplayPayload:
    """Send every message of a time once more that the filters choose, whatever became of it: one try each."""
    filters = {
        "event_types": input.event_types,
        "channel": input.channel,
        "tag": input.tag,
        "status": None if input.status is None else int(input.status),
        "status_code_class": None if input.status_code_class is None else input.status_code_class.value,
    }
    task = await _begin(info, TaskType.ENDPOINT_BULK_REPLAY, app_id, endpoint_id, input, filters, idempotency_key)
    return EndpointBulkReplayPayload(background_task=task)


async def _begin(
    info: Info,
    kind: TaskType,
    app_id: strawberry.ID,
    endpoint_id: strawberry.ID,
    input: RecoverIn,
    filters: Mapping[str, Any],
    idempotency_key: str | None,
) -> BackgroundTask:
    check(input)
    app = await Application.load(info.context.caller, str(app_id))
    endpoint = await Endpoint.load(app, str(endpoint_id))
    repeated = {"endpoint": endpoint.id, "input": given(input)}
    if (task := await begun(info, repeated, idempotency_key)) is not None:
        return task
    since, until = _window(input.since, input.until)
    endpoint.require_enabled()
    arguments = {"endpoint_id": endpoint.id, "from": start_id("msg_", since), "to": start_id("msg_", until), **filters}
    return await begin(info, kind, arguments, repeated, idempotency_key, app.id)


def _window(since: datetime, until: datetime | None) -> tuple[datetime, datetime]:
    present = now()
    end = min(until or present, present + SLACK)
    if since >= end:
        raise InvalidInput("since is in the future." if since > present else "since is not before until.", ("input", "since"))
    if since < end - LONGEST_WINDOW - SLACK:
        raise InvalidInput(f"since is more than {LONGEST_WINDOW.days} days before until.", ("input", "since"))
    return since, end
