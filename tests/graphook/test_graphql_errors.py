"""Errors about variables: where they are, and what they keep to themselves."""

from __future__ import annotations

from typing import Any

import pytest

from schema.api import schema

ENDPOINT = 'mutation ($input: EndpointIn!) { endpointCreate(appId: "x", input: $input) { created } }'
MESSAGE = 'mutation ($input: MessageIn!) { messageCreate(appId: "x", input: $input) { created } }'
LIST = "query ($order: Ordering!) { applications(order: $order) { done } }"


@pytest.mark.parametrize(
    ("document", "variables", "path"),
    [
        (ENDPOINT, {}, ["input"]),
        (ENDPOINT, {"input": None}, ["input"]),
        (ENDPOINT, {"input": {}}, ["input", "url"]),
        (ENDPOINT, {"input": {"url": None}}, ["input", "url"]),
        (ENDPOINT, {"input": {"url": "x", "unknown": 1}}, ["input", "unknown"]),
        (ENDPOINT, {"input": {"url": "x", "urll": 1}}, ["input", "urll"]),
        *[(ENDPOINT, {"input": {"url": "x", name: 1}}, ["input", name]) for name in ("no name", "a.b", "it's", "", "two\nlines", "url ")],
        (ENDPOINT, {"input": {"url": "x", "channels": ["a", 5]}}, ["input", "channels", "1"]),
        (ENDPOINT, {"input": {"url": "x", "description": ["at .elsewhere: "]}}, ["input", "description"]),
        (MESSAGE, {"input": {"eventType": "x", "application": {}}}, ["input", "application", "name"]),
        (LIST, {"order": "SIDEWAYS"}, ["order"]),
    ],
)
async def test_the_error_of_a_wrong_variable_names_its_path(document: str, variables: dict[str, Any], path: list[str]) -> None:
    answer: Any = await schema.execute(document, variable_values=variables)
    (error,) = answer.errors
    assert error.extensions == {"code": "BAD_USER_INPUT", "path": path}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"input": None}, "Expected value of non-null type 'EndpointIn!' not to be null."),
        ({"input": {"url": "x", "channels": [None]}}, "Expected value of non-null type 'String!' not to be null."),
    ],
)
async def test_what_is_null_is_called_so(variables: dict[str, Any], said: str) -> None:
    answer: Any = await schema.execute(ENDPOINT, variable_values=variables)
    assert [error.message.partition(": ")[2] for error in answer.errors] == [said]


@pytest.mark.parametrize("beside", [{}, *[{"url": "x", name: 1} for name in ("unknown", "urll", "no name", "")]])
async def test_the_error_of_one_value_does_not_repeat_those_beside_it(beside: dict[str, Any]) -> None:
    secret = "whsec_" + "QUJD" * 8
    answer: Any = await schema.execute(ENDPOINT, variable_values={"input": {"secret": secret, **beside}})
    assert secret not in str(answer.errors)


@pytest.mark.parametrize(("beside", "said"), [("urll: 1", "field 'urll'. Did you mean 'url'?"), ("other: 1", "field 'other'.")])
async def test_neither_does_the_error_of_a_literal(beside: str, said: str) -> None:
    document = f'mutation {{ endpointCreate(appId: "x", input: {{secret: "a secret", url: "x", {beside}}}) {{ created }} }}'
    answer: Any = await schema.execute(document)
    assert [error.message.partition("unknown ")[2] for error in answer.errors] == [said]
