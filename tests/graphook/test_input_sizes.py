"""The limits on variables: each at its edge and at its place, and what is beyond them costs next to nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from graphook.input_sizes import MAX_ITEMS, looks, oversize
from graphql import build_schema, parse

SCHEMA = build_schema("""
    scalar JSON
    input Part { name: String, parts: [String!], whole: JSON }
    input Whole { part: Part, list: [Part!]! }
    type Query { a(whole: Whole, wholes: [[Whole]], json: JSON, text: String): String }
""")
DOCUMENT = parse(
    "query ($whole: Whole!, $wholes: [[Whole]], $json: JSON, $text: String, $none: Nothing) { a(whole: $whole, wholes: $wholes, json: $json, text: $text) }"
)
MANY = ["x"] * (MAX_ITEMS + 1)


def refused(**variables: Any) -> list[str] | None:
    found = oversize(variables, looks(SCHEMA, DOCUMENT))
    if found is None:
        return None
    assert (found.extensions or {})["code"] == "BAD_USER_INPUT"
    return list((found.extensions or {})["path"])


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"whole": {"part": {"parts": MANY}}}, ["whole", "part", "parts"]),
        ({"whole": {"list": [{}, {"parts": MANY}]}}, ["whole", "list", "1", "parts"]),
        ({"whole": {"list": MANY}}, ["whole", "list"]),
        ({"wholes": [[], [{"part": {"parts": MANY}}]]}, ["wholes", "1", "0", "part", "parts"]),
        ({"wholes": MANY}, ["wholes"]),
        # One thing that stands for a list of one.
        ({"whole": {"list": {"parts": MANY}}}, ["whole", "list", "parts"]),
        ({"wholes": dict.fromkeys(map(str, range(MAX_ITEMS + 1)))}, ["wholes"]),
        ({"whole": dict.fromkeys(map(str, range(MAX_ITEMS + 1)))}, ["whole"]),
        ({"whole": {"part": {"x" * 1001: 1}}}, ["whole", "part"]),
    ],
)
def test_what_is_too_large_is_refused_at_its_place(variables: dict[str, Any], path: list[str]) -> None:
    assert refused(**variables) == path


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"whole": {"part": {"parts": MANY[1:], "whole": MANY}}, "json": MANY, "text": MANY, "none": MANY},
        # For others to refuse, or to make lists of.
        {"whole": {"part": MANY[:1], "list": {"parts": "x"}}, "wholes": {"part": None}},
        {"whole": "text", "wholes": [1, None, [None, "x"]]},
        {"whole": {"x" * 1000: 1}},
    ],
)
def test_what_is_not_too_large_is_left_to_others(variables: dict[str, Any]) -> None:
    assert refused(**variables) is None


def test_a_refusal_costs_next_to_nothing() -> None:
    variables = {"whole": dict.fromkeys(map(str, range(500_000)), 1)}
    began = time.process_time()

    assert refused(**variables) == ["whole"]
    assert time.process_time() - began < 0.5
