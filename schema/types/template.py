"""Templates in GraphQL."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from graphook import rules
from models.template import Template as Row
from models.template import TemplateKind
from schema.context import Info
from schema.errors import UserError
from schema.fields import computed, enumeration, field, required, value
from schema.node import Node
from schema.scalars import URL
from schema.types.endpoint import Endpoint
from schema.types.transformation import CODE, EndpointTransformationSimulateIn, TransformationSimulation

enumeration(
    TemplateKind,
    "What a template leads to (component TransformationTemplateKind).",
    {kind: "Anything else." if kind is TemplateKind.CUSTOM else f"{kind.value}." for kind in TemplateKind},
    name="TemplateKind",
)

_TRANSFORMATION = "JavaScript with `function handler(webhook)`."
_FILTER_TYPES = "An endpoint made of it gets messages of these event types"


@strawberry.type(
    description="Code that turns messages into what a kind of receiver wants, and what people need to know to use it (component TemplateOut)."
)
class Template(Node):
    id: strawberry.ID = field("Its id: trtmpl_ and 27 letters and digits.")
    org_id: str = field("The organisation; of a built-in one yours.")
    name: str = field("Its name, for people.")
    description: str = field("What it does.")
    instructions: str = field("How to use it.")
    instructions_link: URL | None = field("Where there is more about that.")
    kind: TemplateKind = field("What it leads to.")
    transformation: str = field(_TRANSFORMATION)
    feature_flag: str | None = field("Applications see it only with this flag.")
    filter_types: list[str] | None = field(f"{_FILTER_TYPES}; null for all.")
    built_in: bool = field("Whether it comes with the service and cannot be changed.")
    created_at: datetime = field("When it was created.")
    updated_at: datetime = field("When it was last changed.")
    row: strawberry.Private[Row]

    @computed("A picture of what it leads to.")
    def logo(self, info: Info) -> URL:
        return URL(f"{info.context.services.settings.public_address}{self.row.logo}" if self.built_in else self.row.logo)

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=strawberry.ID(row.id),
            org_id=row.org_id,
            name=row.name,
            description=row.description,
            instructions=row.instructions,
            instructions_link=None if row.instructions_link is None else URL(row.instructions_link),
            kind=TemplateKind(row.kind),
            transformation=row.transformation,
            feature_flag=row.feature_flag,
            filter_types=row.filter_types,
            built_in=row.built_in,
            created_at=row.created_at,
            updated_at=row.updated_at,
            row=row,
        )


@strawberry.input(description="A new template (component TemplateIn).")
class TemplateIn:
    name: str = required("Its name, for people.", rules.NAME)
    logo: URL = required("A picture of what it leads to.", rules.LINK)
    transformation: str = required(_TRANSFORMATION, CODE)
    description: str = value("What it does.", rules.DESCRIPTION, default="")
    instructions: str = value("How to use it.", rules.DESCRIPTION, default="")
    instructions_link: URL | None = value("Where there is more about that.", rules.LINK, default=None)
    kind: TemplateKind = value("What it leads to.", default=TemplateKind.CUSTOM)
    feature_flag: str | None = value("Applications see it only with this flag.", rules.FEATURE_FLAG, default=None)
    filter_types: list[str] | None = value(f"{_FILTER_TYPES}, which must exist.", rules.FILTER_TYPES, default=None)


@strawberry.input(description="All of a template (component TemplateUpdate).")
class TemplateUpdate:
    logo: URL = required("A picture of what it leads to.", rules.LINK)
    transformation: str = required(_TRANSFORMATION, CODE)
    name: str = value("Its name, for people; a blank one keeps the name it has.", rules.OPTIONAL_NAME, default="")
    description: str = value("What it does.", rules.DESCRIPTION, default="")
    instructions: str = value("How to use it.", rules.DESCRIPTION, default="")
    instructions_link: URL | None = value("Where there is more about that.", rules.LINK, default=None)
    kind: TemplateKind = value("What it leads to.", default=TemplateKind.CUSTOM)
    feature_flag: str | None = value("Applications see it only with this flag.", rules.FEATURE_FLAG, default=None)
    filter_types: list[str] | None = value(
        f"{_FILTER_TYPES}; those that it does not have yet must exist.", rules.FILTER_TYPES, default=None
    )


@strawberry.input(description="Changes to a template: what is absent stays, null clears (component TemplatePatch).")
class TemplatePatch:
    name: str | None = value("Its name, for people.", rules.NAME, nullable=False)
    logo: URL | None = value("A picture of what it leads to.", rules.LINK, nullable=False)
    transformation: str | None = value(_TRANSFORMATION, CODE, nullable=False)
    description: str | None = value("What it does.", rules.DESCRIPTION, nullable=False)
    instructions: str | None = value("How to use it.", rules.DESCRIPTION, nullable=False)
    instructions_link: URL | None = value("Where there is more about that; null for nowhere.", rules.LINK)
    kind: TemplateKind | None = value("What it leads to.", nullable=False)
    feature_flag: str | None = value("Applications see it only with this flag; null for all.", rules.FEATURE_FLAG)
    filter_types: list[str] | None = value(
        f"{_FILTER_TYPES}; those that it does not have yet must exist; null for all.", rules.FILTER_TYPES
    )


@strawberry.input(description="Code to try (component TransformationSimulateIn).")
class TransformationSimulateIn(EndpointTransformationSimulateIn):
    pass


@strawberry.type(description="What templateSimulate found.")
class TemplateSimulatePayload:
    simulation: TransformationSimulation | None = field("What would be sent, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing would be sent, such as an error in the code.", default_factory=list)


@strawberry.type(description="What templateInstantiate did.")
class TemplateInstantiatePayload:
    endpoint: Endpoint | None = field("The endpoint, unless there are errors.", default=None)
    created: bool = field("False when the idempotency key repeats an earlier request.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What templateCreate did.")
class TemplateCreatePayload:
    template: Template | None = field("The template, unless there are errors.", default=None)
    created: bool = field("False when the idempotency key repeats an earlier request.", default=False)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What templateUpdate did.")
class TemplateUpdatePayload:
    template: Template | None = field("The template, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What templatePatch did.")
class TemplatePatchPayload:
    template: Template | None = field("The template, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What templateDelete did.")
class TemplateDeletePayload:
    deleted_id: strawberry.ID | None = field("The id of what is gone, unless there are errors.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)
