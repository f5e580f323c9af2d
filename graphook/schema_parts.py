"""The schemas within a JSON Schema, told apart from the data in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

Path = tuple[str, ...]

# What these hold is schemas by name, a list of schemas, or one; `items` may be either of the last two.
_BY_NAME = frozenset(("properties", "patternProperties", "definitions", "$defs", "dependentSchemas", "dependencies"))
_LISTED = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
_SINGLE = frozenset(
    "items additionalItems unevaluatedItems contains additionalProperties unevaluatedProperties propertyNames not if then else".split()
)


def rebuilt(schema: Any, change: Callable[[dict[str, Any], Path], dict[str, Any]], path: Path = ()) -> Any:
    """A copy in which every schema went through `change`, which gets it with its path, the inner ones first. Data stays as it is."""
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _BY_NAME and isinstance(value, dict):
            copy[name] = {key: rebuilt(item, change, (*path, name, key)) for key, item in value.items()}
        elif name in _LISTED and isinstance(value, list):
            copy[name] = [rebuilt(item, change, (*path, name, str(index))) for index, item in enumerate(value)]
        elif name in _SINGLE:
            copy[name] = rebuilt(value, change, (*path, name))
        else:
            copy[name] = value
    return change(copy, path)


def parts(schema: Any) -> Iterator[tuple[dict[str, Any], Path]]:
    """Every schema within a schema, itself too, with its path."""
    found: list[tuple[dict[str, Any], Path]] = []

    def note(part: dict[str, Any], path: Path) -> dict[str, Any]:
        found.append((part, path))
        return part

    rebuilt(schema, note)
    yield from found


def names_of(pointer: str) -> Path:
    """The steps of a JSON pointer such as `/$defs/a~1b`."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def names_referred_to(reference: str) -> Path | None:
    """The steps of a `$ref` that begins with #; None for one that names an anchor."""
    pointer = unquote(reference[1:])
    return None if pointer and not pointer.startswith("/") else names_of(pointer)


def pointer_of(path: Path) -> str:
    """The JSON pointer of some steps."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def at(value: Any, path: Path) -> Any:
    """What is at a path. Raises `KeyError` when nothing is."""
    for step in path:
        if isinstance(value, dict):
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and len(step) < 10 and int(step) < len(value):
            value = value[int(step)]
        else:
            raise KeyError(step)
    return value
