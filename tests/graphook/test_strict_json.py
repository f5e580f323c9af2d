"""What counts as JSON, and what is refused instead of being changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphook import strict_json
from graphook.strict_json import MAX_DEPTH, BadJSON


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ('{"a":[1,2.5,"x",true]}', {"a": [1, 2.5, "x", True]}),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ('"12345678901234567890123"', "12345678901234567890123"),
        ('{"a":1,"a":2}', {"a": 2}),
        ('"\\ud83d\\ude00"', "😀"),
    ],
)
def test_strict_json_is_read(text: str, value: object) -> None:
    assert strict_json.loads(text) == value
    assert strict_json.loads(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"   ",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"{'a':1}",
        b"[1,]",
        b"{}{}",
        b"/*c*/1",
        b'"\xff\xfe"',
        b"\xff\xfe1\x00",
        b"\xef\xbb\xbf1",
        b'"\\ud800"',
        b"18446744073709551616",
        b"-9223372036854775809",
        b'{"a":[18446744073709551616]}',
        b"1" + b"0" * 308,
        b"9" * 5000,
    ],
)
def test_anything_else_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(BadJSON) as refused:
        strict_json.loads(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) > 10


def test_a_lone_surrogate_in_text_is_refused() -> None:
    with pytest.raises(BadJSON):
        strict_json.loads('"\ud800"')


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_ends_at_the_documented_depth(opening: str, closing: str) -> None:
    strict_json.loads(opening * MAX_DEPTH + "1" + closing * MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 1020, 100_000):
        with pytest.raises(BadJSON):
            strict_json.loads(opening * depth + "1" + closing * depth)


def test_nesting_around_a_long_number_is_refused_like_any_other() -> None:
    with pytest.raises(BadJSON):
        strict_json.loads("[" * 1020 + "1" * 19 + "]" * 1020)


def test_depth_counts_objects_and_lists() -> None:
    text = strict_json.dumps({"a": [{"b": 1}], "[": '{{{["[', "c\\": []})
    assert not strict_json.depth_exceeds(text, 3)
    assert strict_json.depth_exceeds(text, 2)
    assert not strict_json.depth_exceeds(b'"[text"', 0)
    assert not strict_json.depth_exceeds(b"[" + b"[[]]," * 500 + b"[]]", 3)
    assert strict_json.depth_exceeds(b"[" + b"[[]]," * 500 + b"[[[]]]]", 3)


@given(
    st.recursive(
        st.none() | st.text('[]{}\\"a'),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}\\"', max_size=3), inner, max_size=3),
        max_leaves=30,
    ),
    st.integers(0, 8),
)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_depth_is_counted_whatever_texts_hold(value: Any, limit: int) -> None:
    def depth(of: Any) -> int:
        inner = list(of.values()) if isinstance(of, dict) else of if isinstance(of, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    assert strict_json.depth_exceeds(strict_json.dumps(value), limit) == (depth(value) > limit)


def test_a_value_too_deep_to_write_is_refused() -> None:
    value: Any = 1
    for _ in range(400):
        value = [value]
    with pytest.raises(BadJSON):
        strict_json.dumps(value)


def test_what_is_written_is_compact_and_reads_back() -> None:
    value = {"a": [1, None, "é"]}
    assert strict_json.dumps(value) == '{"a":[1,null,"é"]}'.encode()
    assert strict_json.loads(strict_json.dumps(value)) == value
