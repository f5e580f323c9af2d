"""The schema as a whole, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from strawberry.types.graphql import OperationType

from graphook.execution import Execution
from graphql import get_introspection_query, parse, validate
from schema.api import create_schema, schema


async def test_introspection_can_be_switched_off_and_names_are_not_suggested_then() -> None:
    closed = create_schema(introspection=False)

    async def message(on: Any, query: str) -> str:
        errors = (await on.execute(query)).errors
        return str(errors[0].message) if errors else ""

    assert await message(schema, "{ __schema { queryType { name } } }") == ""
    assert "introspection" in await message(closed, "{ __schema { queryType { name } } }")
    assert "Did you mean 'application'" in await message(schema, '{ aplication(id: "a") { id } }')
    assert "Did you mean" not in await message(closed, '{ aplication(id: "a") { id } }')


async def test_the_standard_introspection_is_answered_whole() -> None:
    query = get_introspection_query(input_value_deprecation=True)
    at_once: Any = await Execution(schema).run(query, None, None, None, {OperationType.QUERY})
    streamed: Any = await schema.execute(query)
    for answer in (at_once, streamed):
        assert answer.errors is None
        (found,) = [kind for kind in answer.data["__schema"]["types"] if kind["name"] == "ApplicationIn"]
        assert {field["name"]: field["defaultValue"] for field in found["inputFields"]}["metadata"] == "{  }"


@pytest.mark.parametrize(
    "document",
    [
        '{ applicationAttemptStats(appId: "a", startDate: |"yesterday") { period } }',
        '{ applicationAttemptStats(appId: "a", startDate: |5) { period } }',
        'mutation { endpointCreate(appId: "a", input: { url: |5 }) { created } }',
        'mutation { endpointCreate(appId: "a", input: { url: "https://a.example.com/", metadata: |{ a: 1 } }) { created } }',
        'mutation { messageCreate(appId: "a", input: { eventType: "a", payload: |{ a: 99999999999999999999 } }) { created } }',
        "mutation { environmentUpdateSettings(input: { customColor: |5 }) { errors { code } } }",
    ],
)
def test_a_literal_that_is_refused_says_where_it_stands(document: str) -> None:
    (error,) = validate(schema._schema, parse(document.replace("|", "")))

    assert error.locations is not None
    assert [(place.line, place.column) for place in error.locations] == [(1, document.index("|") + 1)]
    assert error.extensions == {"code": "BAD_USER_INPUT"}
