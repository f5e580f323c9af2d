"""Transformations of endpoints in GraphQL."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Self

import strawberry

from graphook import rules
from graphook.transformation import MAX_CODE, MIN_CODE, Webhook
from models.transformation import Transformation as Row
from schema.errors import UserError
from schema.fields import enumeration, field, required, value
from schema.scalars import JSON, URL, StringMap

CODE = rules.Text(MIN_CODE, MAX_CODE)
VARIABLES = rules.TextMap(16_384)


class TransformationHttpMethod(Enum):
    """How a transformed webhook is sent."""

    POST = "POST"
    PUT = "PUT"


enumeration(
    TransformationHttpMethod,
    "How a transformed webhook is sent (component TransformationHttpMethod).",
    {TransformationHttpMethod.POST: "As a POST.", TransformationHttpMethod.PUT: "As a PUT."},
)


@strawberry.type(
    description="The JavaScript that each delivery to an endpoint passes before it is signed (component EndpointTransformationOut)."
)
class EndpointTransformation:
    code: str | None = field("The code, with a function handler(webhook); null where there is none.")
    enabled: bool = field("Whether deliveries pass it.")
    variables: list[str] = field("The names of its variables. Their values are not shown.")
    updated_at: datetime = field("When it was last changed.")

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(code=row.code, enabled=row.enabled, variables=sorted(row.variable_map()), updated_at=row.updated_at)


@strawberry.input(
    description="Changes to an endpoint's transformation: what is absent stays, null clears (component EndpointTransformationIn)."
)
class EndpointTransformationIn:
    code: str | None = value("The code, with a function handler(webhook). Without any, nothing is enabled.", CODE)
    enabled: bool | None = value("Whether deliveries pass it, from the next attempt on.", nullable=False)
    variables: StringMap | None = value(
        "All variables that the code finds in webhook.env, such as keys. They are kept encrypted.", VARIABLES
    )


@strawberry.input(description="Code to try (component EndpointTransformationSimulateIn).")
class EndpointTransformationSimulateIn:
    code: str = required("The code, with a function handler(webhook).", CODE)
    event_type: str = required("The event type that it is told.", rules.EVENT_TYPE)
    payload: JSON = required("The payload, an object.")
    channels: list[str] | None = value("The channels that it is told.", rules.CHANNELS, default=None)
    variables: StringMap | None = value("What it finds in webhook.env; those of the endpoint are not used.", VARIABLES, default=None)
    transformations_params: JSON | None = value("What it finds in webhook.transformationsParams, an object.", default=None)


@strawberry.type(
    description="What a transformation would send (components EndpointTransformationSimulateOut and TransformationSimulateOut)."
)
class TransformationSimulation:
    method: TransformationHttpMethod | None = field("How it would be sent.")
    url: URL = field("Where it would be sent.")
    payload: str = field("The JSON text that would be signed and sent.")
    headers: StringMap = field("Headers beside those that every request has.")
    cancel: bool = field("Whether nothing would be sent at all.")

    @classmethod
    def of(cls, made: Webhook) -> Self:
        """A transformed webhook as it is shown."""
        return cls(
            method=TransformationHttpMethod(made.method),
            url=URL(made.url),
            payload=made.payload.decode(),
            headers=StringMap(dict(made.headers)),
            cancel=made.cancel,
        )


@strawberry.type(description="What endpointPatchTransformation did.")
class EndpointPatchTransformationPayload:
    transformation: EndpointTransformation | None = field("The transformation, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What endpointSimulateTransformation found.")
class EndpointSimulateTransformationPayload:
    simulation: TransformationSimulation | None = field("What would be sent, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing would be sent, such as an error in the code.", default_factory=list)
