"""What counts as a JSON Schema, and that finding out takes no longer than its size warrants."""

from __future__ import annotations

import time
from typing import Any

import pytest

from graphook.json_schema import draft_fault, fault

NEW = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#"},
        {"type": "string", "pattern": "^(a+)+$"},
        {"multipleOf": 1e-300},
        {"type": ["string", "null"], "required": ["a"], "properties": {"type": {"type": "string"}}},
        {"$schema": NEW, "dependentRequired": {"a": ["b"]}, "prefixItems": [True, {}]},
        {"enum": [{"type": [1, 2]}, 1], "examples": [{"required": [1]}]},
        {"enum": list(range(10_000))},
        {"$defs": {"a": {"prefixItems": [True]}}, "contains": {}, "minContains": 2.0, "unevaluatedProperties": False},
    ],
)
def test_a_schema_is_taken(schema: dict[str, Any]) -> None:
    assert fault(schema) is None


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "text"}, ("type",)),
        ({"properties": {"a": {"type": 1}}}, ("properties", "a", "type")),
        ({"$schema": NEW, "properties": {"a": {"minimum": "1"}}}, ("properties", "a", "minimum")),
        ({"pattern": "("}, ("pattern",)),
        ({"required": ["a", "a"]}, ("required",)),
        ({"dependencies": {"a": [1]}}, ("dependencies",)),
        ({"items": {"properties": {"a": {"type": "text"}}}}, ("items", "properties", "a", "type")),
        ({"items": [True, {"required": True}]}, ("items", "1", "required")),
        ({"dependencies": {"a": {"not": {"items": [{"minLength": "1"}]}}}}, ("dependencies", "a", "not", "items", "0", "minLength")),
        ({"items": 5}, ("items",)),
        ({"type": ["string", "text"]}, ("type", "1")),
        # What no draft 7 has, but references lead into.
        ({"$ref": "#/$defs/a", "$defs": {"a": {"required": True}}}, ("$defs", "a", "required")),
        ({"$defs": {"a": {"$defs": {"b": {"type": "text"}}}}}, ("$defs", "a", "$defs", "b", "type")),
        ({"properties": {"a": {"prefixItems": 3}}}, ("properties", "a", "prefixItems")),
        ({"unevaluatedProperties": {"patternProperties": [1]}}, ("unevaluatedProperties", "patternProperties")),
    ],
)
def test_what_is_no_schema_is_refused_with_the_place(schema: dict[str, Any], where: tuple[str, ...]) -> None:
    found = fault(schema)

    assert found is not None
    assert found[1] == where


def test_what_is_no_schema_is_called_what_json_calls_it() -> None:
    assert fault({"properties": {"a": None}}) == ("null is not of type 'object', 'boolean'", ("properties", "a"))


OLD = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"$schema": {"const": "http://json-schema.org/draft-04/schema#"}}, "examples": [{"$schema": 5}]},
        {"$schema": OLD, "items": {"$schema": OLD.removesuffix("#")}},
        {"items": {"$schema": OLD.replace("http:", "https:")}},
        {"$schema": f"{NEW}#", "$defs": {"a": {"$schema": NEW}, "b": {"$schema": "https://spec.openapis.org/oas/3.1/dialect/base"}}},
    ],
)
def test_a_draft_that_is_known_is_taken(schema: dict[str, Any]) -> None:
    assert draft_fault(schema) is None


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": True}, ("$schema",)),
        ({"$schema": "https://json-schema.org/draft/2019-09/schema", "dependentRequired": {"a": ["b"]}}, ("$schema",)),
        ({"$schema": "http://json-schema.org/schema#"}, ("$schema",)),
        ({"$schema": f"{NEW}/2020-12"}, ("$schema",)),
        ({"$schema": None}, ("$schema",)),
        ({"items": {"$schema": NEW, "prefixItems": [False]}}, ("items", "$schema")),
        ({"$schema": NEW, "$defs": {"a": {"$schema": OLD}}}, ("$defs", "a", "$schema")),
    ],
)
def test_a_draft_that_the_schema_would_not_be_read_as_is_refused_with_the_place(schema: dict[str, Any], where: tuple[str, ...]) -> None:
    found = draft_fault(schema)

    assert found is not None
    assert found[1] == where


@pytest.mark.parametrize(
    "schema",
    [
        {"type": [{}, *range(40_000)]},
        {"$schema": NEW, "type": [{}, *range(40_000)]},
        {"type": ["string"] * 40_000},
        {"dependencies": {"a": [{}, *range(40_000)]}},
        {"allOf": [{}] * 80_000},
        {"$schema": NEW, "allOf": [True] * 50_000},
        {"pattern": "(" * 5000 + ")" * 5000},
    ],
)
def test_a_schema_made_to_hold_up_its_reader_is_refused_at_once(schema: dict[str, Any]) -> None:
    began = time.process_time()

    assert fault(schema) is not None
    assert time.process_time() - began < 1
