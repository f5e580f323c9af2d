"""Examples of event types in GraphQL."""

from __future__ import annotations

import strawberry

from graphook import rules
from schema.errors import UserError
from schema.fields import field, required
from schema.scalars import JSON
from schema.types.message import MessageCreatePayload


@strawberry.input(description="A JSON Schema to make an example of (component EventTypeSchemaIn).")
class EventTypeSchemaIn:
    schema: JSON = required("The schema, an object of at most 256 KiB: Draft 7, or 2020-12 where its $schema says so.")


@strawberry.type(description="What eventTypeGenerateExample made (component EventTypeExampleOut).")
class EventTypeExample:
    example: JSON = field("A value that fits the schema, the same each time.")


@strawberry.type(description="What eventTypeGenerateExample did.")
class EventTypeGenerateExamplePayload:
    example: EventTypeExample | None = field("The example, unless there are errors.", default=None)
    errors: list[UserError] = field("Why there is none.", default_factory=list)


@strawberry.input(description="Of which event type to send the example (component EventExampleIn).")
class EventExampleIn:
    event_type: str = required("The event type's name.", rules.EVENT_TYPE)


@strawberry.type(description="What endpointSendExample did.")
class EndpointSendExamplePayload(MessageCreatePayload):
    pass
