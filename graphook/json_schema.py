"""Whether something is a JSON Schema, found without letting its author choose how long that takes."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import create

from graphook.schema_parts import parts

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"
# What OpenAPI 3.1 calls its own is 2020-12 with words that say nothing of a value.
_KNOWN = re.compile(
    r"https?://json-schema\.org/draft-07/schema#?|"
    r"(?P<new>https?://json-schema\.org/draft/2020-12/schema#?|https://spec\.openapis\.org/oas/3\.1/dialect/[\w-]+)"
)

Fault = tuple[str, tuple[str, ...]]

# The library repeats values in Python's words, at the beginning of a message: texts are quoted there.
WORDS = {"None": "null", "True": "true", "False": "false"}

_TYPES = 7
# Each takes the library up to a millisecond.
_PARTS = 2000
_VALUES = frozenset(("enum", "const", "default", "examples"))

# What later drafts brought is common in schemas that name none, and references lead into it: it has the form that those drafts give it.
_SCHEMA = {"$ref": "#"}
_SCHEMAS_BY_NAME = {"type": "object", "additionalProperties": _SCHEMA}
_LATER = {
    "$defs": _SCHEMAS_BY_NAME,
    "dependentSchemas": _SCHEMAS_BY_NAME,
    "dependentRequired": {"type": "object", "additionalProperties": {"$ref": "#/definitions/stringArray"}},
    "prefixItems": {"$ref": "#/definitions/schemaArray"},
    "unevaluatedItems": _SCHEMA,
    "unevaluatedProperties": _SCHEMA,
    "minContains": {"$ref": "#/definitions/nonNegativeInteger"},
    "maxContains": {"$ref": "#/definitions/nonNegativeInteger"},
}
_META_7: dict[str, Any] = dict(Draft7Validator.META_SCHEMA)
_Draft7 = create({**_META_7, "properties": {**_META_7["properties"], **_LATER}}, Draft7Validator.VALIDATORS)


def is_new(draft: Any) -> bool | None:
    """Whether this names draft 2020-12; False for Draft 7, and None for anything else."""
    named = _KNOWN.fullmatch(draft) if isinstance(draft, str) else None
    return None if named is None else named["new"] is not None


def draft_fault(schema: dict[str, Any]) -> Fault | None:
    """Where the schema, or a part of it, names a draft that it would not be read as; None when that is nowhere."""
    new = is_new(schema.get("$schema", DRAFT_7))
    for part, path in parts(schema):
        if "$schema" in part and (new is None or is_new(part["$schema"]) is not new):
            return f"$schema is {DRAFT_7} or {DRAFT_2020_12}, the same in every part", (*path, "$schema")
    return None


def fault(schema: dict[str, Any]) -> Fault | None:
    """What makes this no JSON Schema of draft 2020-12, where it names that, else of Draft 7, and where; None when it is one."""
    found = _too_costly(schema)
    if found is not None:
        return found
    draft = Draft202012Validator if is_new(schema.get("$schema")) else _Draft7
    try:
        draft.check_schema(schema)
    except SchemaError as error:
        inner = _innermost(error)
        return told(inner), tuple(str(step) for step in inner.absolute_path)
    except RecursionError:  # a pattern of nothing but parentheses
        return "it is nested too deeply", ()
    return None


def told(error: SchemaError | ValidationError) -> str:
    """What the library says is wrong, in the words of JSON."""
    if error.validator is None:  # where the schema is `false`
        return "nothing is allowed here"
    first, space, more = error.message.partition(" ")
    return WORDS.get(first, first) + space + more


def _innermost(error: SchemaError | ValidationError) -> SchemaError | ValidationError:
    """What is wrong within one of several forms, such as a list for `items`, instead of that none of them fits."""
    while within := [found for found in error.context or () if len(found.absolute_path) > len(error.absolute_path)]:
        error = within[0]
    return error


def _too_costly(schema: dict[str, Any]) -> Fault | None:
    """What would hold the library up: too many parts, or a list of names holding something else, whose items it compares each with each."""
    parts = 0
    waiting: list[tuple[Any, tuple[str, ...]]] = [(schema, ())]
    while waiting:
        value, path = waiting.pop()
        parts += 1
        if parts > _PARTS:
            return f"it has more than {_PARTS} parts", ()
        if isinstance(value, dict):
            for name, item in value.items():
                where = (*path, name)
                names = [item] if name in ("type", "required") else []
                names += item.values() if name in ("dependencies", "dependentRequired") and isinstance(item, dict) else []
                if any(isinstance(found, list) and not all(isinstance(text, str) for text in found) for found in names):
                    return f"{name} lists names, and nothing else", where
                if name == "type" and isinstance(item, list) and len(item) > _TYPES:
                    return f"type lists at most {_TYPES} types", where
                if name not in _VALUES and isinstance(item, dict | list):
                    waiting.append((item, where))
        elif isinstance(value, list):
            waiting += [(item, (*path, str(index))) for index, item in enumerate(value) if isinstance(item, dict | list | bool)]
    return None
