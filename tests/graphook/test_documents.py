"""Documents that are kept are bounded in memory, whatever is sent, and what is made of one goes with it."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types.graphql import OperationType

from graphook.compiled_inputs import CachedNames, compile_inputs
from graphook.compiled_selections import CompiledExecutor, plans_of
from graphook.documents import Document, Documents, documents
from graphook.execution import Execution
from graphql import FieldNode


@strawberry.type
class Thing:
    size: int


async def show_thing(info: strawberry.Info, size: int = 1) -> Thing:
    return Thing(size=size)


@strawberry.type
class Query:
    thing: Thing = strawberry.field(resolver=show_thing)


schema = strawberry.Schema(
    Query,
    execution_context_class=CompiledExecutor,
    config=StrawberryConfig(name_converter=CachedNames()),
)
compile_inputs(schema)


@pytest.fixture
def without_a_look_for_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def executed(text: str) -> Document:
    """The document, after it was executed by graphql-core and directly."""
    for _ in range(2):
        result = await Execution(schema).run(text, {"size": 3}, None, None, {OperationType.QUERY})
        assert (result.data, result.errors) == ({"thing": {"size": 3}}, None)
    gc.collect(1)  # what graphql-core leaves behind of the request
    return documents.get(schema._schema, text)


def field_of(document: Document) -> FieldNode:
    (field,) = document.operations[0].selection_set.selections
    assert isinstance(field, FieldNode)
    return field


def made_of(document: Document) -> list[weakref.ref[Any]]:
    """Weak references to what is kept of a document that was executed."""
    (plan,) = plans_of(field_of(document)).values()
    direct = document.direct(schema, document.operations[0])
    assert plan is not None
    assert direct is not None
    assert document.node.loc is not None
    return [weakref.ref(kept) for kept in (document.node, document.node.loc.source, field_of(document), plan, direct, direct._arguments)]


@pytest.mark.usefixtures("without_a_look_for_garbage")
async def test_what_is_kept_of_documents_that_are_mostly_comments_goes_when_they_do() -> None:
    kept = [made_of(await executed("#\n" * 4900 + f"query Q{n}($size: Int) {{ thing(size: $size) {{ size }} }}")) for n in range(20)]

    alive = [[reference() is not None for reference in references] for references in kept]

    # Some four megabytes are reckoned for each of them and its plans.
    assert sum(map(any, alive)) <= 12
    assert all(alive[-1])
    assert alive == [[any(one)] * 6 for one in alive]


@pytest.mark.usefixtures("without_a_look_for_garbage")
def test_a_document_that_is_dropped_leaves_no_garbage() -> None:
    documents = Documents(most=0)

    documents.get(schema._schema, "#\n" * 4900 + "{ thing { size } }")

    assert gc.collect() < 100


async def test_the_documents_used_last_are_those_that_are_kept() -> None:
    known = Documents(most=50_000)
    texts = ["{ a: thing { size } }", "{ b: thing { size } }", "{ c: thing { size } }", "{ d: thing { size } }"]
    first, second = (known.get(schema._schema, text) for text in texts[:2])
    assert known.get(schema._schema, texts[0]) is first

    known.get(schema._schema, texts[2])
    known.get(schema._schema, texts[3])

    assert known.get(schema._schema, texts[0]) is first
    assert known.get(schema._schema, texts[1]) is not second


@pytest.mark.parametrize(
    "text",
    [
        "{ thing { " + "size " * 2000 + "} }",
        "{ thing(size: [" + "[]," * 1600 + "]) { size } }",
        "{ " + "thing { size } " * 1200 + "}",
        "query (" + "$a: [Int] " * 700 + ") { thing { size } }",
        "{ thing " + "@skip(if: true) " * 500 + "{ size } }",
        '{ thing(size: "' + "\N{GRINNING FACE}" * 60_000 + '") { size } }',
        "#\n" * 4900 + "{ thing { size } }",
        "{ thing { size } }",
    ],
    ids=lambda text: text[:20].strip(),
)
@pytest.mark.usefixtures("without_a_look_for_garbage")
def test_no_document_is_larger_than_it_counts_for(text: str) -> None:
    known = Documents()
    tracemalloc.start()
    try:
        known.get(schema._schema, text)
        # What the parser leaves behind is garbage, not kept.
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 0 < size <= known._bytes
