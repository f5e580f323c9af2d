"""Whether a JSON value fits a schema, found within a budget of steps and with patterns that take linear time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any

import orjson
import re2
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from graphook.json_schema import WORDS, Fault, fault, is_new, told
from graphook.schema_parts import Path, names_referred_to, parts, rebuilt

# A keyword applied to a value is a step; some microseconds, twenty where recursion is deep.
MAX_STEPS = 100_000
MAX_FAULTS = 9

# What the library finds in ways of its own, beside the budget, or that would let it leave the schema.
_REFUSED = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20

_steps: ContextVar[list[int]] = ContextVar("steps")


class BadSchema(Exception):
    """Values cannot be held against the schema. `path` is the place in it."""

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class _Spent(Exception):
    """The budget is used up."""


class SchemaCheck:
    """A schema made ready to hold values against it. Raises `BadSchema`."""

    def __init__(self, schema: dict[str, Any]) -> None:
        found = fault(schema) or _unsupported(schema)
        if found is not None:
            raise BadSchema(*found)
        draft = _NEW if is_new(schema.get("$schema")) else _OLD
        # The library would choose its own validator by a part's `$schema`.
        bare = rebuilt(schema, lambda part, _: {name: value for name, value in part.items() if name not in ("$schema", "$id", "id")})
        places = {None, *(path for _, path in parts(bare))}
        self._validator = draft(_quiet(bare), registry=EMPTY_REGISTRY)
        for part, path in parts(bare):
            if isinstance(part.get("$ref"), str):
                try:
                    target = self._validator._resolver.lookup(part["$ref"]).contents
                except Unresolvable as error:
                    raise BadSchema("it refers to something that it does not have", (*path, "$ref")) from error
                # What is elsewhere, as in an enum, was not found to be a schema.
                if not isinstance(target, bool) and names_referred_to(part["$ref"]) not in places:
                    raise BadSchema("it refers to something that is no schema: put it under definitions or $defs", (*path, "$ref"))
        circle = _circle(bare)
        if circle is not None:
            raise BadSchema("a reference leads back to itself without going on into the value", (*circle, "$ref"))

    def faults(self, value: Any) -> list[Fault]:
        """What does not fit, each with its path in the value; at most nine."""
        return self._run(lambda: [_told(error) for error in islice(self._validator.iter_errors(_quiet(value)), MAX_FAULTS)])

    def fits(self, value: Any, part: Any = None) -> bool:
        """Whether a value fits the schema, or a part of it."""
        validator = self._validator if part is None else self._validator.evolve(schema=_quiet(part))
        return not self._run(lambda: [_told(error) for error in islice(validator.iter_errors(_quiet(value)), 1)])

    @staticmethod
    def _run(find: Callable[[], list[Fault]]) -> list[Fault]:
        token = _steps.set([MAX_STEPS])
        try:
            return find()
        except (_Spent, RecursionError):
            return [("it takes too long to find out whether it fits", ())]
        except (Unresolvable, re2.error):
            return [("the schema refers to something that it does not have", ())]
        finally:
            _steps.reset(token)


def _told(error: ValidationError) -> Fault:
    return told(error)[:200], tuple(str(step) for step in error.absolute_path)


@lru_cache(1024)
def pattern(text: str) -> Any:
    """A pattern of a schema, compiled to a machine that takes linear time. Raises `re2.error`."""
    return re2.compile(re.sub(r"(?<!\\)((?:\\\\)*)\\u([0-9a-fA-F]{4})", r"\1\\x{\2}", text), options=_OPTIONS)


def _unsupported(schema: dict[str, Any]) -> Fault | None:
    for part, path in parts(schema):
        for name in _REFUSED:
            if name in part:
                return f"payloads cannot be held against {name}", (*path, name)
        if path and ("$id" in part or ("id" in part and isinstance(part["id"], str))):
            return "only the whole schema has an id where payloads are held against it", path
        reference = part.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            return "a reference stays within the schema: it begins with #", (*path, "$ref")
        texts = [((*path, "pattern"), part["pattern"])] if isinstance(part.get("pattern"), str) else []
        texts += [((*path, "patternProperties", text), text) for text in part.get("patternProperties", ())]
        for where, text in texts:
            try:
                pattern(text)
            except re2.error:
                return "a pattern has no look-around and no back references, so that it takes linear time", where
    return None


def _circle(schema: dict[str, Any]) -> Path | None:
    """A part with a reference by which the same value would be held against that part again, and so on; None when there is none."""
    found = list(parts(schema))
    anchors = {part[name]: path for part, path in found for name in ("$anchor", "$dynamicAnchor") if isinstance(part.get(name), str)}
    leads = {path: list(_of_the_same_value(part, path)) for part, path in found}
    references: dict[Path, str] = {path: part["$ref"] for part, path in found if isinstance(part.get("$ref"), str)}
    for path, reference in references.items():
        target = names_referred_to(reference)
        leads[path].append(anchors.get(reference[1:], ("",)) if target is None else target)
    try:
        TopologicalSorter(leads).prepare()
    except CycleError as error:
        return min(path for path in references if path in error.args[1])
    return None


def _of_the_same_value(part: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Where the schemas are that a value is held against together with this one."""
    for name in ("allOf", "anyOf", "oneOf"):
        yield from ((*path, name, str(index)) for index in range(len(part.get(name, ()))))
    for name in ("dependencies", "dependentSchemas"):
        yield from ((*path, name, key) for key in part.get(name, ()))
    for name in ("not", "if", "then", "else"):
        yield (*path, name)


