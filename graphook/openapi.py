"""Event types from the webhooks of an OpenAPI document: pure conversion that reads no file and no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphook import rules
from graphook.errors import InvalidInput, InvalidInputs
from graphook.openapi_document import Document, Fault
from graphook.openapi_schemas import Bundler, Source
from graphook.schema_parts import Path

MAX_BYTES = 4 * 1024 * 1024
MAX_WEBHOOKS = 1000
EXTENSION = "x-graphook"

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


def read(document: Any, base: Path) -> list[Webhook]:
    """The event types of a document of OpenAPI 3.0 or 3.1. Raises `InvalidInputs` with paths that begin with `base`."""
    try:
        reader = _Reader(Document(document))
        found, faults = [], []
        for section, name in reader.entries():
            try:
                found.append(reader.webhook(section, name))
            except Fault as fault:
                faults.append(fault)
    except Fault as fault:
        faults = [fault]
    if faults:
        raise InvalidInputs([InvalidInput(fault.message, (*base, *fault.path)) for fault in faults[:9]])
    return found


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._bundler = Bundler(document)

    def entries(self) -> Iterator[tuple[str, str]]:
        """Each webhook's section and name."""
        sections = [section for section in ("webhooks", "x-webhooks") if section in self._document.whole]
        if not sections:
            raise Fault("The document has neither webhooks nor x-webhooks.", ())
        seen: set[str] = set()
        for section in sections:
            webhooks = self._document.object((section,))
            if len(webhooks) > MAX_WEBHOOKS:
                raise Fault(f"{section} has {len(webhooks)} entries; at most {MAX_WEBHOOKS} are allowed.", (section,))
            for name in webhooks:
                if name in seen:
                    raise Fault(f"{rules.short(name)} is in webhooks and in x-webhooks.", (section, name))
                seen.add(name)
                yield section, name

    def webhook(self, section: str, name: str) -> Webhook:
        path: Path = (section, name)
        _check(rules.EVENT_TYPE, name, path)
        item, at_item = self._document.resolved(path)
        method = next((method for method in _METHODS if method in item), None)
        operation, at_operation = (item, at_item) if method is None else self._document.resolved((*at_item, method))
        body: dict[str, Any] = {}
        at_body = at_operation
        if method is not None and "requestBody" in operation:
            body, at_body = self._document.resolved((*at_operation, "requestBody"))
        values = {"description": self._description((operation, at_operation), (body, at_body), (item, at_item))}
        values["deprecated"] = _value(operation, "deprecated", at_operation, bool, False)
        schemas, sources = self._schemas(body, at_body)
        extension = _value(operation, EXTENSION, at_operation, dict, {})
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
                text: str = _value(found, name, path, str, "")
                _check(rules.DESCRIPTION, text, (*path, name))
                return text
        return ""

    def _schemas(self, body: dict[str, Any], path: Path) -> tuple[dict[str, Any], dict[str, Source]]:
        contents: dict[str, Any] = _value(body, "content", path, dict, {})
        kind = next((kind for kind in contents if re.match(r"application/(.+\+)?json\b|\*/\*|application/\*", kind.lower())), None)
        if kind is None:
            return {}, {}
        at_media = (*path, "content", kind)
        media = self._document.object(at_media)
        if "schema" not in media:
            return {}, {}
        schema, source = self._bundler.schema((*at_media, "schema"))
        examples = self._examples(media, at_media)
        if examples and "examples" not in schema:
            schema = {**schema, "examples": examples}
        return {"1": schema}, {"1": source}

    def _examples(self, media: dict[str, Any], path: Path) -> list[Any]:
        if "example" in media:
            return [media["example"]]
        named: dict[str, Any] = _value(media, "examples", path, dict, {})
        found = [self._document.resolved((*path, "examples", name))[0] for name in named]
        return [example["value"] for example in found if "value" in example]

    def _versions(
        self, extension: dict[str, Any], path: Path, schemas: dict[str, Any], sources: dict[str, Source]
    ) -> tuple[dict[str, Any], dict[str, Source]]:
        """The schemas by version, where the document is one of ours: the body's is one of them, or stands for one of them."""
        version = _value(extension, "version", path, str, None)
        if version is None and "schemas" not in extension:
            return schemas, sources
        others: dict[str, Any] = _value(extension, "schemas", path, dict, {})
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
                found = _value(extension, name, path, kind, None)
                if kind is list and not all(isinstance(item, int | float) and not isinstance(item, bool) for item in found):
                    raise Fault(f"{name} lists numbers of seconds.", (*path, name))
                if rule is not None:
                    _check(rule, found, (*path, name))
            values[OURS[name]] = found
        return values


def _value(holder: dict[str, Any], name: str, path: Path, kind: type, default: Any) -> Any:
    found = holder.get(name, default)
    if found is not default and not isinstance(found, kind):
        words = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}
        raise Fault(f"{name} is {words[kind]}.", (*path, name))
    return found


def _check(rule: rules.Rule, found: Any, path: Path) -> None:
    for fault in rule.check(found, path):
        raise Fault(fault.message, fault.path)
