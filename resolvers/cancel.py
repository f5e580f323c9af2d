"""Operations that cancel what is still to be sent, and that forget the contents of a whole application."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import strawberry

from graphook.auth import Scope
from graphook.clock import now
from graphook.errors import InvalidInput
from graphook.ids import start_id
from models.application import Application
from models.cancel import cancel_pending, newest_message
from models.endpoint import Endpoint
from models.message import Message as Row
from models.task import TaskType
from resolvers.expected import mutation
from resolvers.task import begin
from schema.context import Info
from schema.fields import check, given
from schema.types.application import ApplicationPurgeContentPayload
from schema.types.message import Message, MessageCancelPayload, MessagesCancelIn, MessagesCancelPayload

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


@mutation(MessagesCancelPayload, Scope.MANAGE, organisation=True)
async def messages(info: Info, app_id: strawberry.ID, input: MessagesCancelIn, idempotency_key: str | None = None) -> MessagesCancelPayload:
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
    repeated = {"app": app.id, "input": given(input)}
    task = await begin(info, TaskType.APPLICATION_CANCEL_MESSAGES, arguments, repeated, idempotency_key, app.id)
    return MessagesCancelPayload(background_task=task)


@mutation(ApplicationPurgeContentPayload, Scope.MANAGE, organisation=True)
async def purge_content(info: Info, app_id: strawberry.ID, idempotency_key: str | None = None) -> ApplicationPurgeContentPayload:
    """Forget the payloads of all messages of an application and the responses of their attempts, as a background task.

    What is still to be sent of them is canceled. Messages that are accepted afterwards are not touched.
    """
    app = await Application.load(info.context.caller, str(app_id))
    oldest = start_id("msg_", app.created_at - timedelta(days=1))
    arguments = {"from": oldest, "to": await newest_message(app.id) or oldest}
    task = await begin(info, TaskType.APPLICATION_PURGE_CONTENT, arguments, {"app": app.id}, idempotency_key, app.id)
    return ApplicationPurgeContentPayload(background_task=task)
