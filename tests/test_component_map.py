"""The component map: complete, and true of the schema."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.routing import Route

from graphook.app import create_app
from graphook.settings import Settings
from graphql import GraphQLEnumType
from tests.contract import COMPONENTS, OPERATIONS, PAGE, ROOTS, TYPES, exists, rows

TABLES = ["Component schemas", "Operations", "Parameters and headers"]
BUILT_IN = {"Boolean", "Float", "ID", "Int", "String", "Query", "Mutation", "Subscription"}


def test_every_component_schema_has_a_row_and_no_other() -> None:
    assert set(rows("Component schemas")) == set(COMPONENTS)


def test_every_operation_has_a_row_and_no_other() -> None:
    assert len(OPERATIONS) == 90
    assert set(rows("Operations")) == set(OPERATIONS)


def test_a_row_of_an_operation_says_its_method_and_path() -> None:
    for name, operation in OPERATIONS.items():
        assert f"| {name} | {operation['method']} {operation['path']} |" in PAGE


def test_every_query_parameter_has_a_row() -> None:
    parameters = {name for operation in OPERATIONS.values() for name in operation["query"]}
    assert set(rows("Parameters and headers")) == parameters | {"idempotency-key"}


@pytest.mark.parametrize("table", TABLES)
def test_what_is_not_planned_exists(table: str) -> None:
    paths = {route.path for route in create_app(Settings.load()).routes if isinstance(route, Route)}
    for subject, row in rows(table).items():
        assert row.here, f"{subject} has no name here"
        for name in row.here:
            if row.planned is None:
                there = name.partition(" ")[2] in paths if name.startswith(("GET ", "POST ")) else exists(name)
                assert there, f"{subject}: there is no {name}"


@pytest.mark.parametrize("table", TABLES)
def test_what_is_planned_does_not_exist_yet(table: str) -> None:
    for subject, row in rows(table).items():
        if row.planned is not None:
            assert not exists(row.here[0]), f"{subject}: {row.here[0]} exists; it is not planned any more"


def test_notes_and_departures_name_what_exists() -> None:
    planned = {name for table in TABLES for row in rows(table).values() if row.planned for name in row.here}
    values = {value for kind in TYPES.values() if isinstance(kind, GraphQLEnumType) for value in kind.values}
    named = set(re.findall(r"`([A-Z]\w+(?:\.\w+)?)`", PAGE)) - planned - values - set(COMPONENTS)
    assert {name for name in named if not exists(name)} == set()


def test_every_type_and_root_field_of_the_schema_is_named() -> None:
    named = {re.split(r"[.(]", name)[0] for name in re.findall(r"`([^`]+)`", PAGE)}
    types = {name for name in TYPES if name not in BUILT_IN and not name.endswith(("Payload", "Edge"))}
    assert types - named == set()
    assert set(ROOTS) - named == set()


def test_the_description_of_what_stands_for_a_component_names_it() -> None:
    for component, row in rows("Component schemas").items():
        if row.planned is None and not row.here[0].startswith("POST "):
            head, _, member = row.here[0].partition(".")
            kind: Any = TYPES[head]
            description = (kind.fields[member] if member else kind).description
            named = "ListResponse_…_" if component.startswith("ListResponse_") else component
            assert re.search(rf"components? [\w, ]*{named}\b", description), f"{head} does not name {component}"
