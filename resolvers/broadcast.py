"""The operation that sends one message to every application."""

from __future__ import annotations

from collections.abc import Iterator

from graphook.auth import Scope
from graphook.errors import InvalidInput
from models.application import Application
from models.task import TaskType
from resolvers.expected import mutation
from resolvers.payload import encoded
from resolvers.task import begin, begun
from schema.context import Info
from schema.fields import faults, given, refuse
from schema.types.broadcast import MessageBroadcastIn, MessageBroadcastPayload

_PAYLOAD = ("input", "payload")


@mutation(MessageBroadcastPayload, Scope.SEND, organisation=True)
async def start(info: Info, input: MessageBroadcastIn, idempotency_key: str | None = None) -> MessageBroadcastPayload:
    """Send a message to every application there is now. The task's data has messagesCreated, the first 1,000 of them, created and skipped."""
    body = _check(input)
    # By what there is, not by the clock: that of the process that made the last one may be ahead.
    newest = await Application.seen_by(info.context.caller).load(Application, "ORDER BY id DESC LIMIT 1")
    arguments = {
        "event_type": input.event_type,
        "body": body.decode(),
        "event_id": input.event_id,
        "channels": input.channels,
        "retention_days": input.payload_retention_period,
        "up_to": newest[0].id if newest else "",
    }
    repeated = {"input": given(input)}
    task = await begun(info, repeated, idempotency_key)
    if task is None:
        await info.context.services.payload_checks.require_fit(info.context.caller.org_id, input.event_type, body, _PAYLOAD)
        task = await begin(info, TaskType.MESSAGE_BROADCAST, arguments, repeated, idempotency_key)
    return MessageBroadcastPayload(background_task=task)


def _check(data: MessageBroadcastIn) -> bytes:
    """The bytes to send. Raises `InvalidInputs` with whatever is wrong with the input."""

    def all_faults() -> Iterator[InvalidInput]:
        yield from faults(data)
        if not isinstance(data.payload, dict):
            yield InvalidInput("payload is a JSON object.", _PAYLOAD)

    refuse(all_faults())
    return encoded(data.payload, _PAYLOAD)
