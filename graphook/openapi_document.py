"""A document of OpenAPI 3.0 or 3.1: what is at its places, past references that stay within it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from graphook import rules, strict_json
from graphook.schema_parts import Path, at, names_of

MAX_DEPTH = 160


class Fault(Exception):
    """What is wrong with a document, and at which place in it."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Document:
    """`is_old` is true of OpenAPI 3.0, whose schemas are of a form of their own. Everything raises `Fault`, also the making of it."""

    def __init__(self, whole: Any) -> None:
        if not isinstance(whole, dict):
            raise Fault("An OpenAPI document is an object.", ())
        if strict_json.depth_exceeds(strict_json.dumps(whole), MAX_DEPTH):
            raise Fault(f"The document is nested more than {MAX_DEPTH} levels deep.", ())
        version = whole.get("openapi")
        form = re.fullmatch(r"3\.([01])(\.[0-9]+)?([-+.][\w.+-]+)?", version) if isinstance(version, str) else None
        if form is None:
            raise Fault("openapi is a version from 3.0 to 3.1.", ("openapi",))
        self.whole = whole
        self.is_old = form[1] == "0"

    def object(self, path: Path) -> dict[str, Any]:
        """The object at a place that there is."""
        found = at(self.whole, path)
        if not isinstance(found, dict):
            raise Fault(f"{path[-1]} is an object.", path)
        return found

    def resolved(self, path: Path) -> tuple[dict[str, Any], Path]:
        """The object at a place, past its references, and where that is."""
        seen: set[Path] = set()
        while True:
            found = self.object(path)
            if not isinstance(found.get("$ref"), str):
                return found, path
            path = self._followed(found["$ref"], path, seen)

    def schema(self, path: Path) -> tuple[dict[str, Any] | bool, Path]:
        """The schema at a place, past what is nothing but a reference, and where that is."""
        seen: set[Path] = set()
        while True:
            found = at(self.whole, path)
            if not isinstance(found, dict | bool):
                raise Fault("A schema is an object.", path)
            if isinstance(found, bool) or not isinstance(found.get("$ref"), str) or (len(found) > 1 and not self.is_old):
                return found, path
            path = self._followed(found["$ref"], path, seen)

    def target(self, reference: str, path: Path) -> Path:
        """The place in this document that a `$ref` at a place points to."""
        if reference != "#" and not reference.startswith("#/"):
            raise Fault("A reference stays within the document: it begins with #/.", (*path, "$ref"))
        target = names_of(unquote(reference[1:]))
        try:
            at(self.whole, target)
        except KeyError:
            raise Fault(f"There is nothing at {rules.short(reference)}.", (*path, "$ref")) from None
        return target

    def _followed(self, reference: str, path: Path, seen: set[Path]) -> Path:
        if path in seen:
            raise Fault("The reference leads to itself.", (*path, "$ref"))
        seen.add(path)
        return self.target(reference, path)
