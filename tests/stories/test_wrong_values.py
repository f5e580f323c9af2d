"""Every place of every argument, as the schema has them, with a value of another kind: refused at that place, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    get_named_type,
    type_from_ast,
)
from schema.api import schema
from tests.arguments import of_every_operation, replaced
from tests.conftest import organisation_of
from tests.deployment import Deployment
from tests.operations import operations
from tests.stories.test_bad_inputs import count
from tests.stories.test_hostile_arguments import SUBSCRIPTIONS, _operation
from tests.tenant import Refused, Tenant

Path = tuple[str | int, ...]

# Type → what it does not take; any JSON is JSON.
WRONG: dict[str, list[Any]] = {
    "Boolean": ["true", 1],
    "Color": [5],
    "DateTime": ["yesterday", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00", 0],
    "Float": ["1", True],
    "ID": [1.5, True, {}],
    "Int": ["1", 1.5, 2**31],
    "Int64": ["1", 1.5, 2**54],
    "JSON": [],
    "String": [5, ["a", "b"]],
    "StringMap": ["a", {"a": 5}],
    "URL": [5],
    "an input": ["text", 5, []],
}


def wrongs(kind: GraphQLInputType, value: Any, path: Path) -> Iterator[tuple[Path, Any, Path]]:
    """Places of a value of that type, what is wrong there, and where the error says that it is."""
    if isinstance(kind, GraphQLNonNull):
        yield path, None, path
        kind = kind.of_type
    if isinstance(kind, GraphQLList):
        yield path, [None], (*path, 0)
        if getattr(get_named_type(kind), "name", "") != "JSON":
            yield path, [[["a"]]], (*path, 0)
        if value:
            yield from wrongs(kind.of_type, value[0], (*path, 0))
    elif isinstance(kind, GraphQLInputObjectType):
        yield from ((path, wrong, path) for wrong in WRONG["an input"])
        if value is not None:
            yield path, {**value, "noSuchField": 1}, (*path, "noSuchField")
            for name, field in kind.fields.items():
                yield from wrongs(field.type, value[name], (*path, name))
    elif isinstance(kind, GraphQLEnumType):
        yield from ((path, found, path) for found in ("NONE_OF_THEM", next(iter(kind.values)).lower(), 5))
    else:
        yield from ((path, found, path) for found in WRONG[getattr(kind, "name", "")])


async def test_a_value_of_another_kind_is_refused_at_its_place_and_nothing_is_written(deployment: Deployment, acme: Tenant) -> None:
    every = await of_every_operation(acme)
    org_id = await organisation_of(deployment, {"id": every["Application"]["id"]})
    before = await count(deployment, org_id)

    for name in sorted(set(operations()) - SUBSCRIPTIONS):
        for variable in _operation(name).variable_definitions or ():
            argument = variable.variable.name.value
            kind: Any = type_from_ast(schema._schema, variable.type)
            for place, wrong, told in wrongs(kind, every[name][argument], (argument,)):
                with pytest.raises(Refused) as refused:
                    await acme.run(name, **replaced(every[name], place, wrong))
                found = [(error["extensions"]["code"], error["extensions"]["path"]) for error in refused.value.errors]
                assert found == [("BAD_USER_INPUT", [str(key) for key in told])], (name, place, wrong)
        assert await count(deployment, org_id) == before, name
