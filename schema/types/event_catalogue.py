"""Importing and exporting event types, in GraphQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import strawberry

from schema.errors import UserError
from schema.fields import field, value
from schema.scalars import JSON
from schema.types.task import BackgroundTaskPayload


@strawberry.input(
    description="An OpenAPI document, 3.0 or 3.1, whose webhooks or x-webhooks are event types (component EventTypeImportOpenApiIn). "
    "Give exactly one of spec and specRaw."
)
class EventTypeImportOpenApiIn:
    spec: JSON | None = value("The document as JSON, at most 4 MiB.", default=None)
    spec_raw: str | None = value(
        "The document as text: JSON of at most 4 MiB, or YAML of at most 1 MiB without anchors, aliases and tags.", default=None
    )
    dry_run: bool = value("Whether only to say what would be done.", default=False)
    replace_all: bool = value("Whether to archive every event type that is not in the document.", default=False)


@strawberry.type(description="An event type as a document tells it; null where the document says nothing. An addition of ours.")
class EventTypeFromOpenApi:
    name: str = field("Its name.")
    description: str = field("What it means.")
    schemas: JSON | None = field("JSON Schemas of its payload, by version.")
    deprecated: bool = field("Whether it should not be used any more.")
    feature_flag: str | None = field("Applications see it only with this flag.")
    group_name: str | None = field("What it is listed under.")
    validate_payload: bool | None = field("Whether a message is refused whose payload does not fit.")
    retry_schedule: list[float] | None = field("Seconds to wait after each failed try.")

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> Self:
        schemas = values["schemas"]
        return cls(
            name=name,
            description=values["description"],
            schemas=None if schemas is None else JSON(schemas),
            deprecated=values["deprecated"],
            feature_flag=values.get("feature_flag"),
            group_name=values.get("group_name"),
            validate_payload=values.get("validate_payload"),
            retry_schedule=values.get("retry_schedule"),
        )


@strawberry.type(
    description="What eventTypeImportOpenapi did, or with dryRun would do (components EventTypeImportOpenApiOut and EventTypeImportOpenApiOutData)."
)
class EventTypeImportOpenapiPayload:
    modified: list[str] = field(
        "The event types of the document: created, changed or brought back (component EventTypeImportOpenApiOutData).", default_factory=list
    )
    archived: list[str] = field("The event types that replaceAll archives.", default_factory=list)
    to_modify: list[EventTypeFromOpenApi] | None = field("With dryRun, what would be written.", default=None)
    errors: list[UserError] = field("Why nothing was written.", default_factory=list)


@strawberry.type(description="What eventTypeExportOpenapi did.")
class EventTypeExportOpenapiPayload(BackgroundTaskPayload):
    pass
