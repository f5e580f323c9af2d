"""Compiled inputs: resolvers get the same objects as Strawberry builds."""

from __future__ import annotations

import enum
from typing import Any

import pytest
import strawberry
from strawberry import UNSET
from strawberry.schema.config import StrawberryConfig

from graphook.compiled_inputs import CachedNames, compile_inputs


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
    colours: list[Colour] | None = None
    colour: Colour = Colour.RED
    size: int | None = UNSET


@strawberry.type
class Query:
    @strawberry.field
    def show(self, thing: ThingIn, more: list[ThingIn] | None = None) -> str:
        return f"{thing!r} {more!r}"


plain = strawberry.Schema(Query)
compiled = strawberry.Schema(Query, config=StrawberryConfig(name_converter=CachedNames()))
compile_inputs(compiled)

QUERY = "query ($thing: ThingIn!, $more: [ThingIn!]) { show(thing: $thing, more: $more) }"


@pytest.mark.parametrize(
    "variables",
    [
        {"thing": {"name": "a"}},
        {"thing": {"name": "a", "part": None, "parts": None, "colours": [], "size": None}},
        {"thing": {"name": "a", "part": {"weightInKg": 1}, "parts": [None, {"weightInKg": 2.5, "labels": [None, "x"]}], "colours": ["BLUE"], "size": 3}},
        {"thing": {"name": "a", "colour": "BLUE"}, "more": [{"name": "b"}, {"name": "c", "part": {"weightInKg": 1}}]},
        {"thing": {"name": "a", "parts": {"weightInKg": 1}}, "more": {"name": "one stands for a list of one"}},
        {"thing": {"name": "a", "unknown": 1}},
        {"thing": {"part": {"weightInKg": 1}}},
    ],
)  # fmt: skip
async def test_variables_become_the_same_objects(variables: dict[str, Any]) -> None:
    theirs = await plain.execute(QUERY, variable_values=variables)
    ours = await compiled.execute(QUERY, variable_values=variables)

    assert ours.data == theirs.data
    assert [e.message for e in ours.errors or ()] == [e.message for e in theirs.errors or ()]
    assert ("unknown" in variables["thing"] or "name" not in variables["thing"]) == bool(theirs.errors)


async def test_literals_become_the_same_objects() -> None:
    query = '{ show(thing: {name: "a", parts: [{weightInKg: 1}], colour: BLUE}) }'

    assert (await compiled.execute(query)).data == (await plain.execute(query)).data


async def test_a_default_list_is_not_shared_between_requests() -> None:
    seen: list[Any] = []

    @strawberry.type
    class Changing:
        @strawberry.field
        def change(self, part: Part) -> int:
            part.labels.append("changed")
            seen.append(part.labels)
            return len(part.labels)

    schema = strawberry.Schema(Changing)
    compile_inputs(schema)
    for _ in range(2):
        assert (await schema.execute("{ change(part: {weightInKg: 1}) }")).data == {"change": 2}


def test_names_in_the_schema_are_the_same() -> None:
    assert compiled.as_str() == plain.as_str()
