"""The types of operational messages in GraphQL."""

from __future__ import annotations

from typing import Self

import strawberry

from models.operational_type import OperationalType
from schema.fields import field
from schema.scalars import JSON


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
