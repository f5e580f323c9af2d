"""Our execution answers what plain Strawberry answers, whatever is asked, but for what it refuses; and streams what comes of each event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import strawberry
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import DisableIntrospection
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from graphook.compiled_selections import CompiledExecutor
from graphook.errors import NotFound, Unavailable
from graphook.execution import Execution, Schema
from graphook.graphql_errors import shown
from graphql import GraphQLError

QUERIES = {OperationType.QUERY, OperationType.MUTATION}


@strawberry.type
class Query:
    @strawberry.field
    def number(self, of: int = 1) -> int:
        return of

    @strawberry.field
    async def caller(self, info: strawberry.Info) -> str:
        return str(info.context)

    @strawberry.field
    def missing(self) -> int | None:
        raise NotFound("There is none.", ("id",))

    @strawberry.field
    async def away(self) -> int | None:
        raise Unavailable("The database cannot be reached.")

    @strawberry.field
    def fault(self) -> int:
        raise ValueError("a secret")

    @strawberry.field
    async def slow(self) -> int:
        await asyncio.Event().wait()
        return 1


@strawberry.type
class Mutation:
    @strawberry.field
    async def increase(self, by: int) -> int:
        return by + 1


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self) -> AsyncGenerator[int, None]:
        yield 1


open_schema = strawberry.Schema(Query, Mutation, Subscription)
closed_schema = strawberry.Schema(
    Query, Mutation, Subscription, extensions=[DisableIntrospection], config=StrawberryConfig(disable_field_suggestions=True)
)

CASES: list[tuple[str | None, dict[str, Any] | None, str | None]] = [
    ("{ number caller }", None, None),
    ("query ($n: Int!) { number(of: $n) }", {"n": 5}, None),
    ("query ($n: Int!) { number(of: $n) }", {"n": "five"}, None),
    ("query ($n: Int!) { number(of: $n) }", None, None),
    ("query A { number } query B { caller }", None, "B"),
    ("query A { number }", None, "B"),
    ("query A { number }", None, "A"),
    ("mutation { increase(by: 1) }", None, None),
    ("subscription { ticks }", None, None),
    ("{ number missing away }", None, None),
    ("{ number fault }", None, None),
    ("{ number", None, None),
    ("{ nothing }", None, None),
    ("{ __schema { queryType { name } } }", None, None),
    ("fragment F on Query { number }", None, None),
    ("", None, None),
    (None, None, None),
]


def told(data: Any, errors: Any) -> tuple[Any, Any]:
    formatted = [error.formatted for error in errors]
    for error in formatted:
        assert error["extensions"].pop("requestId", None) is None or error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    return data, formatted


async def outcome(run: Any) -> Any:
    try:
        result = await run
    except (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError) as error:
        return type(error)
    return result.data, result.errors or []


@pytest.mark.parametrize("schema", [open_schema, closed_schema], ids=["open", "without introspection"])
@pytest.mark.parametrize(("query", "variables", "name"), CASES)
async def test_both_ways_of_execution_answer_the_same(
    schema: strawberry.Schema, query: str | None, variables: dict[str, Any] | None, name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    theirs = await outcome(
        schema.execute(query, variable_values=variables, operation_name=name, context_value="acme", allowed_operation_types=QUERIES)
    )
    direct = Execution(schema)
    for _ in range(2):  # the second time, the document is known
        ours = await outcome(direct.run(query, variables, name, "acme", QUERIES))
        if isinstance(theirs, type):
            assert ours is theirs
        else:
            data, errors = theirs
            assert told(*ours) == told(data, shown(errors, suggest=schema is open_schema))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("query A { number } query B { caller }", "OPERATION_RESOLUTION_FAILURE"),
        ("{ slow }", "TIMEOUT"),
        ("{ a: number b: number " + " ".join(f"c{n}: number" for n in range(60)) + "}", "COST_LIMIT_EXCEEDED"),
    ],
    ids=["ambiguous", "slow", "costly"],
)
async def test_what_strawberry_would_run_is_refused(query: str, code: str) -> None:
    result: Any = await Execution(open_schema, seconds=0.05).run(query, None, None, "acme", QUERIES)
    assert (result.data, [error.extensions["code"] for error in result.errors]) == (None, [code])


@strawberry.type
class Reading:
    place: str
    broken: bool = False

    @strawberry.field
    def celsius(self, info: strawberry.Info) -> float:
        if self.broken:
            raise ValueError("a secret")
        return float(info.context)

    @strawberry.field
    async def later(self) -> str:
        return f"later {self.place}"


async def read(info: strawberry.Info, breaks_at: int = 99, refused: bool = False) -> AsyncGenerator[Reading, None]:
    if refused:
        nodes = info._raw_info.field_nodes
        raise GraphQLError("Not these.", nodes=nodes, path=["readings"], extensions={"code": "NOT_THESE"})
    for number in range(5):
        if number == breaks_at:
            raise ValueError("a secret")
        yield Reading(place=f"p{number}", broken=number == 3)


@strawberry.type
class Readings:
    readings: AsyncGenerator[Reading, None] = strawberry.subscription(resolver=read)


plain_readings = strawberry.Schema(Query, None, Readings)


async def streamed(schema: strawberry.Schema, query: str, variables: dict[str, Any] | None = None) -> list[Any]:
    results: Any = await schema.stream(query, variable_values=variables, context_value="21.5")
    return [result async for result in results]


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("subscription { readings { place celsius } }", None),
        ("subscription { it: readings { place again: place __typename } }", None),
        ("subscription { readings { place later } }", None),
        ("subscription ($at: Int!) { readings(breaksAt: $at) { place } }", {"at": 2}),
        ("subscription ($at: Int!) { readings(breaksAt: $at) { place } }", {"at": "two"}),
        ("subscription ($on: Boolean!) { readings { place celsius @include(if: $on) } }", {"on": False}),
        ("subscription { readings(refused: true) { place } }", None),
        ("subscription { nothing }", None),
        ("subscription {", None),
        ("query { number(of: 3) missing }", None),
    ],
)
async def test_a_stream_has_what_strawberry_makes_of_each_event(
    query: str, variables: dict[str, Any] | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    theirs = [(type(r), told(r.data, shown(r.errors or [], suggest=True))) for r in await streamed(plain_readings, query, variables)]
    ours = Schema(Query, None, Readings, execution_context_class=CompiledExecutor)
    for _ in range(2):  # the second time, the document is known and its selection compiled
        assert [(type(r), told(r.data, r.errors or [])) for r in await streamed(ours, query, variables)] == theirs


async def test_events_are_completed_without_graphql_core_once_their_selection_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema(Query, None, Readings, execution_context_class=CompiledExecutor)
    query = "subscription { readings { place } }"
    await streamed(schema, query)
    monkeypatch.setattr(CompiledExecutor, "execute_operation", None)
    assert [result.data["readings"]["place"] for result in await streamed(schema, query)] == [f"p{n}" for n in range(5)]


async def test_a_document_is_weighed_anew_when_a_page_size_changes() -> None:
    from graphook.documents import Documents

    documents = Documents()
    schema = strawberry.Schema(Query)._schema
    text = "query ($n: Int = 1) { c(first: $n) { nodes { c(first: $n) { nodes { id } } } } }"

    def codes(variables: dict[str, Any] | None) -> list[Any]:
        return [(e.extensions or {}).get("code") for e in documents.get(schema, text).refusals(schema, (), variables, None)]

    assert codes(None) == []
    assert codes({"n": 250}) == ["COST_LIMIT_EXCEEDED"]
    assert codes({"n": 1}) == []
    assert codes({"n": 10**30}) == ["COST_LIMIT_EXCEEDED"]
    assert codes({"n": None}) == []
    assert documents.get(schema, text) is documents.get(schema, text)

    text = "query ($n: Int = 250, $m: Int) { " + "c(first: $n, limit: $m) { nodes { " * 3 + "id" + " } }" * 3 + " }"
    assert codes({"n": None, "m": 1}) == []
    assert codes({"n": 50, "m": 1}) == ["COST_LIMIT_EXCEEDED"]
    assert codes({"m": 1}) == ["COST_LIMIT_EXCEEDED"]
