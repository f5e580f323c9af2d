"""A message to every application, in GraphQL."""

from __future__ import annotations

import strawberry

from graphook import rules
from schema.fields import required, value
from schema.scalars import JSON
from schema.types.task import BackgroundTaskPayload


@strawberry.input(description="A message to every application (component MessageBroadcastIn).")
class MessageBroadcastIn:
    event_type: str = required("What kind of thing happened.", rules.EVENT_TYPE)
    payload: JSON = required("What to send, an object: at most 1 MiB as JSON, 64 levels deep.")
    event_id: str | None = value(
        "Your own id for it in every application; one that has a message of this id already is left out.", rules.UID, default=None
    )
    channels: list[str] | None = value(
        "Only endpoints of any of these channels, and those without channels, get it.", rules.MESSAGE_CHANNELS, default=None
    )
    payload_retention_period: int = value("How many days the payload is kept.", rules.RETENTION_DAYS, default=90)


@strawberry.type(description="What messageBroadcast did.")
class MessageBroadcastPayload(BackgroundTaskPayload):
    pass
