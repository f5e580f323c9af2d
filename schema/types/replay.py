"""Sending again, in GraphQL: which messages of an endpoint."""

from __future__ import annotations

from datetime import datetime

import strawberry

from graphook import rules
from models.attempt import MessageStatus
from schema.fields import required, value
from schema.types.attempt import StatusCodeClass
from schema.types.task import BackgroundTaskPayload


@strawberry.input(description="Which failed messages to send once more (component RecoverIn).")
class RecoverIn:
    since: datetime = required("Messages accepted at or after this, at most 14 days before `until`.")
    until: datetime | None = value("Messages accepted before this; now when absent.", default=None)


@strawberry.input(description="Which missed messages to deliver (component ReplayIn).")
class ReplayIn(RecoverIn):
    pass


@strawberry.input(description="Which messages to send once more, whatever became of them (component BulkReplayIn).")
class BulkReplayIn(RecoverIn):
    event_types: list[str] | None = value("Only those of these event types.", rules.FILTER_TYPES, default=None)
    channel: str | None = value("Only those of this channel.", rules.CHANNEL, default=None)
    tag: str | None = value("Only those with this tag.", rules.TAG, default=None)
    status: MessageStatus | None = value("Only those that stand like this with the endpoint.", default=None)
    status_code_class: StatusCodeClass | None = value("Only those whose last attempt had such a response status.", default=None)


@strawberry.type(description="What endpointRecover did.")
class EndpointRecoverPayload(BackgroundTaskPayload):
    pass


@strawberry.type(description="What endpointReplayMissing did.")
class EndpointReplayMissingPayload(BackgroundTaskPayload):
    pass


@strawberry.type(description="What endpointBulkReplay did.")
class EndpointBulkReplayPayload(BackgroundTaskPayload):
    pass
