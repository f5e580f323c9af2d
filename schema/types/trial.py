"""Trying messages out, in GraphQL."""

from __future__ import annotations

import strawberry

from models.endpoint import Refusal
from schema.errors import UserError
from schema.fields import enumeration, field
from schema.types.attempt import MessageAttempt
from schema.types.endpoint import Endpoint, HttpHeader
from schema.types.transformation import TransformationSimulation

enumeration(
    Refusal,
    "Why an endpoint does not get a message.",
    {
        Refusal.DISABLED: "It is disabled.",
        Refusal.FILTER_TYPES: "It does not listen to the event type.",
        Refusal.CHANNELS: "It listens to other channels.",
    },
    name="MessageRefusal",
)


@strawberry.type(description="What would become of a message at one endpoint.")
class MessageDryRun:
    endpoint: Endpoint = field("The endpoint.")
    would_send: bool = field("Whether it would get the message.")
    reason: Refusal | None = field("Why it would not.")
    headers: list[HttpHeader] = field(
        "What would be sent with it, for a message id of this dry run. The signature is withheld without the scope secrets, sensitive values always."
    )
    transformed: TransformationSimulation | None = field(
        "What its transformation would make of it; null where there is none, and without the scope secrets.", default=None
    )
    transformation_error: str | None = field("Why its transformation would fail the attempt.", default=None)


@strawberry.type(description="Whether it is worth while to send a message.")
class MessagePrecheck:
    active: bool = field("Whether any endpoint listens.")


@strawberry.type(description="What messageTestAttempt did.")
class MessageTestAttemptPayload:
    message_attempt: MessageAttempt | None = field("The attempt as it was recorded, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was sent.", default_factory=list)
