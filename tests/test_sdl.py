"""The committed schema and documents: the ones that the server speaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphook.package_data import graphql_folder
from graphql import (
    FieldNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    NoDeprecatedCustomRule,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    find_breaking_changes,
    parse,
    specified_rules,
    validate,
    visit,
)
from schema.api import schema, sdl
from tests.operations import operations

SCHEMA = schema._schema
# Old names that still work, and are tried.
DEPRECATED = {"DashboardAccessCreate"}
RULES = [*specified_rules, NoDeprecatedCustomRule]
TABS = sorted((graphql_folder() / "graphiql").glob("*.graphql"))
BUILT_IN = {"Boolean", "Float", "ID", "Int", "String"}


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    committed = (graphql_folder() / "schema.graphql").read_text()
    if committed != sdl():
        # Told here because it is the moment to think of those who use the API: after `make sdl` there is no difference to see.
        breaking = [change.description for change in find_breaking_changes(build_schema(committed), SCHEMA)]
        pytest.fail(
            "\n".join(["graphql/schema.graphql is not the schema; run make sdl. It would break clients:", *(breaking or ["nothing"])])
        )


@pytest.mark.parametrize("name", sorted(operations()))
def test_a_named_document_is_valid(name: str) -> None:
    rules = specified_rules if name in DEPRECATED else RULES
    assert validate(SCHEMA, parse(operations()[name]), rules) == []


def test_only_the_documents_of_what_is_deprecated_use_it() -> None:
    assert {name for name, document in operations().items() if validate(SCHEMA, parse(document), [NoDeprecatedCustomRule])} == DEPRECATED


@pytest.mark.parametrize("path", TABS, ids=lambda path: path.name)
def test_a_document_of_graphiql_is_valid(path: Path) -> None:
    assert validate(SCHEMA, parse(path.read_text()), RULES) == []


def test_every_root_field_is_used_by_a_named_document() -> None:
    used: set[str] = set()
    info = TypeInfo(SCHEMA)
    roots = {root.name for root in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type) if root is not None}

    class Collect(Visitor):
        def enter_field(self, node: FieldNode, *_: object) -> None:
            parent = info.get_parent_type()
            if parent is not None and parent.name in roots:
                used.add(f"{parent.name}.{node.name.value}")

    for document in operations().values():
        visit(parse(document), TypeInfoVisitor(info, Collect()))
    assert {f"{root}.{field}" for root in roots for field in _fields(root)} - used == set()


def test_every_mutation_answers_with_a_payload_that_is_named_after_it() -> None:
    wanted = {name: f"{name[0].upper()}{name[1:]}Payload" for name in _fields("Mutation")}
    assert {name: str(declared.type) for name, declared in _fields("Mutation").items()} == wanted


def test_everything_in_the_schema_is_described() -> None:
    assert [place for place, description in _descriptions() if not description] == []


def test_no_default_is_an_object_which_javascript_cannot_print() -> None:
    found = [
        place
        for name in SCHEMA.type_map
        for field, declared in _fields(name).items()
        for place, given in ((f"{name}.{field}", declared), *((f"{field}({a}:)", g) for a, g in getattr(declared, "args", {}).items()))
        if isinstance(getattr(given, "default_value", None), dict)
    ]
    assert found == []


def _fields(name: str) -> dict[str, Any]:
    return getattr(SCHEMA.type_map[name], "fields", {})


def _descriptions() -> Iterator[tuple[str, str | None]]:
    for name, kind in SCHEMA.type_map.items():
        if name.startswith("__") or name in BUILT_IN:
            continue
        yield name, kind.description
        for field, declared in _fields(name).items():
            yield f"{name}.{field}", declared.description
            if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
                yield from ((f"{name}.{field}({argument}:)", given.description) for argument, given in declared.args.items())
        yield from ((f"{name}.{value}", given.description) for value, given in getattr(kind, "values", {}).items())
