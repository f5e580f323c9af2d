"""Event types as an OpenAPI document and back: the same ones, whatever their schemas are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from graphook.errors import InvalidInputs
from graphook.event_schemas import newest
from graphook.openapi import read
from graphook.openapi_export import write
from graphook.openapi_schemas import MAX_BUNDLED
from tests.graphook.test_schema_example import DEFS, containers, leaves

schemas = st.recursive(leaves, containers, max_leaves=6).map(lambda part: {"properties": {"it": part}, "$defs": DEFS})
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5)
event_types = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.text("abz.-_09", min_size=1, max_size=5),
            "description": texts,
            "schemas": st.none() | st.dictionaries(texts.filter(bool), schemas, max_size=2),
            "deprecated": st.booleans(),
            "feature_flag": st.none() | st.just("f"),
            "group_name": st.none() | st.just("g"),
            "validate_payload": st.booleans(),
            "retry_schedule": st.none() | st.lists(st.floats(0, 604_800), max_size=2),
        }
    ),
    max_size=4,
    unique_by=lambda values: str(values["name"]),
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(event_types)
def test_event_types_read_back_as_they_were_from_a_valid_document(found: list[dict[str, Any]]) -> None:
    document = write(found)

    validate(document)
    back = [{"name": webhook.name, **webhook.values} for webhook in read(document, ())]
    assert back == [{**values, "archived": False} for values in found]


def body(schema: Any) -> dict[str, Any]:
    return {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}}


def test_a_chain_of_references_is_followed_and_a_ring_is_refused() -> None:
    chain: dict[str, Any] = {f"s{n}": {"$ref": f"#/components/schemas/s{n + 1}"} for n in range(1000)}
    document = {"openapi": "3.1.0", "webhooks": {"x": body({"$ref": "#/components/schemas/s0"})}, "components": {"schemas": chain}}

    chain["s1000"] = {"const": 1}
    assert read(document, ())[0].values["schemas"]["1"]["const"] == 1
    chain["s1000"] = {"$ref": "#/components/schemas/s0"}
    with pytest.raises(InvalidInputs) as refused:
        read(document, ())
    assert refused.value.errors[0].path == ("components", "schemas", "s0", "$ref")


def test_components_of_one_name_do_not_hide_each_other() -> None:
    document = {
        "openapi": "3.1.0",
        "webhooks": {"x": body({"$ref": "#/components/schemas/A"})},
        "components": {
            "schemas": {
                "A": {"$defs": {"B": {"const": 0}}, "anyOf": [{"$ref": "#/components/schemas/B"}, {"$ref": "#/components/x/B"}]},
                "B": {"const": 1},
            },
            "x": {"B": {"const": 2}},
        },
    }

    schema = read(document, ())[0].values["schemas"]["1"]

    assert {name: part["const"] for name, part in schema["$defs"].items()} == {"B": 0, "B-": 1, "B--": 2}
    assert [part["$ref"] for part in schema["anyOf"]] == ["#/$defs/B-", "#/$defs/B--"]


def test_a_component_cannot_be_multiplied_without_end() -> None:
    large = {"description": "x" * (MAX_BUNDLED // 100)}
    webhooks = {f"n{n}": body({"items": {"$ref": "#/components/schemas/L"}}) for n in range(200)}

    with pytest.raises(InvalidInputs) as refused:
        read({"openapi": "3.1.0", "webhooks": webhooks, "components": {"schemas": {"L": large}}}, ())

    assert "together with what they refer to" in refused.value.errors[0].message


@pytest.mark.parametrize(
    ("versions", "highest"), [(["1", "2"], "2"), (["9", "10"], "10"), (["v2", "v10", "v9"], "v10"), (["1.9", "1.10"], "1.10"), ([], None)]
)
def test_the_newest_version_is_the_highest(versions: list[str], highest: str | None) -> None:
    assert newest(dict.fromkeys(versions)) == highest
