"""Deliveries in GraphQL: how a message stands with each endpoint."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from models.attempt import MessageStatus
from models.destination import Destination
from models.message import Message as MessageRow
from schema.context import Info
from schema.fields import computed, field, value
from schema.types.endpoint import Endpoint
from schema.types.message import Message, MessageFilter


@strawberry.type(
    description="How a message stands with one endpoint (component MessageEndpointOut). It has no id of its own: caches key by id, and that of "
    "the endpoint would mix up messages."
)
class MessageDestination:
    endpoint_id: strawberry.ID = field("The endpoint.")
    status: MessageStatus = field("How the message stands with it.")
    next_attempt: datetime | None = field("When the next attempt is due.")
    message: Message = field("The message.")

    @computed("The endpoint, as it last was where it has been deleted since: then nothing else finds it any more.")
    async def endpoint(self, info: Info) -> Endpoint | None:
        row = await info.context.loaders.endpoints.load(str(self.endpoint_id))
        return None if row is None else Endpoint.of(row)

    @classmethod
    def of(cls, row: Destination, message: MessageRow) -> Self:
        return cls(
            endpoint_id=strawberry.ID(row.endpoint_id),
            status=row.status,
            next_attempt=row.next_attempt_at,
            message=Message.of(message),
        )


@strawberry.type(
    description="How one message of an endpoint stands with it (component EndpointMessageOut). It has no id of its own: caches key by id, and that of "
    "the message would mix up endpoints."
)
class EndpointMessage:
    message: Message = field("The message.")
    status: MessageStatus = field("How it stands with the endpoint.")
    next_attempt: datetime | None = field("When the next attempt is due.")

    @classmethod
    def of(cls, row: Destination, message: MessageRow) -> Self:
        return cls(message=Message.of(message), status=row.status, next_attempt=row.next_attempt_at)


@strawberry.input(description="Which messages of an endpoint to list.")
class EndpointMessageFilter(MessageFilter):
    status: MessageStatus | None = value("Only those that stand like this with the endpoint.", default=None)


@strawberry.type(description="How a message stands with its endpoints, at the beginning and after every change.")
class MessageStatusEvent:
    done: bool = field("Whether every destination is final; the last event.")
    destinations: list[MessageDestination] = field("The destinations, by endpoint id, 250 at most.")
