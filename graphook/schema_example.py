"""A value that fits a JSON Schema, the same each time: the schema's own examples where it has some, else something plain."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from graphook.schema_check import SchemaCheck, pattern
from graphook.schema_parts import at, names_referred_to
from graphook.text_example import TooMuch, matching, texts

MAX_PARTS = 2000
MAX_ITEMS = 1000
# Below this, only what is required.
FULL_DEPTH = 6
MAX_DEPTH = 40
MAX_TRIES = 400

_KEYS_OF = {
    "object": ("properties", "required", "patternProperties", "minProperties", "additionalProperties", "propertyNames"),
    "array": ("items", "prefixItems", "minItems", "uniqueItems", "contains"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


class NoExample(Exception):
    """Nothing that fits was found; the message says so to a person."""


def example(schema: dict[str, Any]) -> Any:
    """A value that fits. Raises `NoExample`, and `BadSchema` when nothing can be held against the schema."""
    check = SchemaCheck(schema)
    try:
        for value in _Maker(schema, check).values(schema, 0):
            if check.fits(value):
                return value
    except (TooMuch, RecursionError):
        pass
    raise NoExample("No value that fits the schema was found; give the schema examples.")


class _Maker:
    def __init__(self, root: dict[str, Any], check: SchemaCheck) -> None:
        self._root = root
        self._check = check
        self._parts = 0
        self._tries = 0

    def values(self, schema: Any, depth: int) -> Iterator[Any]:
        """What might fit, the best first. The caller asks whether it does."""
        self._parts += 1
        if self._parts > MAX_PARTS or depth > MAX_DEPTH:
            raise TooMuch
        if schema is False:
            return
        if schema is True or not schema:
            yield {} if depth == 0 else "text"
            return
        for given in self._given(schema):
            if self._fits(given, schema):
                yield given
        for plain in self._alternatives(schema, 0):
            for kind in _kinds(plain):
                yield from self._made(kind, plain, depth)

    def first(self, schema: Any, depth: int) -> Any:
        """The first value that fits a part. Raises `NoExample`."""
        for value in self.values(schema, depth):
            if self._fits(value, schema):
                return value
        raise NoExample

    def _fits(self, value: Any, schema: Any) -> bool:
        self._tries += 1
        if self._tries > MAX_TRIES:
            raise TooMuch
        return isinstance(schema, bool) or self._check.fits(value, schema)

    @staticmethod
    def _given(schema: Mapping[str, Any]) -> Iterator[Any]:
        examples = schema.get("examples")
        if isinstance(examples, list):
            yield from examples[:10]
        for name in ("example", "default", "const"):
            if name in schema:
                yield schema[name]
        if isinstance(schema.get("enum"), list):
            yield from schema["enum"][:50]

    def _alternatives(self, schema: Mapping[str, Any], hops: int) -> Iterator[dict[str, Any]]:
        """The schema without references and combinations: each way to take them, merged into one."""
        if hops > 50:
            raise TooMuch
        plain = {name: value for name, value in schema.items() if name not in ("$ref", "allOf", "anyOf", "oneOf", "if", "then", "else")}
        names = names_referred_to(schema["$ref"]) if isinstance(schema.get("$ref"), str) else None
        whole: list[Any] = [] if names is None else [at(self._root, names)]
        whole += schema.get("allOf", ())
        if any(part is False for part in whole):
            return
        choices = [part for name in ("anyOf", "oneOf") for part in schema.get(name, ())] or [True]
        if "anyOf" in schema and "oneOf" in schema:
            choices = [{"allOf": [a, b]} for a in schema["anyOf"] for b in schema["oneOf"]]
        if "if" in schema:
            branches = [{"allOf": [schema["if"], schema.get("then", True)]}, schema.get("else", True)]
            choices = [{"allOf": [choice, branch]} for choice in choices for branch in branches]
        for choice in choices:
            if choice is False:
                continue
            parts = [part for part in (*whole, choice) if isinstance(part, dict)]
            yield from self._merged(plain, parts, hops)

    def _merged(self, plain: dict[str, Any], parts: list[dict[str, Any]], hops: int) -> Iterator[dict[str, Any]]:
        if not parts:
            yield plain
            return
        for one in self._alternatives(parts[0], hops + 1):
            yield from self._merged(_both(plain, one), parts[1:], hops + 1)

    def _made(self, kind: str, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        if kind == "object":
            yield from self._objects(schema, depth)
        elif kind == "array":
            yield from self._arrays(schema, depth)
        elif kind == "string":
            yield from texts(schema)
        elif kind in ("integer", "number"):
            yield from filter(_is_json, _numbers(schema, whole=kind == "integer"))
        elif kind == "boolean":
            yield from (True, False)
        else:
            yield None

    def _objects(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        required = list(schema.get("required", ()))
        properties = schema.get("properties", {})
        optional = [] if depth >= FULL_DEPTH else [name for name in properties if name not in required]
        found: dict[str, Any] = {}
        for name in (*required, *optional):
            try:
                found[name] = self.first(self._property(schema, name), depth + 1)
            except NoExample:
                if name in required:
                    return
            except TooMuch:
                if name in required or self._parts > 2 * MAX_PARTS:
                    raise
        most = schema.get("maxProperties")
        for name in reversed(optional):
            if isinstance(most, int | float) and len(found) > most:
                found.pop(name, None)
        index = 0
        while len(found) < schema.get("minProperties", 0) and index < MAX_ITEMS:
            index += 1
            for name in self._names(schema, index):
                if name not in found:
                    try:
                        found[name] = self.first(self._property(schema, name), depth + 1)
                    except NoExample:
                        continue
                    break
        yield found
        if optional:
            yield {name: value for name, value in found.items() if name in required}

    def _names(self, schema: Mapping[str, Any], index: int) -> Iterator[str]:
        yield f"property{index}"
        if isinstance(schema.get("propertyNames"), dict):
            yield from (text for text in self.values(schema["propertyNames"], 1) if isinstance(text, str))
        for text in schema.get("patternProperties", ()):
            yield from matching(text, index)

    @staticmethod
    def _property(schema: Mapping[str, Any], name: str) -> Any:
        found = [schema["properties"][name]] if name in schema.get("properties", {}) else []
        found += [part for text, part in schema.get("patternProperties", {}).items() if pattern(text).search(name)]
        if not found:
            found = [schema.get("additionalProperties", {"type": "string"})]
        return found[0] if len(found) == 1 else {"allOf": found}

    def _arrays(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        items = schema.get("items", True)
        leading = items if isinstance(items, list) else schema.get("prefixItems", [])
        rest = schema.get("additionalItems", True) if isinstance(items, list) else items
        least = min(int(schema.get("minItems", 0)), MAX_ITEMS)
        wanted = max(least, len(leading), 1 if depth < FULL_DEPTH and "maxItems" not in schema else 0)
        if isinstance(schema.get("maxItems"), int | float):
            wanted = max(least, min(max(wanted, 1), int(schema["maxItems"])))
        found: list[Any] = []
        contained = schema.get("contains")
        needed = int(schema.get("minContains", 1)) if contained is not None else 0
        for index in range(max(wanted, needed)):
            part = leading[index] if index < len(leading) else rest
            if contained is not None and index < needed:
                part = {"allOf": [part, contained]}
            try:
                found.append(self._another(part, found, depth) if schema.get("uniqueItems") else self.first(part, depth + 1))
            except (NoExample, TooMuch):
                if index < least:
                    raise
                break
        yield found
        if least == 0:
            yield []

    def _another(self, part: Any, others: list[Any], depth: int) -> Any:
        for value in self.values(part, depth + 1):
            if value not in others and self._fits(value, part):
                return value
        kind = next(iter(_kinds(part)), "") if isinstance(part, dict) else "string"
        for index in range(len(others) + 1):
            value = {"string": f"text{index + 1}", "integer": index, "number": index}.get(kind, [index])
            if value not in others and self._fits(value, part):
                return value
        raise NoExample


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A schema that asks for what both ask for, as far as making a value needs."""
    merged = {**one, **other}
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if name == "required":
            merged[name] = list(dict.fromkeys((*a, *b)))
        elif name in ("properties", "patternProperties"):
            merged[name] = {key: {"allOf": [a[key], b[key]]} if key in a and key in b else {**a, **b}[key] for key in (*a, *b)}
        elif name in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
            merged[name] = max(a, b)
        elif name in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
            merged[name] = min(a, b)
        elif name == "type":
            wanted, allowed = _listed(a), _listed(b)
            merged[name] = [kind for kind in wanted if kind in allowed or (kind == "integer" and "number" in allowed)] or [
                kind for kind in allowed if kind == "integer" and "number" in wanted
            ]
        elif name == "enum":
            merged[name] = [value for value in a if value in b]
        elif name == "multipleOf" and isinstance(a, int) and isinstance(b, int):
            merged[name] = math.lcm(a, b)
        elif name in ("items", "additionalProperties", "contains") and not isinstance(a, list) and not isinstance(b, list):
            merged[name] = {"allOf": [a, b]}
        elif name in ("uniqueItems", "nullable"):
            merged[name] = a or b
    return merged


