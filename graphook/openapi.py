"""Event types from the webhooks of an OpenAPI document: pure conversion that reads no file and no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson

from graphook import rules, strict_json
from graphook.errors import InvalidInput, InvalidInputs
from graphook.schema_parts import Path, at, names_of, pointer_of, rebuilt

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 160
MAX_WEBHOOKS = 1000
# One component may be part of a thousand event types.
MAX_BUNDLED = 16 * 1024 * 1024
EXTENSION = "x-graphook"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
NEW_DRAFT = "https://json-schema.org/draft/2020-12/schema"

_METHODS = ("post", "put", "patch", "get", "delete", "head", "options", "trace")
# What an extension of ours may say of an event type: its name in the document, and here.
OURS = {
    "featureFlag": "feature_flag",
    "groupName": "group_name",
    "validatePayload": "validate_payload",
    "retrySchedule": "retry_schedule",
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """An event type as a document tells it. `values` are columns of ours, without those of which it says nothing."""

    name: str
    values: dict[str, Any]
    path: Path
    # Where the schema by version was taken from.
    sources: dict[str, Source]


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


class _Fault(Exception):
    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def read(document: Any, base: Path) -> list[Webhook]:
    """The event types of a document of OpenAPI 3.0 or 3.1. Raises `InvalidInputs` with paths that begin with `base`."""
    try:
        reader = _Reader(document)
        found, faults = [], []
        for section, name in reader.entries():
            try:
                found.append(reader.webhook(section, name))
            except _Fault as fault:
                faults.append(fault)
    except _Fault as fault:
        faults = [fault]
    if faults:
        raise InvalidInputs([InvalidInput(fault.message, (*base, *fault.path)) for fault in faults[:9]])
    return found


class _Reader:
    def __init__(self, document: Any) -> None:
        if not isinstance(document, dict):
            raise _Fault("An OpenAPI document is an object.", ())
        if strict_json.depth_exceeds(strict_json.dumps(document), MAX_DEPTH):
            raise _Fault(f"The document is nested more than {MAX_DEPTH} levels deep.", ())
        version = document.get("openapi")
        form = re.fullmatch(r"3\.([01])(\.[0-9]+)?([-+.][\w.+-]+)?", version) if isinstance(version, str) else None
        if form is None:
            raise _Fault("openapi is a version from 3.0 to 3.1.", ("openapi",))
        self._document = document
        self._old = form[1] == "0"
        dialect = document.get("jsonSchemaDialect")
        # What our event types mean when they name no draft.
        self._names_draft = not self._old and not (isinstance(dialect, str) and "draft-07" in dialect)
        self._bundled = 0

    def entries(self) -> Iterator[tuple[str, str]]:
        """Each webhook's section and name."""
        sections = [section for section in ("webhooks", "x-webhooks") if section in self._document]
        if not sections:
            raise _Fault("The document has neither webhooks nor x-webhooks.", ())
        seen: set[str] = set()
        for section in sections:
            webhooks = self._object((section,))
            if len(webhooks) > MAX_WEBHOOKS:
                raise _Fault(f"{section} has {len(webhooks)} entries; at most {MAX_WEBHOOKS} are allowed.", (section,))
            for name in webhooks:
                if name in seen:
                    raise _Fault(f"{rules.short(name)} is in webhooks and in x-webhooks.", (section, name))
                seen.add(name)
                yield section, name

    def webhook(self, section: str, name: str) -> Webhook:
        path: Path = (section, name)
        self._check(rules.EVENT_TYPE, name, path)
        item, at_item = self._resolved(path)
        method = next((method for method in _METHODS if method in item), None)
        operation, at_operation = (item, at_item) if method is None else self._resolved((*at_item, method))
        body: dict[str, Any] = {}
        at_body = at_operation
        if method is not None and "requestBody" in operation:
            body, at_body = self._resolved((*at_operation, "requestBody"))
        values = {"description": self._description((operation, at_operation), (body, at_body), (item, at_item))}
        values["deprecated"] = self._value(operation, "deprecated", at_operation, bool, False)
        schemas, sources = self._schemas(body, at_body)
        extension = self._value(operation, EXTENSION, at_operation, dict, {})
        at_extension = (*at_operation, EXTENSION)
        if extension:
            schemas, sources = self._versions(extension, at_extension, schemas, sources)
            values |= self._ours(extension, at_extension)
        none = not schemas and "schemas" not in extension
        return Webhook(name, {**values, "schemas": None if none else schemas, "archived": False}, path, sources)

    # What an event type has

    def _description(self, *places: tuple[dict[str, Any], Path]) -> str:
        operation, body, item = places
        for (found, path), name in ((operation, "description"), (body, "description"), (operation, "summary"), (item, "description"),
                                    (item, "summary")):  # fmt: skip
            if name in found:
                text: str = self._value(found, name, path, str, "")
                self._check(rules.DESCRIPTION, text, (*path, name))
                return text
        return ""

    def _schemas(self, body: dict[str, Any], path: Path) -> tuple[dict[str, Any], dict[str, Source]]:
        contents: dict[str, Any] = self._value(body, "content", path, dict, {})
        kind = next((kind for kind in contents if re.match(r"application/(.+\+)?json\b|\*/\*|application/\*", kind.lower())), None)
        if kind is None:
            return {}, {}
        at_media = (*path, "content", kind)
        media = self._object(at_media)
        if "schema" not in media:
            return {}, {}
        schema, source = self._schema((*at_media, "schema"))
        examples = self._examples(media, at_media)
        if examples and "examples" not in schema:
            schema = {**schema, "examples": examples}
        return {"1": schema}, {"1": source}

    def _examples(self, media: dict[str, Any], path: Path) -> list[Any]:
        if "example" in media:
            return [media["example"]]
        named: dict[str, Any] = self._value(media, "examples", path, dict, {})
        found = [self._resolved((*path, "examples", name))[0] for name in named]
        return [example["value"] for example in found if "value" in example]

    def _versions(
        self, extension: dict[str, Any], path: Path, schemas: dict[str, Any], sources: dict[str, Source]
    ) -> tuple[dict[str, Any], dict[str, Source]]:
        """The schemas by version, where the document is one of ours: the body's is one of them, or stands for one of them."""
        version = self._value(extension, "version", path, str, None)
        if version is None and "schemas" not in extension:
            return schemas, sources
        others: dict[str, Any] = self._value(extension, "schemas", path, dict, {})
        shown = {version: schemas["1"]} if version is not None and schemas else {}
        places = {version: sources["1"]} if version is not None and schemas else {}
        return {**shown, **others}, {**places, **{name: Source((*path, "schemas", name)) for name in others}}

    def _ours(self, extension: dict[str, Any], path: Path) -> dict[str, Any]:
        checks: dict[str, tuple[type, rules.Rule | None]] = {
            "featureFlag": (str, rules.FEATURE_FLAG),
            "groupName": (str, rules.GROUP_NAME),
            "validatePayload": (bool, None),
            "retrySchedule": (list, rules.RETRY_SCHEDULE),
        }
        values: dict[str, Any] = {}
        for name, (kind, rule) in checks.items():
            if name not in extension:
                continue
            found = extension[name]
            if found is not None or kind is bool:
                found = self._value(extension, name, path, kind, None)
                if kind is list and not all(isinstance(item, int | float) and not isinstance(item, bool) for item in found):
                    raise _Fault(f"{name} lists numbers of seconds.", (*path, name))
                if rule is not None:
                    self._check(rule, found, (*path, name))
            values[OURS[name]] = found
        return values

    # Schemas

    def _schema(self, path: Path) -> tuple[dict[str, Any], Source]:
        """The schema at a path, by itself: what it refers to elsewhere in the document is put under its `$defs`."""
        root, root_path = self._root(path)
        if isinstance(root, bool):
            return ({} if root else {"not": {}}), Source(root_path)
        names: dict[Path, str] = {root_path: ""}
        taken = set(root.get("$defs", ())) if isinstance(root.get("$defs"), dict) else set()
        waiting: list[Path] = []

        def moved(part: dict[str, Any], where: Path) -> dict[str, Any]:
            reference = part.get("$ref")
            if not isinstance(reference, str):
                return _modern(part) if self._old else part
            target = self._target(reference, where)
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
            found = at(self._document, target)
            if not isinstance(found, dict | bool):
                raise _Fault("A schema is an object.", target)
            bundled[names[target]] = rebuilt(found, lambda part, where, target=target: moved(part, (*target, *where)))  # type: ignore[misc]
            self._count(bundled[names[target]], path)
        if bundled:
            kept = schema.get("$defs", {})
            schema = {**schema, "$defs": {**(kept if isinstance(kept, dict) else {}), **bundled}}
        if self._names_draft and "$schema" not in schema:
            schema = {"$schema": NEW_DRAFT, **schema}
        return schema, Source(root_path, {name: target for target, name in names.items() if name})

    def _count(self, schema: Any, path: Path) -> None:
        self._bundled += len(orjson.dumps(schema))
        if self._bundled > MAX_BUNDLED:
            raise _Fault(f"The schemas have more than {MAX_BUNDLED} bytes together with what they refer to.", path)

    def _root(self, path: Path) -> tuple[Any, Path]:
        """The schema that a path leads to, past what is nothing but a reference."""
        seen: set[Path] = set()
        while True:
            found = at(self._document, path)
            if not isinstance(found, dict | bool):
                raise _Fault("A schema is an object.", path)
            if isinstance(found, bool) or not isinstance(found.get("$ref"), str) or (len(found) > 1 and not self._old):
                return found, path
            if path in seen:
                raise _Fault("The reference leads to itself.", (*path, "$ref"))
            seen.add(path)
            path = self._target(found["$ref"], path)

    # References

    def _resolved(self, path: Path) -> tuple[dict[str, Any], Path]:
        """The object at a path, past its references."""
        seen: set[Path] = set()
        while True:
            found = self._object(path)
            if not isinstance(found.get("$ref"), str):
                return found, path
            if path in seen:
                raise _Fault("The reference leads to itself.", (*path, "$ref"))
            seen.add(path)
            path = self._target(found["$ref"], path)

    def _target(self, reference: str, path: Path) -> Path:
        """What a `$ref` at a path points to. Raises unless it is in this document."""
        if reference != "#" and not reference.startswith("#/"):
            raise _Fault("A reference stays within the document: it begins with #/.", (*path, "$ref"))
        target = names_of(unquote(reference[1:]))
        try:
            at(self._document, target)
        except KeyError:
            raise _Fault(f"There is nothing at {rules.short(reference)}.", (*path, "$ref")) from None
        return target

    # Values

    def _object(self, path: Path) -> dict[str, Any]:
        found = at(self._document, path)
        if not isinstance(found, dict):
            raise _Fault(f"{path[-1]} is an object.", path)
        return found

    def _value(self, holder: dict[str, Any], name: str, path: Path, kind: type, default: Any) -> Any:
        found = holder.get(name, default)
        if found is not default and not isinstance(found, kind):
            words = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}
            raise _Fault(f"{name} is {words[kind]}.", (*path, name))
        return found

    def _check(self, rule: rules.Rule, found: Any, path: Path) -> None:
        for fault in rule.check(found, path):
            raise _Fault(fault.message, fault.path)


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
