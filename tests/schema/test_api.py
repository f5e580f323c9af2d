"""The schema as a whole, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from graphql import get_introspection_query, parse, validate
from schema.api import create_schema, schema


async def test_introspection_can_be_switched_off() -> None:
    for on, refused in ((schema, False), (create_schema(introspection=False), True)):
        errors = (await on.execute("{ __schema { queryType { name } } }")).errors
        assert bool(errors) == refused


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ('{ aplication(id: "a") { id } }', {}),
        ('{ application(id: "a") }', {}),
        ("{ applications(ordr: ASCENDING) { done } }", {}),
        ("query ($order: Orderin) { applications(order: $order) { done } }", {}),
        ("query ($order: Ordering) { applications(order: $order) { done } }", {"order": "ASCENDIN"}),
        ("mutation ($input: ApplicationIn!) { applicationCreate(input: $input) { created } }", {"input": {"name": "n", "uidd": "u"}}),
    ],
)
async def test_names_are_not_suggested_without_introspection(document: str, variables: dict[str, Any]) -> None:
    closed = create_schema(introspection=False)
    for on, suggested in ((schema, True), (closed, False)):
        streamed: Any = await on.stream(document, variable_values=variables)
        for answer in (await on.execute(document, variables), await anext(streamed)):
            assert ("Did you mean" in str(answer.errors)) == suggested


async def test_the_standard_introspection_is_answered_whole() -> None:
    query = get_introspection_query(input_value_deprecation=True)
    answer: Any = await schema.execute(query)
    assert answer.errors is None
    (found,) = [kind for kind in answer.data["__schema"]["types"] if kind["name"] == "EndpointIn"]
    assert {field["name"]: field["defaultValue"] for field in found["inputFields"]}["version"] == "1"


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
