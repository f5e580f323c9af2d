"""The limits on a document: each at its edge, through fragments too, in time linear in the document."""

from __future__ import annotations

import time
from typing import Any

import pytest

from graphook.graphql_limits import breach
from graphql import get_introspection_query, parse


def refusal(document: str, **variables: Any) -> str | None:
    """The message of the limit that a document breaks."""
    found = breach(parse(document), variables)
    if found is None:
        return None
    assert (found.extensions or {})["code"] == "COST_LIMIT_EXCEEDED"
    return found.message


def nested(depth: int) -> str:
    return "{a" * depth + "}" * depth


def aliases(number: int) -> str:
    return "{x{" + " ".join(f"a{i}:a" for i in range(number)) + "}}"


def pages(*sizes: str) -> str:
    """Connections within each other, each asked for its nodes."""
    return "{" + "".join(f"c({size}){{nodes{{" for size in sizes) + "id" + "}}" * len(sizes) + "}"


EDGES = [
    ("depth", nested(12), nested(13)),
    ("aliases", aliases(50), aliases(51)),
    ("root fields", "{" + "a " * 20 + "}", "{" + "a " * 21 + "}"),
    ("root fields", "{...F} fragment F on Q{" + "a " * 20 + "}", "{...F} fragment F on Q{" + "a " * 21 + "}"),
    ("root fields", "{... on Q{" + "a " * 20 + "}}", "{... on Q{" + "a " * 21 + "}}"),
    ("directives", "{x{" + "a @d " * 50 + "}}", "{x{" + "a @d " * 51 + "}}"),
    (
        "definitions",
        "{a}" + "".join(f" fragment F{i} on Q{{a}}" for i in range(59)),
        "{a}" + "".join(f" fragment F{i} on Q{{a}}" for i in range(60)),
    ),
    (
        "aliases",
        "{x{...F ...F}} fragment F on Q{" + aliases(25)[3:-2] + "}",
        "{x{...F ...F ...F}} fragment F on Q{" + aliases(25)[3:-2] + "}",
    ),
    ("cost", "{c(first:199){nodes{" + "id " * 50 + "}}}", "{c(first:250){nodes{" + "id " * 50 + "}}}"),
    ("cost", "{c(first:250){nodes{payload rawPayload a:payload}}}", "{c(first:250){nodes{payload rawPayload a:payload b:payload}}}"),
    ("cost", pages("first:250"), pages("first:250", "first:250")),
    ("cost", pages("first:10", "last:10", "limit:10"), pages("first:100", "last:100", "limit:10")),
    ("cost", pages("x:1", "x:1"), pages("x:1", "x:1", "x:1")),
    ("cost", pages("limit:250"), pages("limit:250", "limit:250")),
    ("cost", "{c(first:250){edges{node{id}}}}", "{c(first:250){edges{node{c(first:250){edges{node{id}}}}}}}"),
    ("cost", "{c(first:250){data{id}}}", "{c(first:250){data{c(first:250){data{id}}}}}"),
    # What a resolver refuses pays for nothing beside it.
    (
        "cost",
        "{a:c(first:-250){nodes{" + "id " * 50 + "}} b:c(first:1){nodes{id}}}",
        "{a:c(first:-250){nodes{" + "id " * 50 + "}} b:c(first:250){nodes{" + "id " * 50 + "}}}",
    ),
    ("depth", "{...F} fragment F on Q" + nested(12), "{...F} fragment F on Q" + nested(13)),
    ("directives", "{a " + "@d " * 50 + "}", "{a " + "@d " * 51 + "}"),
    ("root fields", "{" + "__typename __schema{types{name}} " * 10 + "}", "{" + "__schema{types{name}} " * 21 + "}"),
]


@pytest.mark.parametrize(("rule", "within", "beyond"), EDGES)
def test_a_limit_holds_at_its_edge_and_its_refusal_names_the_rule(rule: str, within: str, beyond: str) -> None:
    assert refusal(within) is None
    assert rule in (refusal(beyond) or "")


def test_a_page_counts_in_a_fragment_as_it_does_in_place() -> None:
    in_place = "{c(first:250){nodes{c(first:250){nodes{id}}}}}"
    in_fragments = "{c(first:250){...F}} fragment F on C{nodes{c(first:250){...G}}} fragment G on C{... on C{nodes{id}}}"
    assert refusal(in_place) == refusal(in_fragments) is not None


