"""How fields are declared: described in place, with the rule an input value keeps."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from enum import Enum
from functools import wraps
from itertools import islice
from typing import Any, TypeVar, cast

import strawberry
from strawberry import UNSET
from strawberry.utils.str_converters import to_camel_case

from graphook.errors import InvalidInput, InvalidInputs
from graphook.rules import Path, Rule

E = TypeVar("E", bound=Enum)
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def field(description: str, **options: Any) -> Any:
    """A described field of an output type."""
    return strawberry.field(description=description, **options)


def computed(description: str) -> Callable[[F], F]:
    """A field that a method answers; a typed form of Strawberry's decorator."""

    def decorate(method: F) -> F:
        return cast(F, strawberry.field(description=description)(method))

    return decorate


def operation(resolver: Callable[..., Any], *, deprecated: str | None = None) -> Any:
    """A root field, described by its resolver's docstring."""
    return _with_arguments(strawberry.field(resolver=resolver, description=inspect.getdoc(resolver), deprecation_reason=deprecated))


def subscription(resolver: Callable[..., AsyncGenerator[T, None]]) -> Any:
    """A root subscription field, described by its resolver's docstring. It takes one of the organisation's places, over whatever transport."""

    @wraps(resolver)
    async def seated(**arguments: Any) -> AsyncGenerator[T, None]:
        context = arguments["info"].context
        with context.services.subscriptions.held(context.caller.org_id, context.caller.app_id):
            async with aclosing(resolver(**arguments)) as events:
                async for event in events:
                    context.forget_before_event()
                    yield event

    return _with_arguments(strawberry.subscription(resolver=seated, description=inspect.getdoc(resolver)))


# An argument that does not describe itself means the same in every operation.
_ARGUMENTS = {
    "app_id": "The application's id or uid.",
    "endpoint_id": "The endpoint's id or uid.",
    "integration_id": "The integration's id.",
    "message_id": "The message's id or event id.",
    "template_id": "The template's id.",
    "id": "Its id, or your own id for it where it has one.",
    "ids": "The ids, at most 100.",
    "name": "The event type's name.",
    "input": "What to write.",
    "inputs": "What to write, 1 to 500 of them.",
    "filter": "What to leave out.",
    "order": "Whether to begin with the oldest or the newest; event types by name.",
    "include_archived": "Whether archived ones are listed too.",
    "get_if_exists": "Whether one that has this uid already is answered instead of a CONFLICT.",
    "status": "Only those with this status.",
    "task": "Only those of this kind.",
    "expunge": "Whether to forget it instead of archiving it.",
    "idempotency_key": "Repeating a request with the same key does nothing twice: 1 to 256 characters. The header Idempotency-Key also does.",
}


def _with_arguments(declared: Any) -> Any:
    for argument in declared.arguments:
        if argument.description is None:
            argument.description = _ARGUMENTS[argument.python_name]
    return declared


def enumeration(kind: type[E], description: str, values: dict[E, str], *, name: str | None = None) -> None:
    """Make an enum one of the schema, each of its values described; lower layers keep theirs free of GraphQL."""
    strawberry.enum(kind, name=name, description=description)
    for item in cast(Any, kind).__strawberry_definition__.values:
        item.description = values[kind[item.name]]


def value(description: str, rule: Rule | None = None, *, default: Any = UNSET, absent: Any = None, nullable: bool = True) -> Any:
    """A field of an input. Without a default it may be absent; `nullable=False` then still refuses an explicit null.

    `absent` makes what it then holds, for what cannot be a default in the schema: clients cannot print an object of a scalar.
    """
    kept = rule.describe() if rule is not None else ""
    text = f"{description} Rule: {kept}." if kept else description
    metadata = {"rule": rule, "nullable": nullable}
    if absent is None:
        return strawberry.field(description=text, metadata=metadata, default=default)
    found: Any = strawberry.field(description=text, metadata=metadata, default_factory=absent)
    found.default_value = UNSET  # what the schema shows
    return found


def required(description: str, rule: Rule | None = None) -> Any:
    """A field of an input that must be there."""
    return value(description, rule, default=dataclasses.MISSING, nullable=False)


_known: dict[type, list[tuple[str, str, Rule | None, bool]]] = {}


def _described(kind: type) -> list[tuple[str, str, Rule | None, bool]]:
    """Per field of an input: its Python name, its name in the API, the rule of its values and whether it may be null."""
    if kind not in _known:
        fields = dataclasses.fields(kind)
        _known[kind] = [(f.name, to_camel_case(f.name), f.metadata.get("rule"), f.metadata.get("nullable", True)) for f in fields]
    return _known[kind]


def given(data: Any) -> dict[str, Any]:
    """What an input holds, by Python name: absent fields are left out, nested inputs stay as they are."""
    return {name: found for name, *_ in _described(type(data)) if (found := getattr(data, name)) is not UNSET}


def faults(data: Any, path: Path = ("input",)) -> Iterator[InvalidInput]:
    """What breaks a rule in an input and the inputs within it, with paths in the names of the API."""
    for name, shown, rule, nullable in _described(type(data)):
        found = getattr(data, name)
        if found is UNSET:
            continue
        if found is None:
            if not nullable:
                yield InvalidInput(f"{shown} cannot be null; leave it out instead.", (*path, shown))
        elif rule is not None:
            yield from rule.check(found, (*path, shown))
        elif dataclasses.is_dataclass(found):
            yield from faults(found, (*path, shown))
        elif isinstance(found, list) and found and dataclasses.is_dataclass(found[0]):
            for index, item in enumerate(found):
                yield from faults(item, (*path, shown, str(index)))


def check(data: Any, path: Path = ("input",)) -> None:
    """Raise `InvalidInputs` with everything that breaks a rule."""
    refuse(faults(data, path))


def refuse(found: Iterator[InvalidInput]) -> None:
    """Raise `InvalidInputs` if there is any fault."""
    listed = list(islice(found, 9))
    if listed:
        raise InvalidInputs(listed)


def check_value(rule: Rule, found: Any, path: Path) -> None:
    """Raise `InvalidInputs` if a single argument breaks its rule."""
    refuse(rule.check(found, path))
