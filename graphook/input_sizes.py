"""The limits on a request's variables: how many items a list of inputs has, and how many fields an object, held before any of them is looked at.

What is wrong costs many times what is right, since graphql-core shows the whole of it with each of fifty faults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphook.rules import Path, named
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLSchema,
    OperationDefinitionNode,
    get_nullable_type,
    is_input_type,
    type_from_ast,
)

MAX_ITEMS = 10_000
MAX_NAME = 1000

# What is too large in a value of one type, and where within it; None when nothing is.
Look = Callable[[Any], tuple[Path, str] | None]


def looks(schema: GraphQLSchema, document: DocumentNode) -> list[tuple[str, Look]]:
    """The variables of the document that hold lists or objects, each with what looks at its size."""
    found = []
    for operation in document.definitions:
        for definition in (operation.variable_definitions or ()) if isinstance(operation, OperationDefinitionNode) else ():
            of = type_from_ast(schema, definition.type)
            look = _look(of) if is_input_type(of) else None
            if look is not None:
                found.append((definition.variable.name.value, look))
    return found


def oversize(variables: Mapping[str, Any], at: list[tuple[str, Look]]) -> GraphQLError | None:
    """The first thing in the variables that is too large, as the error it is refused with."""
    for name, look in at:
        found = look(variables.get(name))
        if found is not None:
            path: Path = (name, *found[0])
            return GraphQLError(f"{named(path)} has {found[1]}", extensions={"code": "BAD_USER_INPUT", "path": list(path)})
    return None


def _look(of: Any) -> Look | None:
    of = get_nullable_type(of)
    if isinstance(of, GraphQLList):
        return _of_list(_look(of.of_type))
    return _of_object(of) if isinstance(of, GraphQLInputObjectType) else None


def _of_list(item: Look | None) -> Look:
    def look(value: Any) -> tuple[Path, str] | None:
        if not isinstance(value, list):  # it stands for a list of one
            return None if item is None else item(value)
        if len(value) > MAX_ITEMS:
            return (), f"{len(value)} items; at most {MAX_ITEMS} are allowed."
        for index, given in enumerate(value if item is not None else ()):
            found = item(given) if item is not None else None
            if found is not None:
                return (str(index), *found[0]), found[1]
        return None

    return look


def _of_object(of: GraphQLInputObjectType) -> Look:
    inner = [(name, within) for name, known in of.fields.items() if (within := _look(known.type)) is not None]

    def look(value: Any) -> tuple[Path, str] | None:
        if not isinstance(value, dict):
            return None
        if len(value) > MAX_ITEMS:
            return (), f"{len(value)} fields; there are {len(of.fields)}."
        longest = max(map(len, value), default=0)
        if longest > MAX_NAME:
            return (), f"a field with a name of {longest} characters; there is none."
        for name, within in inner:
            found = within(value[name]) if name in value else None
            if found is not None:
                return (name, *found[0]), found[1]
        return None

    return look
