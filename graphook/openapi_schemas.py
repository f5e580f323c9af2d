"""The schemas of an OpenAPI document, each by itself: what it refers to elsewhere comes with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from graphook.json_schema import DRAFT_7, DRAFT_2020_12, is_new
from graphook.openapi_document import Document, Fault
from graphook.schema_parts import Path, at, pointer_of, rebuilt

# One component may be part of a thousand event types.
MAX_BUNDLED = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """Where a schema, and what was put under its `$defs`, is in the document."""

    path: Path
    bundled: dict[str, Path] = field(default_factory=dict)

    def locate(self, path: Path) -> Path:
        """The place in the document of a place in the schema."""
        if len(path) >= 2 and path[0] == "$defs" and path[1] in self.bundled:
            return (*self.bundled[path[1]], *path[2:])
        return (*self.path, *path)


class Bundler:
    """Takes schemas out of a document, `MAX_BUNDLED` bytes altogether. Raises `Fault`."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._is_new = is_new(DRAFT_7 if document.is_old else document.whole.get("jsonSchemaDialect", DRAFT_2020_12))
        if self._is_new is None:
            raise Fault(f"jsonSchemaDialect is {DRAFT_7} or {DRAFT_2020_12}.", ("jsonSchemaDialect",))
        self._size = 0

    def schema(self, path: Path) -> tuple[dict[str, Any], Source]:
        """The schema at a place, with what it refers to elsewhere in the document under its `$defs`."""
        root, root_path = self._document.schema(path)
        if isinstance(root, bool):
            return ({} if root else {"not": {}}), Source(root_path)
        names: dict[Path, str] = {root_path: ""}
        taken = set(root.get("$defs", ())) if isinstance(root.get("$defs"), dict) else set()
        waiting: list[Path] = []

        def moved(part: dict[str, Any], where: Path) -> dict[str, Any]:
            reference = part.get("$ref")
            if not isinstance(reference, str):
                return _modern(part) if self._document.is_old else part
            target = self._document.target(reference, where)
            if target[: len(root_path)] == root_path:
                return {**part, "$ref": f"#{pointer_of(target[len(root_path) :])}"}
            if target not in names:
                name = re.sub(r"[^A-Za-z0-9_.-]", "-", target[-1] if target else "document") or "schema"
                while name in taken:
                    name += "-"
                taken.add(name)
                names[target] = name
                waiting.append(target)
            return {**part, "$ref": f"#/$defs/{names[target]}"}

        schema = rebuilt(root, lambda part, where: moved(part, (*root_path, *where)))
        self._count(schema, path)
        bundled: dict[str, Any] = {}
        while waiting:
            target = waiting.pop()
            found = at(self._document.whole, target)
            if not isinstance(found, dict | bool):
                raise Fault("A schema is an object.", target)
            bundled[names[target]] = rebuilt(found, lambda part, where, target=target: moved(part, (*target, *where)))  # type: ignore[misc]
            self._count(bundled[names[target]], path)
        if bundled:
            kept = schema.get("$defs", {})
            schema = {**schema, "$defs": {**(kept if isinstance(kept, dict) else {}), **bundled}}
        if self._is_new and "$schema" not in schema:  # our event types mean Draft 7 when they name none
            schema = {"$schema": DRAFT_2020_12, **schema}
        return schema, Source(root_path, {name: target for target, name in names.items() if name})

    def _count(self, schema: Any, path: Path) -> None:
        self._size += len(orjson.dumps(schema))
        if self._size > MAX_BUNDLED:
            raise Fault(f"The schemas have more than {MAX_BUNDLED} bytes together with what they refer to.", path)


def _modern(part: dict[str, Any]) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 as a JSON Schema of Draft 7."""
    part = dict(part)
    if part.pop("nullable", False) is True and "type" in part:
        part["type"] = [part["type"], "null"]
        if isinstance(part.get("enum"), list) and None not in part["enum"]:
            part["enum"] = [*part["enum"], None]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(part.get(exclusive), bool) and part.pop(exclusive) and bound in part:
            part[exclusive] = part.pop(bound)
    if "example" in part and "examples" not in part:
        part["examples"] = [part.pop("example")]
    return part
