"""Attempts in GraphQL."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from graphook import rules
from models.attempt import Attempt as Row
from models.attempt import MessageStatus, TriggerType
from schema.context import Info
from schema.errors import UserError
from schema.fields import computed, enumeration, field, value
from schema.node import Node
from schema.scalars import URL
from schema.types.endpoint import HttpHeader

if TYPE_CHECKING:
    from schema.types.message import Message

enumeration(
    MessageStatus,
    "How a message stands with an endpoint (component MessageStatus; CANCELED is an addition).",
    {
        MessageStatus.SUCCESS: "The endpoint took it (0 in the contract).",
        MessageStatus.PENDING: "It waits for its first attempt (1).",
        MessageStatus.FAIL: "The last retry failed, or no further one was made (2).",
        MessageStatus.SENDING: "It is being sent, or a retry is due (3).",
        MessageStatus.CANCELED: "It is not sent any more: its content was expunged, or the endpoint is gone (not in the contract).",
    },
)
enumeration(
    TriggerType,
    "What made an attempt (component MessageAttemptTriggerType).",
    {
        TriggerType.SCHEDULED: "The message itself, or its retry schedule (0 in the contract).",
        TriggerType.MANUAL: "Somebody who asked for it (1).",
    },
    name="MessageAttemptTriggerType",
)


@strawberry.type(description="The headers of an attempt (component MessageAttemptHeadersOut).")
class MessageAttemptHeaders:
    sent_headers: list[HttpHeader] = field("What was sent; the values of sensitive headers are not kept.")
    sensitive: list[str] = field("The names of the headers whose values are not kept.")
    response_headers: list[HttpHeader] | None = field("What came back; null when no response came.")


@strawberry.type(description="One request to an endpoint and what came back (components MessageAttemptOut and MessageAttemptEndpointOut).")
class MessageAttempt(Node):
    id: strawberry.ID = field("Its id: atmpt_ and 27 letters and digits.")
    endpoint_id: strawberry.ID = field("Where it was sent.")
    msg_id: strawberry.ID = field("The message.")
    url: URL = field("The URL at the time.")
    status: MessageStatus = field("Whether the endpoint took the message.")
    response_status_code: int = field("The HTTP status; 0 when no response came.")
    response: str = field("The first bytes of the response, or why none came; EXPUNGED once expunged.")
    response_is_base64: bool = field("Whether `response` is base64 because it is not text.")
    response_duration_ms: int = field("How long it took, in milliseconds.")
    trigger_type: TriggerType = field("What made it.")
    error_code: str | None = field(
        "What went wrong: timeout, dns, connection, tls, blocked, https_required, protocol, response_header_limit, request, interrupted, internal, or "
        "transformation_ and what went wrong with the transformation, such as transformation_threw; null when a whole response came, whatever its status."
    )
    timestamp: datetime = field("When it began.")
    next_attempt: datetime | None = field("When the next one was planned for, as things stood.")
    row: strawberry.Private[Row]

    @computed("The headers of the request and the response.")
    def headers(self) -> MessageAttemptHeaders:
        sent = [HttpHeader(name=name, value=text, masked=False) for name, text in self.row.request_headers]
        sent += [HttpHeader(name=name, value=None, masked=True) for name in self.row.sensitive_headers]
        received = self.row.response_headers
        return MessageAttemptHeaders(
            sent_headers=sent,
            sensitive=self.row.sensitive_headers,
            response_headers=None if received is None else [HttpHeader(name=name, value=text, masked=False) for name, text in received],
        )

    @computed("The message.")
    async def msg(self, info: Info) -> Annotated[Message, strawberry.lazy("schema.types.message")] | None:
        from schema.types.message import Message

        row = await info.context.loaders.messages.load((self.row.app_id, self.row.message_id))
        return None if row is None else Message.of(row)

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            endpoint_id=strawberry.ID(row.endpoint_id),
            msg_id=strawberry.ID(row.message_id),
            url=URL(row.url),
            status=row.status,
            response_status_code=row.response_status_code,
            response=row.response,
            response_is_base64=row.response_is_base64,
            response_duration_ms=row.duration_ms,
            trigger_type=row.trigger_type,
            error_code=row.error_code,
            timestamp=row.started_at,
            next_attempt=row.next_attempt_at,
            row=row,
        )


class StatusCodeClass(Enum):
    """The hundreds of an HTTP status."""

    CODE_NONE = 0
    CODE_1XX = 100
    CODE_2XX = 200
    CODE_3XX = 300
    CODE_4XX = 400
    CODE_5XX = 500


enumeration(
    StatusCodeClass,
    "The first digit of an HTTP status; CODE_NONE for no response (component StatusCodeClass).",
    {
        StatusCodeClass.CODE_NONE: "No response came.",
        StatusCodeClass.CODE_1XX: "100 to 199.",
        StatusCodeClass.CODE_2XX: "200 to 299: success.",
        StatusCodeClass.CODE_3XX: "300 to 399; redirects are not followed.",
        StatusCodeClass.CODE_4XX: "400 to 499.",
        StatusCodeClass.CODE_5XX: "500 to 599.",
    },
)


@strawberry.input(description="Which attempts to list.")
class MessageAttemptFilter:
    status: MessageStatus | None = value("Only those with this status.", default=None)
    status_code_class: StatusCodeClass | None = value("Only those with such a response status.", default=None)
    endpoint_id: strawberry.ID | None = value("Only those to this endpoint (id or uid).", default=None)
    channel: str | None = value("Only those of messages of this channel.", rules.CHANNEL, default=None)
    tag: str | None = value("Only those of messages with this tag.", rules.TAG, default=None)
    event_types: list[str] | None = value("Only those of messages of these event types.", rules.EVENT_TYPES, default=None)
    created_after: datetime | None = value("Only those that began after this.", default=None)
    created_before: datetime | None = value("Only those that began before this.", default=None)


@strawberry.type(description="An attempt as it was recorded, with the place to resume from.")
class MessageAttemptEvent:
    cursor: str = field("Pass as `after` to go on behind this attempt.")
    attempt: MessageAttempt = field("The attempt.")


@strawberry.type(description="What messageAttemptResend did.")
class MessageAttemptResendPayload:
    accepted: bool = field("Whether one more attempt is on its way.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What messageAttemptExpungeContent did.")
class MessageAttemptExpungeContentPayload:
    message_attempt: MessageAttempt | None = field("The attempt, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)
