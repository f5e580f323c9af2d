"""Messages in GraphQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self, TypeVar

import strawberry

from graphook import rules, strict_json
from models.message import Message as Row
from schema.context import Info, when_loaded
from schema.errors import UserError
from schema.fields import computed, field, required, value
from schema.node import Node
from schema.scalars import JSON
from schema.types.application import ApplicationIn
from schema.types.task import BackgroundTaskPayload

T = TypeVar("T")

EXPIRED = {"expired": True}


@strawberry.type(description="Something that happened (component MessageOut).")
class Message(Node):
    id: strawberry.ID = field("Its id: msg_ and 27 letters and digits.")
    app_id: strawberry.ID = field("The application.")
    event_id: str | None = field("Your own id for it, unique within the application.")
    event_type: str = field("What kind of thing happened.")
    channels: list[str] | None = field("The channels it goes to.")
    tags: list[str] | None = field("What you find it by.")
    timestamp: datetime = field("When it was accepted.")
    deliver_at: datetime | None = field("When it is delivered, if not at once.")
    row: strawberry.Private[Row]

    @computed('What is sent. {"expired": true} once it has expired or was expunged; null when it was given raw and is not JSON.')
    def payload(self, info: Info) -> JSON | None:
        return _when_shown(info, self.row, _payload_of)  # type: ignore[no-any-return]

    @computed(
        "The exact text that is signed and sent; null once it has expired or was expunged, and where it came from a provider and is no UTF-8 (component MessageRawPayloadOut)."
    )
    def raw_payload(self, info: Info) -> str | None:
        return _when_shown(info, self.row, _text_of)  # type: ignore[no-any-return]

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            app_id=strawberry.ID(row.app_id),
            event_id=row.event_id,
            event_type=row.event_type,
            channels=row.channels,
            tags=row.tags,
            timestamp=row.created_at,
            deliver_at=row.deliver_at,
            row=row,
        )


@strawberry.input(description="A new message (component MessageIn). Give exactly one of payload and rawPayload.")
class MessageIn:
    event_type: str = required("What kind of thing happened.", rules.EVENT_TYPE)
    payload: JSON | None = value("What to send, an object: at most 1 MiB as JSON, 64 levels deep.", default=None)
    raw_payload: str | None = value("The exact text to send instead, at most 1 MiB.", rules.Text(1, secret=True), default=None)
    event_id: str | None = value("Your own id for it, unique within the application.", rules.UID, default=None)
    channels: list[str] | None = value(
        "Only endpoints of any of these channels, and those without channels, get it.", rules.MESSAGE_CHANNELS, default=None
    )
    tags: list[str] | None = value("What you want to find it by.", rules.TAGS, default=None)
    payload_retention_period: int = value("How many days the payload is kept.", rules.RETENTION_DAYS, default=90)
    deliver_at: datetime | None = value("When to deliver it: 1 minute to 24 hours from now; at once when absent.", default=None)
    application: ApplicationIn | None = value("Creates the application when there is none; its uid must equal appId.", default=None)
    transformations_params: JSON | None = value(
        "What the transformations of endpoints find in webhook.transformationsParams, an object of at most 64 KiB as JSON.", default=None
    )


@strawberry.input(description="Which messages to list.")
class MessageFilter:
    event_id: str | None = value("Only the one with this event id.", rules.Text(1, 256, rules.SLUG_PATTERN), default=None)
    channel: str | None = value("Only those of this channel.", rules.CHANNEL, default=None)
    tag: str | None = value("Only those with this tag.", rules.TAG, default=None)
    event_types: list[str] | None = value("Only those of these event types.", rules.EVENT_TYPES, default=None)
    created_after: datetime | None = value("Only those accepted after this.", default=None)
    created_before: datetime | None = value("Only those accepted before this.", default=None)


@strawberry.type(description="What messageCreate did.")
class MessageCreatePayload:
    message: Message | None = field("The message, unless there are errors. It is durable.", default=None)
    created: bool = field("False when the idempotency key repeats an earlier request.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What messageCreateBatch did: one result per message, in order. One that fails does not fail the others.")
class MessageCreateBatchPayload:
    results: list[MessageCreatePayload] = field("Per message, what messageCreate would have answered.", default_factory=list)
    errors: list[UserError] = field("Why the whole batch was refused.", default_factory=list)


@strawberry.input(description="Which messages' pending deliveries to cancel.")
class MessagesCancelIn:
    created_before: datetime = required("Messages accepted before this; what is accepted after the request is never canceled.")
    created_after: datetime | None = value("Messages accepted after this.", default=None)
    event_types: list[str] | None = value("Only those of these event types.", rules.FILTER_TYPES, default=None)
    endpoint_id: strawberry.ID | None = value("Only deliveries to this endpoint (id or uid).", default=None)


@strawberry.type(description="What messageCancel did.")
class MessageCancelPayload:
    message: Message | None = field("The message, unless there are errors.", default=None)
    canceled: int = field("How many deliveries were still pending and are canceled.", default=0)
    errors: list[UserError] = field("Why nothing was canceled.", default_factory=list)


@strawberry.type(description="What messagesCancel did.")
class MessagesCancelPayload(BackgroundTaskPayload):
    pass


@strawberry.type(description="What messageExpungeContent did.")
class MessageExpungeContentPayload:
    message: Message | None = field("The message, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


def _when_shown(info: Info, row: Row, show: Callable[[bytes | None], T]) -> Any:
    loaders = info.context.loaders

    def shown(body: bytes | None) -> T:
        if body is not None:
            loaders.show(body)
        return show(body)

    return when_loaded(loaders.contents.load(row), shown)


def _payload_of(body: bytes | None) -> object:
    if body is None:
        return EXPIRED
    try:
        return strict_json.loads(body)
    except ValueError:
        return None


def _text_of(body: bytes | None) -> str | None:
    try:
        return None if body is None else body.decode()
    except UnicodeDecodeError:
        return None