def test_one_fragment_counts_with_the_page_of_each_place() -> None:
    fragment = "fragment F on C{nodes{" + "id " * 60 + "}}"
    assert refusal("{a:c(first:1){...F} b:c(first:2){...F}}" + fragment) is None
    assert "cost" in (refusal("{a:c(first:1){...F} b:c(first:250){...F}}" + fragment) or "")


def test_page_sizes_in_variables_count() -> None:
    document = "query($n:Int){" + pages("first:$n", "first:$n")[1:]
    assert refusal(document, n=1) is None
    assert refusal(document) is None
    assert "cost" in (refusal(document, n=250) or "")


def test_the_default_of_a_variable_counts_unless_a_value_is_given() -> None:
    document = "query($n:Int=250){" + pages("first:$n", "first:$n")[1:]
    assert "cost" in (refusal(document) or "")
    assert refusal(document, n=2) is None


def test_a_size_written_as_a_float_counts_as_the_number_it_is() -> None:
    document = "query($n:Int){" + pages("first:$n", "first:$n")[1:]
    assert refusal(document, n=1.0) is None
    assert "cost" in (refusal(document, n=250.0) or "")


@pytest.mark.parametrize("arguments", ["first:$a limit:$b", "limit:$b first:$a", "first:null limit:250", "last:$a first:250"])
def test_the_size_that_is_given_counts_where_others_are_written_too(arguments: str) -> None:
    document = "query($a:Int $b:Int){" + pages(arguments, arguments)[1:]
    for absent in ({}, {"a": None}):
        assert "cost" in (refusal(document, b=250, **absent) or "")
    few = document.replace("250", "2")
    assert refusal(few, b=2) is None


def test_the_largest_default_counts_where_operations_differ() -> None:
    large, small = (
        "query " + name + "($n:Int=" + size + "){" + pages("first:$n", "first:$n")[1:] for name, size in (("A", "250"), ("B", "1"))
    )
    assert refusal(small) is None
    assert "cost" in (refusal(large + small) or "")


@pytest.mark.parametrize("size", [10**30, 1e300, 1.5, -5, 0, True, "250", None, [250]])
def test_a_size_that_the_resolver_will_refuse_breaks_nothing_here(size: Any) -> None:
    assert refusal("query($n:Int){" + pages("first:$n")[1:], n=size) is None


def test_a_huge_literal_size_counts_as_the_largest_page() -> None:
    assert refusal(pages("first:" + "9" * 1000)) is None


def test_introspection_is_exempt_from_depth_and_cost() -> None:
    assert refusal(get_introspection_query()) is None
    assert refusal("{__schema" + "{a" * 30 + "}" * 30 + "}") is None


FIELDS = "fields{args{name description type{name kind ofType{name kind}}}}"


@pytest.mark.parametrize(
    "document",
    [
        "{" + "".join(f"a{number}:__schema{{types{{...F}}}}" for number in range(19)) + "} fragment F on __Type{" + FIELDS * 3 + "}",
        "{__schema{types{" + "".join(f"a{number}:{FIELDS} " for number in range(50)) + "}}}",
        "{...F} fragment F on Query{__schema{types{... on __Type{" + "".join(f"a{number}:{FIELDS} " for number in range(50)) + "}}}}",
        get_introspection_query().replace("types {", "types { ...FullType } a: types { ...FullType } b: types {"),
    ],
)
def test_introspection_that_asks_for_much_more_than_the_standard_query_is_refused(document: str) -> None:
    assert "introspection" in (refusal(document) or "")


def test_aliases_within_introspection_count() -> None:
    asked = " ".join(f"a{number}: name" for number in range(51))
    assert "aliases" in (refusal(f'{{__type(name: "Query") {{{asked}}}}}') or "")


@pytest.mark.parametrize("document", ["{...A} fragment A on Q{...A}", "{...A} fragment A on Q{...B} fragment B on Q{...A}", "{...Missing}"])
def test_what_validation_refuses_ends_the_walk_too(document: str) -> None:
    assert refusal(document) is None


def test_chained_fragments_are_walked_once() -> None:
    chain = " ".join(f"fragment F{i} on Q{{a{i}{{...F{i + 1} ...F{i + 1}}}}}" for i in range(50))
    document = parse("{...F0} " + chain + " fragment F50 on Q{a}")
    began = time.process_time()
    assert breach(document, None) is not None
    assert time.process_time() - began < 0.5  # a walk of every spread would take 2^50 steps


def test_inline_fragments_without_end_are_refused() -> None:
    assert "depth" in (refusal("{" + "...{" * 97 + "a" + "}" * 98) or "")
