"""Operational messages and the endpoints that get them, in GraphQL."""

from __future__ import annotations

from typing import Self

import strawberry

from models.operational_type import OperationalType
from schema.fields import field
from schema.scalars import JSON
from schema.types.endpoint import (
    EndpointCreatePayload,
    EndpointDeletePayload,
    EndpointPatchHeadersPayload,
    EndpointPatchPayload,
    EndpointRotateSecretPayload,
    EndpointUpdateHeadersPayload,
    EndpointUpdatePayload,
)


@strawberry.type(description="A type of operational messages: what an organisation is told about its own deliveries, endpoints and tasks.")
class OperationalEventType:
    name: str = field("Its name, as in filterTypes of an operational endpoint.")
    description: str = field("When it is sent.")
    schema: JSON = field(
        "The JSON Schema of a message: its type and data (components MessageAttemptFailingEvent, MessageAttemptFailingEventData, "
        "MessageAttemptExhaustedEvent, MessageAttemptExhaustedEventData, MessageAttemptRecoveredEvent, MessageAttemptRecoveredEventData, "
        "MessageAttemptFailedData, EndpointCreatedEvent, EndpointCreatedEventData, EndpointUpdatedEvent, EndpointUpdatedEventData, "
        "EndpointDeletedEvent, EndpointDeletedEventData, EndpointDisabledEvent, EndpointDisabledEventData)."
    )

    @classmethod
    def of(cls, kind: OperationalType) -> Self:
        return cls(name=kind.value, description=kind.description, schema=JSON(kind.schema))


@strawberry.type(description="What operationalEndpointCreate did.")
class OperationalEndpointCreatePayload(EndpointCreatePayload):
    pass


@strawberry.type(description="What operationalEndpointUpdate did.")
class OperationalEndpointUpdatePayload(EndpointUpdatePayload):
    pass


@strawberry.type(description="What operationalEndpointPatch did.")
class OperationalEndpointPatchPayload(EndpointPatchPayload):
    pass


@strawberry.type(description="What operationalEndpointDelete did.")
class OperationalEndpointDeletePayload(EndpointDeletePayload):
    pass


@strawberry.type(description="What operationalEndpointUpdateHeaders did.")
class OperationalEndpointUpdateHeadersPayload(EndpointUpdateHeadersPayload):
    pass


@strawberry.type(description="What operationalEndpointPatchHeaders did.")
class OperationalEndpointPatchHeadersPayload(EndpointPatchHeadersPayload):
    pass


@strawberry.type(description="What operationalEndpointRotateSecret did.")
class OperationalEndpointRotateSecretPayload(EndpointRotateSecretPayload):
    pass
