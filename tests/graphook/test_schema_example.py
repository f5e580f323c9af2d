"""Examples of JSON Schemas: they fit, they are the same each time, and neither cycles nor sizes keep anybody busy."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from graphook.schema_example import NoExample, example

NEW = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, {}),
        ({"type": "object", "examples": [{"a": 1}]}, {"a": 1}),
        ({"type": "integer", "examples": ["wrong"], "default": 7}, 7),
        ({"const": [1]}, [1]),
        ({"enum": ["b", "a"]}, "b"),
        ({"properties": {"at": {"type": "string", "format": "date-time"}}}, {"at": "2026-01-31T12:00:00Z"}),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "integer", "minimum": 10, "multipleOf": 4}, 12),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
        ({"type": "string", "pattern": "^INV-[0-9]{4}$"}, "INV-0000"),
        ({"type": "string", "pattern": "^(a|b)+c?$", "minLength": 5}, "aaaaaac"),
        ({"type": "string", "minLength": 6, "maxLength": 7}, "textxx"),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["b"], "properties": {"b": {"const": 2}}}]}, {"b": 2, "a": 1}),
        ({"oneOf": [False, {"type": "object", "required": ["k"], "properties": {"k": {"const": "v"}}}]}, {"k": "v"}),
        ({"$ref": "#/definitions/a", "definitions": {"a": {"type": "array", "items": {"const": 1}}}}, [1]),
        ({"type": "array", "uniqueItems": True, "minItems": 3, "items": {"type": "integer"}}, [1, 0, 2]),
        ({"$schema": NEW, "prefixItems": [{"const": 1}, {"const": "b"}]}, [1, "b"]),
        ({"if": {"required": ["a"]}, "then": {"properties": {"a": {"const": 5}}}, "type": "object"}, {"a": 5}),
        ({"minProperties": 2, "additionalProperties": {"const": 3}, "type": "object"}, {"property1": 3, "property2": 3}),
        ({"$ref": "#/%24defs/a", "$defs": {"a": {"const": 1}}}, 1),
        ({"type": "array", "contains": {"const": 1}, "minContains": 2.0}, [1, 1]),
        ({"type": "number", "multipleOf": 5e-324, "minimum": 0}, 1),
        ({"type": "number", "multipleOf": 1e308}, 0),
        ({"type": "number", "exclusiveMinimum": 2**64 - 1}, 1.5 * 2**64),
    ],
)
def test_an_example_is_what_the_schema_says(schema: dict[str, Any], value: Any) -> None:
    assert example(schema) == value
    assert example(schema) == value


def test_a_schema_that_contains_itself_has_an_example() -> None:
    tree = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "child": {"$ref": "#"}}}

    value = example(tree)

    assert value["child"]["child"]["n"] == 1


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {}},
        {"$ref": "#"},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "^(a{900}){900}$"},
        {"type": "array", "minItems": 10**9, "items": {"type": "array", "minItems": 10**9}},
        {"allOf": [{"anyOf": [{"properties": {f"a{n}{k}": {}}} for k in range(4)]} for n in range(30)], "not": {}},
        {"allOf": [{"$ref": "#/definitions/a"}] * 8, "definitions": {"a": {"anyOf": [{"$ref": "#/definitions/a"}] * 8}}},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "number", "minimum": 1e10, "multipleOf": 5e-324},
    ],
)
def test_what_has_no_example_or_too_large_a_one_is_given_up_soon(schema: dict[str, Any]) -> None:
    began = time.process_time()

    with pytest.raises(Exception) as refused:
        example(schema)

    assert type(refused.value).__name__ in (NoExample.__name__, "BadSchema")
    assert time.process_time() - began < 10


names = st.sampled_from(["a", "b", "c d", "é"])
small = st.integers(0, 4)
numbers = st.builds(
    lambda kind, low, width, step: {"type": kind, "minimum": low, "maximum": low + width * step, "multipleOf": step},
    st.sampled_from(["integer", "number"]),
    st.integers(-1000, 1000),
    st.integers(1, 9),
    st.integers(1, 9),
)
texts = st.one_of(
    st.builds(lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, st.integers(0, 30), small),
    st.sampled_from(["^[a-z]{3,5}$", r"\d+-\w{2}", "^(red|green)$", "[^a]b?", r"^\S+@\S+\.com$", "x.*y"]).map(
        lambda text: {"type": "string", "pattern": text}
    ),
    st.sampled_from(["date-time", "uuid", "email", "uri"]).map(lambda text: {"type": "string", "format": text}),
)
leaves = st.one_of(
    numbers,
    texts,
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": {"k": [1]}}, {"enum": [None, 2, "x"]}, {}, True]),
    st.sampled_from([{"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/tree"}]),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(names, inner, max_size=3).flatmap(
        lambda found: st.lists(st.sampled_from(sorted(found)) if found else names, unique=True, max_size=3).map(
            lambda required: {"type": "object", "properties": found, "required": required}
        )
    )
    arrays = st.builds(lambda item, low: {"type": "array", "items": item, "minItems": low, "maxItems": low + 2}, inner, small)
    either = st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": found})
    both = st.builds(
        lambda one, other: {"allOf": [{"type": "object", "properties": one}, {"properties": other}]},
        st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        st.dictionaries(st.sampled_from(["c", "d"]), inner, max_size=2),
    )
    return st.one_of(objects, arrays, either, both)


DEFS = {"leaf": {"type": "string"}, "tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.recursive(leaves, containers, max_leaves=8))
def test_an_example_fits_by_an_independent_validator(part: Any) -> None:
    schema = {"$schema": NEW, "$defs": DEFS, "properties": {"it": part}, "required": ["it"]}

    value = example(schema)

    Draft202012Validator(schema).validate(value)