# The library's messages repeat values whole; these say what they are instead.


class _Object(dict[str, Any]):
    def __repr__(self) -> str:
        return "the object"


class _Array(list[Any]):
    def __repr__(self) -> str:
        return "the list"


class _Short(list[Any]):
    def __repr__(self) -> str:
        return f"[{', '.join(WORDS.get(repr(item), repr(item)) for item in self)}]"


class _Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "the text"


def _quiet(value: Any) -> Any:
    """A copy that says little of itself, in which a whole number is an integer."""
    if isinstance(value, dict):
        return _Object((name, _quiet(item)) for name, item in value.items())
    if isinstance(value, list):
        short = len(value) <= 10 and not any(isinstance(item, dict | list) for item in value)
        return (_Short if short else _Array)(_quiet(item) for item in value)
    if isinstance(value, str):
        return value if len(value) <= 60 else _Text(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value


# Keywords


def _spend(steps: int) -> None:
    left = _steps.get()
    left[0] -= steps
    if left[0] < 0:
        raise _Spent


def _pattern(validator: Any, text: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str):
        _spend(len(instance) // 1000)
        if not pattern(text).search(str(instance)):
            yield ValidationError(f"{instance!r} does not match {text!r}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for text, part in patterns.items():
            _spend(len(instance))
            for name, value in instance.items():
                if pattern(text).search(name):
                    yield from validator.descend(value, part, path=name, schema_path=text)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        known, texts = schema.get("properties", {}), list(schema.get("patternProperties", ()))
        _spend(len(instance) * (1 + len(texts)))
        for name, value in instance.items():
            if name in known or any(pattern(text).search(name) for text in texts):
                continue
            if allowed is False:
                yield ValidationError(f"{name[:60]!r} is not allowed here")
            else:
                yield from validator.descend(value, allowed, path=name)


def _additional_items(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    # The library counts the items of `true` and `false`, too.
    if isinstance(schema.get("items"), list):
        yield from Draft7Validator.VALIDATORS["additionalItems"](validator, allowed, instance, schema)


def _unique_items(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if unique and isinstance(instance, list):
        texts = [orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in instance]
        _spend(len(texts) + sum(map(len, texts)) // 100)
        if len(set(texts)) < len(texts):
            yield ValidationError(f"{instance!r} holds something twice")


_OURS = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "additionalItems": _additional_items,
    "uniqueItems": _unique_items,
}


def _counted(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        _spend(1)
        return keyword(validator, value, instance, schema)

    return check


def _limited(draft: Any) -> Any:
    return extend(  # type: ignore[no-untyped-call]
        draft, {name: _counted(_OURS.get(name, keyword)) for name, keyword in draft.VALIDATORS.items()}
    )


_OLD = _limited(Draft7Validator)
_NEW = _limited(Draft202012Validator)
