"""The schemas of an event type, by version: what may be written, and which is the newest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from graphook import json_schema, rules, strict_json
from graphook.errors import InvalidInput

MAX_BYTES = 256 * 1024


def faults(schemas: Any, path: rules.Path) -> Iterator[InvalidInput]:
    """Each version's schema must be a valid JSON Schema of Draft 7 or 2020-12, as its `$schema` says (Draft 7 when it has none)."""
    if not isinstance(schemas, dict):
        yield InvalidInput("schemas is an object of JSON Schemas by version.", path)
        return
    if len(strict_json.dumps(schemas)) > MAX_BYTES:
        yield InvalidInput(f"schemas has more than {MAX_BYTES} bytes as JSON.", path)
        return
    if not rules.is_storable(list(schemas)):
        yield InvalidInput("schemas holds characters that cannot be stored.", path)
        return
    for version, schema in schemas.items():
        found = _fault(schema)
        if found is not None:
            message, where = found
            yield InvalidInput(f"This is not a valid JSON Schema: {message[:200]}", (*path, version, *where))


def _fault(schema: Any) -> json_schema.Fault | None:
    if not isinstance(schema, dict):
        return "it is not an object", ()
    if not rules.is_storable(schema):
        return "it holds characters that cannot be stored", ()
    return json_schema.draft_fault(schema) or json_schema.fault(schema)


def newest(schemas: Mapping[str, Any] | None) -> str | None:
    """The highest version: 10 is above 9, and v2 above v1; None when there is none."""
    return max(schemas, key=_rank) if schemas else None


def _rank(version: str) -> tuple[list[tuple[int, int, str]], str]:
    runs = re.findall(r"[0-9]+|[^0-9]+", version)
    return [(1, int(run[:18]), "") if run.isdecimal() else (0, 0, run) for run in runs], version
