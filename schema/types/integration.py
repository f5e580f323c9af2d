"""Integrations in GraphQL."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from graphook import rules
from models.integration import Integration as Row
from schema.errors import UserError
from schema.fields import field, required
from schema.node import Node


@strawberry.type(description="Another product that works on one application with a key of its own (component IntegrationOut).")
class Integration(Node):
    id: strawberry.ID = field("Its id: integ_ and 27 letters and digits.")
    name: str = field("Its name.")
    created_at: datetime = field("When it was created.")
    updated_at: datetime = field("When it, or its key, was last changed.")

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(id=strawberry.ID(row.id), name=row.name, created_at=row.created_at, updated_at=row.updated_at)


@strawberry.type(description="The key of an integration: a token for its one application (component IntegrationKeyOut).")
class IntegrationKey:
    key: str = field("The token, to be sent as `Authorization: Bearer …`.")


@strawberry.input(description="A new integration (component IntegrationIn).")
class IntegrationIn:
    name: str = required("Its name.", rules.NAME)


@strawberry.input(description="All of an integration that can be changed (component IntegrationUpdate).")
class IntegrationUpdate:
    name: str = required("Its name.", rules.NAME)


@strawberry.type(description="What integrationCreate did.")
class IntegrationCreatePayload:
    integration: Integration | None = field("The integration, unless there are errors.", default=None)
    created: bool = field("False when the idempotency key repeats an earlier request.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What integrationUpdate did.")
class IntegrationUpdatePayload:
    integration: Integration | None = field("The integration, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What integrationDelete did.")
class IntegrationDeletePayload:
    deleted_id: strawberry.ID | None = field("The id of what is gone, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What integrationRotateKey did.")
class IntegrationRotateKeyPayload:
    integration_key: IntegrationKey | None = field("The key that is valid now, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)
