"""YAML as JSON values: what it means, and what it may not say."""

from __future__ import annotations

from typing import Any

import pytest

from graphook.yaml_text import MAX_DEPTH, BadYAML, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 'y', \"z\"]", {"a": 1, "b": ["x", "y", "z"]}),
        ("no: yes\non: off", {"no": "yes", "on": "off"}),
        ("a: ~\nb: null\nc:\nd: ''", {"a": None, "b": None, "c": None, "d": ""}),
        ("a: true\nb: 'true'", {"a": True, "b": "true"}),
        ("a: 0x1F\nb: 010\nc: -3\nd: 1e3\ne: .5", {"a": 31, "b": 10, "c": -3, "d": 1000.0, "e": 0.5}),
        ("a: 2026-01-31\nb: 1:30\nc: 1_000", {"a": "2026-01-31", "b": "1:30", "c": "1_000"}),
        ("200: ok\ntrue: x", {"200": "ok", "true": "x"}),
        ("a: |\n  b\n  c\n", {"a": "b\nc\n"}),
        ("[]", []),
        ("5", 5),
        ("{a: {b: []}}", {"a": {"b": []}}),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
    ],
)
def test_a_text_has_a_value(text: str, value: Any) -> None:
    assert loads(text) == value or value is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: &a 1", "Anchors are not allowed in YAML, at line 1, column 4."),
        ("a: *b", "Aliases are not allowed in YAML, at line 1, column 4."),
        ("<<: *b", "Aliases"),
        ("a: !!str 1", "Tags"),
        ("a: !local 1", "Tags"),
        ("!!python/object/apply:os.system ['id']", "Tags"),
        ("a: 1\na: 2", "A name comes twice in YAML, at line 2, column 1."),
        ("? [a]\n: 1", "A name in YAML is a text"),
        ("a: .inf", "no infinity"),
        ("a: .NaN", "no infinity"),
        ("a: 1e999", "too large"),
        ("a: 18446744073709551616", "beyond 64 bits"),
        ("a: " + "1" * 5000, "beyond 64 bits"),
        ("a: 1\n---\nb: 2", "not one YAML document, at line 2"),
        ("", "not one YAML document"),
        ("\ta: 1", "cannot start any token, at line 1"),
        ("a: 'b", "not valid YAML"),
        ("\ud800", "surrogate"),
        ("a: \x00", "not valid YAML"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested"),
        ("[" * 5000 + "]" * 5000, "nest"),
        ("".join(" " * n + "a:\n" for n in range(500)) + " " * 500 + "b", "nested"),
    ],
)
def test_what_json_cannot_say_or_multiplies_is_refused_in_a_line(text: str, why: str) -> None:
    with pytest.raises(BadYAML) as refused:
        loads(text)

    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
