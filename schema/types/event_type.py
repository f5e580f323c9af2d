"""Event types in GraphQL."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import orjson
import strawberry

from graphook import rules
from models.event_type import EventType as Row
from schema.context import Info, when_loaded
from schema.errors import UserError
from schema.fields import computed, field, required, value
from schema.node import Node
from schema.scalars import JSON

_RETRY_SCHEDULE = "Seconds to wait after each failed try: as many retries as there are numbers, none when empty; null for the service's. An endpoint's own comes first."
_VALIDATE_PAYLOAD = "Whether to refuse messages whose payload does not fit the schema of the highest version."


@strawberry.type(description="A kind of thing that happens (component EventTypeOut).")
class EventType(Node):
    id: strawberry.ID = field("Its id: evtype_ and 27 letters and digits.")
    name: str = field("Its name, unique in the organisation, such as invoice.paid.")
    description: str = field("What it means.")
    feature_flag: str | None = field("Applications see it only with this flag.")
    archived: bool = field("Whether it is out of use.")
    deprecated: bool = field("Whether it should not be used any more.")
    group_name: str | None = field("What it is listed under.")
    validate_payload: bool = field("Whether a message is refused whose payload does not fit the schema of the highest version.")
    retry_schedule: list[float] | None = field(_RETRY_SCHEDULE)
    created_at: datetime = field("When it was created.")
    updated_at: datetime = field("When it was last changed.")
    row: strawberry.Private[Row]

    @computed("JSON Schemas of its payload, by version.")
    def schemas(self, info: Info) -> JSON | None:
        if hasattr(self.row, "schemas"):
            return None if self.row.schemas is None else JSON(self.row.schemas)
        loaders = info.context.loaders

        def shown(text: bytes | None) -> JSON | None:
            if text is None:
                return None
            loaders.show(text)
            # As it is: decoded it takes ten times the memory, only to be encoded again.
            return JSON(orjson.Fragment(text))

        return when_loaded(loaders.schemas.load(self.row), shown)  # type: ignore[no-any-return]

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            name=row.name,
            description=row.description,
            feature_flag=row.feature_flag,
            archived=row.archived,
            deprecated=row.deprecated,
            group_name=row.group_name,
            validate_payload=row.validate_payload,
            retry_schedule=row.retry_schedule,
            created_at=row.created_at,
            updated_at=row.updated_at,
            row=row,
        )


@strawberry.input(description="All of an event type but its name (component EventTypeUpdate).")
class EventTypeUpdate:
    description: str = required("What it means.", rules.DESCRIPTION)
    schemas: JSON | None = value(
        "JSON Schemas of its payload, by version. Each is Draft 7, or 2020-12 where its $schema says so.", default=None
    )
    feature_flag: str | None = value("Applications see it only with this flag.", rules.FEATURE_FLAG, default=None)
    archived: bool = value("Whether it is out of use.", default=False)
    deprecated: bool = value("Whether it should not be used any more.", default=False)
    group_name: str | None = value("What it is listed under.", rules.GROUP_NAME, default=None)
    validate_payload: bool = value(_VALIDATE_PAYLOAD, default=False)


@strawberry.input(description="A new event type (component EventTypeIn).")
class EventTypeIn(EventTypeUpdate):
    name: str = required("Its name, unique in the organisation.", rules.EVENT_TYPE)
    retry_schedule: list[float] | None = value(_RETRY_SCHEDULE, rules.RETRY_SCHEDULE, default=None)


@strawberry.input(description="Changes to an event type: what is absent stays, null clears (component EventTypePatch).")
class EventTypePatch:
    description: str | None = value("What it means.", rules.DESCRIPTION, nullable=False)
    schemas: JSON | None = value("JSON Schemas of its payload, by version; null for none.")
    feature_flag: str | None = value("Applications see it only with this flag; null for all.", rules.FEATURE_FLAG)
    archived: bool | None = value("Whether it is out of use.", nullable=False)
    deprecated: bool | None = value("Whether it should not be used any more.", nullable=False)
    group_name: str | None = value("What it is listed under; null for nothing.", rules.GROUP_NAME)
    validate_payload: bool | None = value(_VALIDATE_PAYLOAD, nullable=False)


@strawberry.type(description="When failed deliveries of an event type are tried again (component RetryScheduleInOut).")
class RetrySchedule:
    retry_schedule: list[float] | None = field(f"{_RETRY_SCHEDULE} Stands for the components RetrySchedule and Duration.")


@strawberry.input(description="When to try failed deliveries of an event type again (component RetryScheduleInOut).")
class RetryScheduleIn:
    retry_schedule: list[float] | None = value(_RETRY_SCHEDULE, rules.RETRY_SCHEDULE, default=None)


@strawberry.type(description="What eventTypeCreate did.")
class EventTypeCreatePayload:
    event_type: EventType | None = field("The event type, unless there are errors.", default=None)
    created: bool = field("False when the idempotency key repeats an earlier request.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What eventTypeUpdate did.")
class EventTypeUpdatePayload:
    event_type: EventType | None = field("The event type, unless there are errors.", default=None)
    created: bool = field("Whether there was none before.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What eventTypePatch did.")
class EventTypePatchPayload:
    event_type: EventType | None = field("The event type, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What eventTypeUpdateRetrySchedule did.")
class EventTypeUpdateRetrySchedulePayload:
    event_type: EventType | None = field("The event type, unless there are errors.", default=None)
    retry_schedule: RetrySchedule | None = field("Its retry schedule, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What eventTypeDelete did.")
class EventTypeDeletePayload:
    deleted_id: strawberry.ID | None = field("The id of what is archived or gone, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)
