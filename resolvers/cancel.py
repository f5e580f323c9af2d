"""Operations that cancel what is still to be sent, and that forget the contents of a whole application."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import strawberry

from graphook.auth import Scope
from graphook.clock import now
from graphook.errors import InvalidInput
from graphook.ids import start_id
from models import idempotency
from models.application import Application
from models.cancel import cancel_pending, newest_message
from models.endpoint import Endpoint
from models.message import Message as Row
from models.task import Task, TaskType
from resolvers.expected import mutation
from schema.context import Info
from schema.fields import check, given
from schema.types.message import Message, MessageCancelPayload, MessagesCancelIn
from schema.types.task import BackgroundTask, BackgroundTaskPayload

# Nothing is pending for longer than a payload is kept, and a partition's edge.
OLDEST = timedelta(days=100)


@mutation(MessageCancelPayload, Scope.MANAGE, organisation=True)
async def message(
    info: Info,
    app_id: strawberry.ID,
    message_id: strawberry.ID,
    endpoint_id: Annotated[strawberry.ID | None, strawberry.argument(description="Only what goes to this endpoint (id or uid).")] = None,
) -> MessageCancelPayload:
    """Cancel what is still to be sent of a message. A request that is out is not called back; when it succeeds, that counts."""
    app = await Application.load(info.context.caller, str(app_id))
    row = await Row.load(app, str(message_id))
    endpoint = None if endpoint_id is None else await Endpoint.load(app, str(endpoint_id))
    canceled = await cancel_pending(row.id, None if endpoint is None else endpoint.id)
    return MessageCancelPayload(message=Message.of(row), canceled=canceled)


@mutation(BackgroundTaskPayload, Scope.MANAGE, organisation=True)
async def messages(info: Info, app_id: strawberry.ID, input: MessagesCancelIn, idempotency_key: str | None = None) -> BackgroundTaskPayload:
    """Cancel what is still to be sent of an application's messages, as a background task."""
    check(input)
    present = now()
    before = min(input.created_before, present)
    after = present - OLDEST if input.created_after is None else max(input.created_after, present - OLDEST)
    if input.created_after is not None and input.created_after >= input.created_before:
        raise InvalidInput("createdAfter is not before createdBefore.", ("input", "createdAfter"))
    app = await Application.load(info.context.caller, str(app_id))
    endpoint = None if input.endpoint_id is None else await Endpoint.load(app, str(input.endpoint_id), ("input", "endpointId"))
    arguments = {
        "from": start_id("msg_", after),
        "to": start_id("msg_", before),
        "event_types": input.event_types,
        "endpoint_id": None if endpoint is None else endpoint.id,
    }
    return await _start(info, TaskType.APPLICATION_CANCEL_MESSAGES, app, arguments, {"input": given(input)}, idempotency_key)


@mutation(BackgroundTaskPayload, Scope.MANAGE, organisation=True)
async def purge_content(info: Info, app_id: strawberry.ID, idempotency_key: str | None = None) -> BackgroundTaskPayload:
    """Forget the payloads of all messages of an application and the responses of their attempts, as a background task.

    What is still to be sent of them is canceled. Messages that are accepted afterwards are not touched.
    """
    app = await Application.load(info.context.caller, str(app_id))
    begin = app.created_at - timedelta(days=1)
    arguments = {"from": start_id("msg_", begin), "to": await newest_message(app.id) or start_id("msg_", begin)}
    return await _start(info, TaskType.APPLICATION_PURGE_CONTENT, app, arguments, {}, idempotency_key)


async def _start(
    info: Info, kind: TaskType, app: Application, arguments: Mapping[str, Any], given: Mapping[str, Any], idempotency_key: str | None
) -> BackgroundTaskPayload:
    key = info.context.idempotency(info, idempotency_key, {"app": app.id, **given})

    async def add() -> str:
        return (await Task.start(app.org_id, kind, arguments, app.id)).id

    return BackgroundTaskPayload(background_task=BackgroundTask.of(await Task.load(info.context.caller, await idempotency.once(key, add))))