def _listed(kind: Any) -> list[str]:
    return [kind] if isinstance(kind, str) else list(kind)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """The types to try, null last."""
    if "type" in schema:
        return sorted(_listed(schema["type"]), key=lambda kind: kind == "null")
    told = [kind for kind, keys in _KEYS_OF.items() if any(key in schema for key in keys)]
    return [*told, *(kind for kind in ("string", "object", "integer", "array", "boolean", "null") if kind not in told)]


def _is_json(number: int | float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else -(2**63) <= number < 2**64


def _numbers(schema: Mapping[str, Any], *, whole: bool) -> Iterator[int | float]:
    step = schema.get("multipleOf", 1 if whole else None)
    if whole and step is not None and step < 1:
        step = 1
    low = max((schema[name] for name in ("minimum", "exclusiveMinimum") if name in schema), default=None)
    high = min((schema[name] for name in ("maximum", "exclusiveMaximum") if name in schema), default=None)
    yield from (1, 0)
    if step is not None:
        for bound, towards in ((low, 1), (high, -1), (step, 1)):
            if bound is not None and abs(bound / step) < 2**62:
                nearest = math.ceil(bound / step) if towards > 0 else math.floor(bound / step)
                for turn in range(3):
                    number = (nearest + towards * turn) * step
                    if math.isfinite(number):
                        yield int(number) if whole or (isinstance(number, float) and number.is_integer()) else number
    elif low is not None and high is not None:
        yield from (low, high, (low + high) / 2)
    elif low is not None:
        yield from (low, math.floor(low) + 1, low + abs(low) * 0.5)
    elif high is not None:
        yield from (high, math.ceil(high) - 1, high - abs(high) * 0.5)
