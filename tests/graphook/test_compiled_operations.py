"""Operations run without graphql-core answer what graphql-core answers, and their resolver runs once."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.types.graphql import OperationType

from graphook.compiled_inputs import CachedNames, compile_inputs
from graphook.compiled_selections import CompiledExecutor
from graphook.documents import documents
from graphook.errors import NotFound
from graphook.execution import Execution
from graphook.graphql_errors import shown
from schema.api import schema as whole_schema
from tests.operations import operations

QUERIES = {OperationType.QUERY, OperationType.MUTATION}


@strawberry.enum
class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@strawberry.input
class Part:
    weight_in_kg: float
    labels: list[str | None] = strawberry.field(default_factory=lambda: ["none"])


@strawberry.input
class ThingIn:
    name: str
    part: Part | None = None
    parts: list[Part | None] | None = UNSET
    colour: Colour = Colour.RED
    size: int | None = UNSET
    sure: bool = True


@strawberry.type
class Thing:
    shown: str
    broken: int = 1
    named: str | None = None


@dataclass
class Surroundings:
    calls: list[str] = field(default_factory=list)


COLOURS = [Colour.RED]
Info = strawberry.Info[Surroundings, None]


async def show_thing(
    info: Info, thing: ThingIn, more: list[ThingIn] | None = None, at_most: int | None = None, colour: Colour = Colour.RED
) -> Thing:
    info.context.calls.append(info.field_name)
    return Thing(
        shown=f"{thing!r} {more!r} {at_most} {colour} {info.path.key} {info.context.calls}",
        named="named" if info._raw_info.operation.name else None,
    )


async def be_faulty(info: Info, id: strawberry.ID, kind: str = "value") -> Thing:
    info.context.calls.append(info.field_name)
    match kind:
        case "expected":
            raise NotFound(f"There is no {id}.", ("id",))
        case "fault":
            raise ValueError("a secret")
        case "incomplete":
            return Thing(shown="well", broken="not a number")  # type: ignore[arg-type]
        case "missing":
            return Thing(shown=None)  # type: ignore[arg-type]
    return Thing(shown=str(id))


async def say_nothing(info: Info) -> Thing | None:
    info.context.calls.append(info.field_name)
    return None


async def echo(
    info: Info,
    needed: str = "n",
    optional: str | None = None,
    items: list[str] | None = None,
    filled: int = 5,
    colours: list[Colour] = COLOURS,
    anything: list[JSON] | None = None,
) -> Thing:
    info.context.calls.append(info.field_name)
    return Thing(shown=f"{needed} {optional} {items} {filled} {colours} {anything}")


async def need(info: Info, needed: str) -> Thing:
    info.context.calls.append(info.field_name)
    return Thing(shown=needed)


@strawberry.type
class Query:
    echo: Thing = strawberry.field(resolver=echo)
    need: Thing = strawberry.field(resolver=need)
    thing: Thing = strawberry.field(resolver=show_thing)
    faulty: Thing | None = strawberry.field(resolver=be_faulty)
    strict: Thing = strawberry.field(resolver=be_faulty)
    nothing: Thing | None = strawberry.field(resolver=say_nothing)


plain = strawberry.Schema(Query)
compiled = strawberry.Schema(Query, config=StrawberryConfig(name_converter=CachedNames()), execution_context_class=CompiledExecutor)
compile_inputs(compiled)

THING = "query A($t: ThingIn!, $m: [ThingIn!], $n: Int, $c: Colour) { thing(thing: $t, more: $m, atMost: $n, colour: $c) { shown named } }"
FAULTY = "query ($id: ID!, $kind: String!) { faulty(id: $id, kind: $kind) { shown broken } }"
STRICT = "query ($id: ID!, $kind: String!) { it: strict(id: $id, kind: $kind) { shown broken } }"

# What is run directly.
USUAL: list[tuple[str, dict[str, Any]]] = [
    (THING.replace(", colour: $c", "").replace(", $c: Colour", ""), {"t": {"name": "a"}, "m": None}),
    (
        THING.replace(", colour: $c", "").replace(", $c: Colour", ""),
        {"t": {"name": "a", "part": {"weightInKg": 1.5}, "colour": "BLUE"}, "n": 3},
    ),
    (
        THING,
        {
            "t": {"name": "a", "parts": [None, {"weightInKg": 2.5, "labels": [None]}], "size": None},
            "m": [{"name": "b", "sure": False}],
            "c": "BLUE",
        },
    ),
    ("query ($t: ThingIn!) { other: thing(thing: $t, atMost: 5, colour: BLUE) { shown } }", {"t": {"name": "ü"}}),
    ("query ($t: ThingIn!) { thing(thing: $t) { ...F } } fragment F on Thing { shown }", {"t": {"name": "a"}, "unused": 1}),
    (FAULTY, {"id": "x", "kind": "value"}),
    ('{ faulty(id: "x") { __typename shown } }', {}),
    ('query ($id: ID! = "d", $k: String! = "value") { faulty(id: $id, kind: $k) { shown } }', {}),
    ('query ($id: ID! = "e", $k: String! = "value") { faulty(id: $id, kind: $k) { shown } }', {"id": "x"}),
]
# What begins directly and is told by graphql-core.
TOLD = [(query, {"id": "x", "kind": kind}) for query in (FAULTY, STRICT) for kind in ("expected", "fault", "incomplete", "missing")]
# What graphql-core does from the start.
UNUSUAL: list[tuple[str, dict[str, Any]]] = [
    (THING, {"t": {"name": 5}}),
    (THING, {"t": {"name": "a", "unknown": 1}}),
    (THING, {"t": {}}),
    (THING, {"t": None}),
    (THING, {}),
    (THING, {"t": {"name": "a"}, "c": None}),
    (THING, {"t": {"name": "a"}, "c": "GREEN"}),
    (THING, {"t": {"name": "a"}, "n": 2**31}),
    (THING, {"t": {"name": "a"}, "n": True}),
    (THING, {"t": {"name": "a", "size": 1.0}}),
    (THING, {"t": {"name": "a", "part": {"weightInKg": 1}}}),
    (THING, {"t": {"name": "a", "parts": {"weightInKg": 1.0}}, "m": {"name": "one stands for a list of one"}}),
    (FAULTY, {"id": 7, "kind": "value"}),
    ('query ($id: ID! = "d", $k: String! = "value") { faulty(id: $id, kind: $k) { shown } }', {"id": 5}),
    ('query ($t: ThingIn = {name: "d"}) { thing(thing: $t) { shown } }', {}),
    ('{ thing(thing: {name: "a"}) { shown } }', {}),
    ('query ($s: Boolean!) { faulty(id: "x") { shown @skip(if: $s) broken } }', {"s": True}),
    ('query ($s: Boolean!) { faulty(id: "x") @skip(if: $s) { shown } }', {"s": True}),
    ('{ a: faulty(id: "x") { shown } b: faulty(id: "y") { shown } }', {}),
    ("{ faulty(id: 7) { shown } }", {}),
    ("{ nothing { shown } }", {}),
    ("{ __typename }", {}),
    ("{ __schema { queryType { name } } }", {}),
]


def told(data: Any, errors: Any) -> tuple[Any, Any]:
    formatted = [error.formatted for error in errors or ()]
    for error in formatted:
        error["extensions"].pop("requestId", None)
    return data, formatted


async def compare(query: str, variables: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    expected_of = Surroundings()
    found = await plain.execute(query, variables, context_value=expected_of)
    expected = told(found.data, shown(found.errors or [], suggest=True))
    execution = Execution(compiled)
    for _ in range(3):  # the first time, graphql-core compiles the selection
        surroundings = Surroundings()
        result = await execution.run(query, variables, None, surroundings, QUERIES)
        assert told(result.data, result.errors) == expected
        assert surroundings.calls == expected_of.calls


def is_direct(query: str) -> bool:
    document = documents.get(compiled._schema, query)
    direct = document.direct(compiled, document.operations[0])
    return direct is not None and direct.plan() is not None


@pytest.mark.parametrize(("query", "variables"), USUAL)
async def test_a_usual_operation_is_run_directly_with_the_same_answer(
    query: str, variables: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await compare(query, variables, caplog)
    assert is_direct(query)


@pytest.mark.parametrize(("query", "variables"), TOLD)
async def test_what_goes_wrong_in_a_resolver_or_its_answer_is_told_in_the_same_words(
    query: str, variables: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await Execution(compiled).run(query, {"id": "x", "kind": "value"}, None, Surroundings(), QUERIES)
    assert is_direct(query)
    await compare(query, variables, caplog)


@pytest.mark.parametrize(("query", "variables"), UNUSUAL)
async def test_an_unusual_operation_is_left_to_graphql_core(
    query: str, variables: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await Execution(compiled).run(
        query, {"t": {"name": "a"}, "c": "RED", "n": 1, "id": "x", "kind": "value"}, None, Surroundings(), QUERIES
    )
    await compare(query, variables, caplog)


# How an argument is declared as a variable, in all ways that its type lets it.
DECLARED = [
    *[("echo", "optional", of) for of in ("String", "String!", 'String = "d"', 'String! = "d"', "String = null")],
    *[("echo", "needed", of) for of in ("String", "String!", 'String = "d"', 'String! = "d"')],
    *[("echo", "items", of) for of in ("[String!]", "[String!]!", '[String!] = ["d"]')],
    *[("echo", "filled", of) for of in ("Int", "Int!", "Int = 7", "Int! = 7")],
    *[("echo", "colours", of) for of in ("[Colour!]", "[Colour!]!")],
    *[("echo", "anything", of) for of in ("[JSON!]", "[JSON!]!")],
    *[("need", "needed", of) for of in ("String!", 'String! = "d"', 'String = "d"')],
]
ABSENT = object()
GIVEN = [ABSENT, None, "v", 3, True, ["v"], [None], [["v"]], [], "BLUE", ["BLUE", "RED"], {"a": 1}]


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: "absent" if given is ABSENT else repr(given))
@pytest.mark.parametrize(("field_name", "argument", "of"), DECLARED)
async def test_a_variable_means_the_same_however_it_is_declared(
    field_name: str, argument: str, of: str, given: object, caplog: pytest.LogCaptureFixture
) -> None:
    query = f"query ($v: {of}) {{ {field_name}({argument}: $v) {{ shown }} }}"
    fine = {"v": {"optional": "x", "needed": "x", "items": ["x"], "filled": 1, "colours": ["RED"], "anything": []}[argument]}
    await Execution(compiled).run(query, fine, None, Surroundings(), QUERIES)  # which compiles the selection
    assert is_direct(query) or "[" in of.partition("=")[2]  # a list cannot be shared by all requests
    await compare(query, {} if given is ABSENT else {"v": given}, caplog)


def test_the_operations_that_are_sent_most_can_be_run_directly() -> None:
    for name in ("MessageCreate", "MessageCreateBatch", "ApplicationCreate", "EndpointCreate", "Messages"):
        document = documents.get(whole_schema._schema, operations()[name])
        assert document.direct(whole_schema, document.operations[0]) is not None, name
