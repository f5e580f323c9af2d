"""The direct execution answers what Strawberry's answers, whatever is asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import strawberry
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import DisableIntrospection
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from graphook.errors import NotFound, Unavailable
from graphook.execution import Execution
from graphook.graphql_extensions import DocumentCache, ShownErrors, TimeLimit

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


class Impatient(TimeLimit):
    seconds = 0.05


EXTENSIONS = [ShownErrors, DocumentCache, Impatient]
open_schema = strawberry.Schema(Query, Mutation, Subscription, extensions=EXTENSIONS)
closed_schema = strawberry.Schema(Query, Mutation, Subscription, extensions=[*EXTENSIONS, DisableIntrospection])

CASES: list[tuple[str | None, dict[str, Any] | None, str | None]] = [
    ("{ number caller }", None, None),
    ("query ($n: Int!) { number(of: $n) }", {"n": 5}, None),
    ("query ($n: Int!) { number(of: $n) }", {"n": "five"}, None),
    ("query ($n: Int!) { number(of: $n) }", None, None),
    ("query A { number } query B { caller }", None, "B"),
    ("query A { number } query B { caller }", None, None),
    ("query A { number }", None, "B"),
    ("query A { number }", None, "A"),
    ("mutation { increase(by: 1) }", None, None),
    ("subscription { ticks }", None, None),
    ("{ number missing away }", None, None),
    ("{ number fault }", None, None),
    ("{ slow }", None, None),
    ("{ number", None, None),
    ("{ nothing }", None, None),
    ("{ a: number b: number " + " ".join(f"c{n}: number" for n in range(60)) + "}", None, None),
    ("{ __schema { queryType { name } } }", None, None),
    ("fragment F on Query { number }", None, None),
    ("", None, None),
    (None, None, None),
]


def told(data: Any, errors: Any) -> tuple[Any, Any]:
    shown = [error.formatted for error in errors or ()]
    for error in shown:
        assert error["extensions"].pop("requestId", None) is None or error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    return data, shown


async def outcome(run: Any) -> Any:
    try:
        result = await run
    except (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError) as error:
        return type(error)
    return told(result.data, result.errors)


@pytest.mark.parametrize("schema", [open_schema, closed_schema], ids=["open", "without introspection"])
@pytest.mark.parametrize(("query", "variables", "name"), CASES)
async def test_both_ways_of_execution_answer_the_same(
    schema: strawberry.Schema, query: str | None, variables: dict[str, Any] | None, name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    direct = Execution(schema)
    for _ in range(2):  # the second time, the document is known
        theirs = await outcome(
            schema.execute(query, variable_values=variables, operation_name=name, context_value="acme", allowed_operation_types=QUERIES)
        )
        assert await outcome(direct.run(query, variables, name, "acme", QUERIES)) == theirs


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
