"""Compiled selections: the same data and the same errors as graphql-core gives, faster."""

from __future__ import annotations

import enum
import gc
import weakref
from typing import Any, ClassVar

import pytest
import strawberry

from graphook.compiled_selections import CompiledExecutor, plans_of
from graphql import FieldNode, OperationDefinitionNode, execute, parse


@strawberry.enum
class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Part:
    weight: float
    labels: list[str | None] | None


@strawberry.type
class Thing(Named):
    id: strawberry.ID
    count: int
    colour: Colour | None
    part: Part | None
    parts: list[Part]
    size_in_mm: bool | None = None

    @strawberry.field
    def shouted(self) -> str:
        return self.name.upper()

    @strawberry.field
    def seen_by(self, info: strawberry.Info) -> str | None:
        found: str | None = info.context["caller"]
        return found

    @strawberry.field
    def loaded(self, info: strawberry.Info) -> str:
        async def later() -> str:
            return f"{self.name} later"

        return later() if info.context["late"] else self.name  # type: ignore[return-value]

    @strawberry.field
    async def fetched(self) -> str:
        return f"{self.name} fetched"

    @strawberry.field
    def padded(self, width: int) -> str:
        return self.name.rjust(width)

    @strawberry.field
    def broken(self) -> int | None:
        raise ValueError(f"{self.name} is broken")


def thing(number: int, **values: Any) -> Thing:
    part = Part(weight=number / 2, labels=["a", None] if number % 2 else None)
    usual: dict[str, Any] = {
        "id": f"t{number}", "name": f"thing {number}", "count": number, "colour": Colour.RED if number % 2 else None, "part": part, "parts": [part] * number,
    }  # fmt: skip
    return Thing(**{**usual, **values})


THINGS = [thing(n) for n in range(4)]


@strawberry.type
class Result:
    thing: Thing | None = None
    faults: list[Named] = strawberry.field(default_factory=list)


@strawberry.type
class Query:
    @strawberry.field
    def result(self) -> Result:
        return Result(thing=THINGS[1])

    @strawberry.field
    def faulty(self) -> Result:
        return Result(faults=[THINGS[2]])

    @strawberry.field
    def things(self) -> list[Thing]:
        return THINGS

    @strawberry.field
    def maybe_things(self) -> list[Thing | None] | None:
        return [THINGS[0], None, THINGS[1]]

    @strawberry.field
    def bad_things(self) -> list[Thing | None]:
        return [THINGS[0], thing(7, count=2**40), thing(8, id=None), thing(9, colour="green"), thing(5, count=True)]

    @strawberry.field
    def nameds(self) -> list[Named]:
        return list(THINGS)

    @strawberry.field
    def odd_lists(self) -> list[Thing]:
        return [thing(1, parts=(THINGS[1].part,)), thing(2, part=Part(weight=1.0, labels="ab"))]  # type: ignore[arg-type]


class Recorder(CompiledExecutor):
    """Records of each plan whether it could be compiled."""

    compiled: ClassVar[list[bool]] = []

    def _compile(self, item_type: Any, details: Any) -> Any:
        plan = super()._compile(item_type, details)
        self.compiled.append(plan is not None)
        return plan


plain = strawberry.Schema(Query)
compiled = strawberry.Schema(Query, execution_context_class=Recorder)


async def outcome(schema: strawberry.Schema, query: str, *, late: bool = False, **variables: Any) -> tuple[Any, list[Any]]:
    result = await schema.execute(query, variable_values=variables, context_value={"caller": "acme", "late": late})
    return result.data, [error.formatted for error in result.errors or ()]


async def compiled_of(query: str, **options: Any) -> list[bool]:
    """Whether each list of objects that the query met was compiled."""
    Recorder.compiled.clear()
    assert await outcome(compiled, query, **options) == await outcome(plain, query, **options)
    return list(Recorder.compiled)


@pytest.mark.parametrize(
    "query",
    [
        "{ things { id name count colour sizeInMm } }",
        "{ things { __typename a: id b: id part { weight labels } parts { __typename weight } } }",
        "{ things { shouted seenBy loaded } }",
        "{ maybeThings { name } }",
        "{ things { ...F part { ...P } } } fragment F on Thing { id ... on Named { name } } fragment P on Part { weight }",
        "{ badThings { name } }",
        "{ nameds { name __typename } }",
        "{ result { thing { id part { weight } } faults { name } } }",
    ],
)
async def test_plain_fields_are_compiled_and_read_the_same(query: str) -> None:
    assert await compiled_of(query) == [True]


@pytest.mark.parametrize(
    "query",
    [
        "{ badThings { id } }",
        "{ badThings { count } }",
        "{ badThings { colour } }",
        "{ things { id broken } }",
        "{ oddLists { parts { weight } } }",
        "{ oddLists { part { labels } } }",
        "{ faulty { thing { id } faults { __typename name ... on Thing { count } } } }",
    ],
)
async def test_what_is_out_of_the_ordinary_has_the_errors_of_graphql_core(query: str) -> None:
    # It was compiled, met something unusual, and was completed by graphql-core; what is within it may then be compiled too.
    assert (await compiled_of(query))[0] is True


@pytest.mark.parametrize(
    "query",
    [
        "{ things { fetched } }",
        "{ things { padded(width: 20) } }",
        "query ($yes: Boolean = true) { things { id name @include(if: $yes) } }",
        "{ things { ...F } } fragment F on Thing { part { weight @skip(if: true) labels } }",
        "{ things { id } things { name } }",
    ],
)
async def test_what_cannot_be_known_from_the_selection_alone_is_left_to_graphql_core(query: str) -> None:
    assert True not in await compiled_of(query)


async def test_a_value_that_is_not_there_yet_is_awaited() -> None:
    query = "{ things { name loaded } }"

    assert await compiled_of(query, late=True) == [True]
    data, errors = await outcome(compiled, query, late=True)
    assert (data["things"][1]["loaded"], errors) == ("thing 1 later", [])


def test_a_plan_is_used_again_for_the_same_document_and_goes_with_it() -> None:
    document = parse("{ things { id } }")
    Recorder.compiled.clear()
    for _ in range(3):
        answer: Any = execute(compiled._schema, document, executor_class=Recorder, context_value={}, operation_extensions=None)
        assert answer.errors is None
    assert Recorder.compiled == [True]
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    (field,) = operation.selection_set.selections
    assert isinstance(field, FieldNode)
    (plan,) = map(weakref.ref, plans_of(field).values())
    assert plan() is not None

    del document, operation, field, answer
    gc.collect()

    assert plan() is None
