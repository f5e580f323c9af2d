"""Operations on the examples of event types."""

from __future__ import annotations

import asyncio
from typing import Any

import strawberry

from graphook import event_schemas, strict_json
from graphook.auth import Scope
from graphook.errors import InvalidInput
from graphook.event_schemas import newest
from graphook.schema_check import BadSchema
from graphook.schema_example import NoExample, example
from models import idempotency
from models.application import Application
from models.endpoint import Endpoint
from models.event_type import EventType
from models.message import Message as Row
from models.message import NewMessage
from resolvers.expected import mutation
from schema.context import Info
from schema.fields import check, refuse
from schema.scalars import JSON
from schema.types.event_example import (
    EndpointSendExamplePayload,
    EventExampleIn,
    EventTypeExample,
    EventTypeGenerateExamplePayload,
    EventTypeSchemaIn,
)
from schema.types.message import Message


@mutation(EventTypeGenerateExamplePayload, Scope.READ)
async def generate(info: Info, input: EventTypeSchemaIn, idempotency_key: str | None = None) -> EventTypeGenerateExamplePayload:
    """Make a value that fits a JSON Schema: its own example where it has one that fits. Nothing is written."""
    info.context.idempotency(info, idempotency_key, {})
    path = ("input", "schema")
    if not isinstance(input.schema, dict):
        raise InvalidInput("schema is an object.", path)
    found = list(event_schemas.faults({"": input.schema}, path))
    refuse(InvalidInput(fault.message, (*path, *fault.path[len(path) + 1 :])) for fault in found)
    return EventTypeGenerateExamplePayload(example=EventTypeExample(example=JSON(await _example(input.schema, path))))


@mutation(EndpointSendExamplePayload, Scope.SEND, organisation=True)
async def send(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: EventExampleIn, idempotency_key: str | None = None
) -> EndpointSendExamplePayload:
    """Send an example of an event type to one endpoint, whatever it listens to: the first of its newest schema's examples, else one made from the schema."""
    check(input)
    caller = info.context.caller
    app = await Application.load(caller, str(app_id))
    endpoint = await Endpoint.load(app, str(endpoint_id))
    key = info.context.idempotency(info, idempotency_key, {"endpoint": endpoint.id, "eventType": input.event_type})
    sent, created = await idempotency.earlier(key), False
    if sent is None:
        endpoint.require_enabled()
        event_type = await EventType.load(caller, input.event_type, ("input", "eventType"))
        body = strict_json.dumps(await _example_of(event_type))
        info.context.services.backlog.check(caller.org_id)
        new = NewMessage(app.org_id, app.id, event_type.name, body, key=key, endpoint_id=endpoint.id)
        accepted = await info.context.services.accept.submit(new)
        sent, created = accepted.message_id, not accepted.replayed
    return EndpointSendExamplePayload(message=Message.of(await Row.load(app, sent, ("idempotencyKey",))), created=created)


async def _example_of(event_type: EventType) -> Any:
    version = newest(event_type.schemas)
    if event_type.schemas is None or version is None:
        raise InvalidInput(f"The event type {event_type.name!r} has no schema to take an example from.", ("input", "eventType"))
    schema = event_type.schemas[version]
    examples = schema.get("examples")
    return examples[0] if isinstance(examples, list) and examples else await _example(schema, ("input", "eventType"))


async def _example(schema: dict[str, Any], path: tuple[str, ...]) -> Any:
    try:
        # A thread of its own: looking for one may take a second.
        return await asyncio.to_thread(example, schema)
    except NoExample as error:
        raise InvalidInput(str(error), path) from None
    except BadSchema as error:
        raise InvalidInput(f"No example can be made of this schema: {error.message}.", path) from None
