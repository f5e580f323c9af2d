"""Values against schemas: what fits, where it does not, and that neither side chooses how long finding out takes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from graphook.schema_check import BadSchema, SchemaCheck

NEW = "https://json-schema.org/draft/2020-12/schema"
ORDER = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"type": "array", "items": {"$ref": "#/definitions/item"}}},
    "additionalProperties": False,
    "definitions": {"item": {"type": "object", "properties": {"price": {"type": "integer", "minimum": 0}}}},
}


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ({"items": [{"price": 1}, {"price": 2.0}]}, []),
        ({"items": [{"price": "1"}]}, [("items", "0", "price")]),
        ({"items": [{}, {"price": -1}, {"price": True}]}, [("items", "1", "price"), ("items", "2", "price")]),
        ({}, [()]),
        ({"items": [], "more": 1}, [()]),
        ([], [()]),
    ],
)
def test_a_fault_names_its_place_in_the_value(value: Any, paths: list[tuple[str, ...]]) -> None:
    assert [path for _, path in SchemaCheck(ORDER).faults(value)] == paths


def test_a_message_does_not_repeat_a_long_value() -> None:
    found = SchemaCheck({"properties": {"a": {"type": "integer"}, "b": {"enum": [1]}}}).faults({"a": "s3cret" * 20, "b": {"c": "s3cret"}})

    assert len(found) == 2
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"type": "integer"}, None, "null is not of type 'integer'"),
        ({"type": "integer"}, True, "true is not of type 'integer'"),
        ({"type": "integer"}, "None", "'None' is not of type 'integer'"),
        ({"enum": [None, False, 1]}, True, "true is not one of [null, false, 1]"),
        ({"const": None}, 1, "null was expected"),
        ({"minItems": 3}, [None, True], "[null, true] is too short"),
        ({"properties": {"a": False}}, {"a": None}, "nothing is allowed here"),
    ],
)
def test_a_message_speaks_of_values_as_json_does(schema: dict[str, Any], value: Any, message: str) -> None:
    assert [said for said, _ in SchemaCheck(schema).faults(value)] == [message]


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, ("properties", "a", "pattern")),
        ({"patternProperties": {r"(a)\1": {}}}, ("patternProperties", r"(a)\1")),
        ({"pattern": "(a{1000}){1000}"}, ("pattern",)),
        ({"items": {"$ref": "https://example.com/item.json"}}, ("items", "$ref")),
        ({"items": {"$ref": "#/definitions/none"}}, ("items", "$ref")),
        ({"$schema": NEW, "unevaluatedProperties": False}, ("unevaluatedProperties",)),
        ({"type": "nonsense"}, ("type",)),
        ({"items": {"$id": "https://example.com/"}}, ("items",)),
        ({"items": {"$ref": "#/enum/0"}, "enum": [{"required": 5}]}, ("items", "$ref")),
        ({"items": {"$ref": "#/properties"}, "properties": {"type": {}}}, ("items", "$ref")),
        ({"items": {"$ref": "#/required"}, "required": ["a"]}, ("items", "$ref")),
    ],
)
def test_a_schema_that_nothing_can_be_held_against_is_refused_with_the_place(schema: dict[str, Any], where: tuple[str, ...]) -> None:
    with pytest.raises(BadSchema) as refused:
        SchemaCheck(schema)

    assert refused.value.path == where


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"$ref": "#"}, ()),
        ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, ("allOf", "0")),
        (
            {"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}}},
            ("definitions", "a"),
        ),
        ({"properties": {"a": {"not": {"oneOf": [{}, {"$ref": "#/properties/a"}]}}}}, ("properties", "a", "not", "oneOf", "1")),
        ({"if": True, "else": {"$ref": "#"}}, ("else",)),
        ({"dependencies": {"a": {"$ref": "#"}, "b": ["a"]}}, ("dependencies", "a")),
        ({"$schema": NEW, "dependentSchemas": {"a": {"anyOf": [{"$ref": "#"}]}}}, ("dependentSchemas", "a", "anyOf", "0")),
        ({"$schema": NEW, "$defs": {"a": {"$anchor": "a", "allOf": [{"$ref": "#a"}]}}}, ("$defs", "a", "allOf", "0")),
    ],
)
def test_a_reference_that_leads_back_to_itself_at_the_same_value_is_refused(schema: dict[str, Any], where: tuple[str, ...]) -> None:
    with pytest.raises(BadSchema, match="leads back") as refused:
        SchemaCheck(schema)

    assert refused.value.path == (*where, "$ref")


def test_a_reference_may_lead_back_by_way_of_the_value() -> None:
    tree = {"$ref": "#/definitions/node", "definitions": {"node": {"anyOf": [{"type": "null"}, {"properties": {"next": {"$ref": "#"}}}]}}}
    lists = {"$schema": NEW, "$anchor": "it", "allOf": [{"items": {"$ref": "#it"}}, {"additionalProperties": {"$ref": "#/allOf/0"}}]}
    # The same part twice is no circle.
    twice = {"allOf": [{"$ref": "#/definitions/a"}, {"$ref": "#/definitions/a"}], "definitions": {"a": {"required": ["next"]}}}

    assert SchemaCheck(tree).fits({"next": {"next": None}})
    assert SchemaCheck(lists).fits([[], {"a": []}])
    assert not SchemaCheck(twice).fits({})


NODE = {"allOf": [{"properties": {"a": {"$ref": "#/definitions/node"}}}, {"properties": {"a": {"$ref": "#/definitions/node"}}}]}


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "(a+)+$"}, "a" * 100_000 + "b"),
        ({"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}, "a" * 100_000),
        ({"patternProperties": {"(a+)+$": False}, "additionalProperties": {"type": "integer"}}, {"a" * 50_000 + "b": ""}),
        ({"propertyNames": {"pattern": "(a|a)*$"}, "properties": {"x": False}}, {"a" * 50_000 + "b": 1, "x": 1}),
        ({"definitions": {"node": NODE}, "$ref": "#/definitions/node"}, deep(60)),
        ({"uniqueItems": True}, [{"n": n} for n in range(50_000)] + [{"n": 1}]),
        ({"items": {"anyOf": [{"type": "string"}] * 100}}, list(range(100_000))),
        ({"items": {"not": {"enum": [{"n": n} for n in range(1000)]}}}, [{"n": 1}] * 5),
        ({"items": {"$schema": NEW, "pattern": "(a+)+$"}}, ["a" * 50_000 + "b"]),
    ],
)
def test_finding_out_takes_no_longer_than_the_budget(schema: dict[str, Any], value: Any) -> None:
    check = SchemaCheck(schema)
    began = time.process_time()

    found = check.faults(value)

    assert found != []
    assert time.process_time() - began < 10


def test_a_unique_list_tells_one_from_true_and_not_from_one_point_nought() -> None:
    check = SchemaCheck({"uniqueItems": True})

    assert check.fits([1, True, "1", [1], {"a": 1}, {"a": True}])
    assert not check.fits([1, 1.0])
    assert not check.fits([{"a": 1, "b": 2}, {"b": 2, "a": 1}])


@pytest.mark.parametrize("items", [True, {}])
def test_additional_items_say_nothing_where_items_are_not_listed(items: Any) -> None:
    assert SchemaCheck({"items": items, "additionalItems": False}).fits([1])
    assert not SchemaCheck({"items": [items], "additionalItems": False}).fits([1, 2])


def test_a_reference_may_be_escaped_or_lead_to_true() -> None:
    check = SchemaCheck({"items": [{"$ref": "#/%24defs/a~1b"}, {"$ref": "#/$defs/any"}], "$defs": {"a/b": {"const": 1}, "any": True}})

    assert check.fits([1, 2])
    assert not check.fits([2, 2])


def test_a_pattern_may_escape_what_is_not_ascii() -> None:
    check = SchemaCheck({"pattern": "^[\\u00e0-\\u00ff]+$"})

    assert check.fits("éà")
    assert not check.fits("e")
