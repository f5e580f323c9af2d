"""An OpenAPI 3.1 document of event types that reads back as the same event types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from graphook.event_schemas import newest
from graphook.json_schema import DRAFT_7
from graphook.openapi import EXTENSION, OURS
from graphook.schema_parts import Path, at, names_of, parts, pointer_of, rebuilt

# A schema that has these, or refers to more than places within itself, means something else when it is put into a document.
_OWN_BASE = frozenset(("$id", "id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"))


def write(event_types: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The document of some event types, each given by its columns."""
    webhooks: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for values in event_types:
        name = values["name"]
        others = dict(values["schemas"] or {})
        version = newest(others)
        operation: dict[str, Any] = {"description": values["description"]}
        if values["deprecated"]:
            operation["deprecated"] = True
        if version is not None:
            body: Any = {}
            if _can_be_placed(others[version]):
                components[name] = _placed(others.pop(version), ("components", "schemas", name))
                body = {"$ref": f"#/components/schemas/{name}"}
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        operation["responses"] = {"2XX": {"description": "The message was taken."}}
        placed = version is not None and version not in others
        extension: dict[str, Any] = {"version": version} if placed else {}
        if others or (version is None and values["schemas"] is not None):
            extension["schemas"] = others
        operation[EXTENSION] = extension | {shown: values[column] for shown, column in OURS.items()}
        webhooks[name] = {"post": operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Event types", "version": "1"},
        "jsonSchemaDialect": DRAFT_7,
        "webhooks": webhooks,
        "components": {"schemas": components},
    }


def _can_be_placed(schema: Mapping[str, Any]) -> bool:
    if schema.keys() == {"$ref"}:
        return False
    found = [part for part, _ in parts(schema)]
    references = [part["$ref"] for part in found if isinstance(part.get("$ref"), str)]
    return not any(_OWN_BASE & part.keys() for part in found) and all(_is_plain(reference, schema) for reference in references)


def _is_plain(reference: str, schema: Mapping[str, Any]) -> bool:
    """Whether a reference is a pointer into the schema, written in the one way in which it would be read back."""
    if not re.match(r"#(/|$)", reference) or unquote(reference) != reference:
        return False
    steps = names_of(reference[1:])
    try:
        at(schema, steps)
    except KeyError:
        return False
    return pointer_of(steps) == reference[1:]


def _placed(schema: dict[str, Any], path: Path) -> Any:
    """The schema with references that still lead to the same places once it is at a path of the document."""

    def move(part: dict[str, Any], _: Path) -> dict[str, Any]:
        reference = part.get("$ref")
        return part if not isinstance(reference, str) else {**part, "$ref": f"#{pointer_of((*path, *names_of(reference[1:])))}"}

    return rebuilt(schema, move)
