"""Applications in GraphQL."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from graphook import rules
from models.application import Application as Row
from schema.errors import UserError
from schema.fields import field, required, value
from schema.node import Node
from schema.scalars import StringMap
from schema.types.task import BackgroundTaskPayload


@strawberry.type(description="One customer of yours, with endpoints and messages of its own (component ApplicationOut).")
class Application(Node):
    id: strawberry.ID = field("Its id: app_ and 27 letters and digits.")
    uid: str | None = field("Your own id for it, unique within the organisation.")
    name: str = field("Its name.")
    rate_limit: int | None = field("Messages per second to each of its endpoints that has no limit of its own.")
    metadata: StringMap = field("What you keep with it.")
    created_at: datetime = field("When it was created.")
    updated_at: datetime = field("When it was last changed.")
    row: strawberry.Private[Row]

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            uid=row.uid,
            name=row.name,
            rate_limit=row.rate_limit,
            metadata=StringMap(row.metadata),
            created_at=row.created_at,
            updated_at=row.updated_at,
            row=row,
        )


@strawberry.input(description="A new application, or all of an existing one (component ApplicationIn).")
class ApplicationIn:
    name: str = required("Its name.", rules.NAME)
    uid: str | None = value("Your own id for it, unique within the organisation.", rules.UID, default=None)
    rate_limit: int | None = value("Messages per second to each of its endpoints.", rules.RATE_LIMIT, default=None)
    metadata: StringMap | None = value("What you keep with it; nothing when absent.", rules.METADATA, absent=dict, nullable=False)


@strawberry.input(description="Changes to an application: what is absent stays, null clears (component ApplicationPatch).")
class ApplicationPatch:
    name: str | None = value("Its name.", rules.NAME, nullable=False)
    uid: str | None = value("Your own id for it; null forgets it.", rules.UID)
    rate_limit: int | None = value("Messages per second to each of its endpoints; null for none.", rules.RATE_LIMIT)
    metadata: StringMap | None = value("What you keep with it.", rules.METADATA, nullable=False)


@strawberry.type(description="What applicationCreate did.")
class ApplicationCreatePayload:
    application: Application | None = field("The application, unless there are errors.", default=None)
    created: bool = field("False when getIfExists found it, or the idempotency key repeats an earlier request.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What applicationUpdate did.")
class ApplicationUpdatePayload:
    application: Application | None = field("The application, unless there are errors.", default=None)
    created: bool = field("Whether there was none before.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What applicationPatch did.")
class ApplicationPatchPayload:
    application: Application | None = field("The application, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What applicationDelete did.")
class ApplicationDeletePayload:
    deleted_id: strawberry.ID | None = field("The id of what is gone, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What applicationPurgeContent did.")
class ApplicationPurgeContentPayload(BackgroundTaskPayload):
    pass
