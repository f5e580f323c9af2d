"""The constraints of inputs, at their edges and beyond."""

from __future__ import annotations

from typing import Any

import pytest

from graphook import rules


def messages(rule: rules.Rule, value: Any) -> list[tuple[tuple[str, ...], str]]:
    return [(fault.path, fault.message) for fault in rule.check(value, ("input", "field"))]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (rules.UID, ["a", "a" * 256, "A-z_0.9"], ["", "a" * 257, "a b", "é", "a\n", "app_1", "msg_x", "\x00"]),
        (rules.EVENT_TYPE, ["a", "user.signup", "app_1", "a" * 256], ["", "a" * 257, "a/b", "a\n"]),
        (rules.CHANNEL, ["c" * 128], ["c" * 129, "", "a:b"]),
        (rules.NAME, ["n", "Häberle\n"], ["", " ", "\u3000\n\t", "a\x00", "\x08", "\ud800"]),
        (rules.TOKEN_NAME, ["n", "back end", "Häberle 🪝"], ["", " ", "a\nb", "a\tb", "\x1b[31m", "\x7f", "\x9b", "\x00"]),
        (rules.DESCRIPTION, ["", "x\ty\n"], ["\x01"]),
        (rules.RATE_LIMIT, [1, 65_535], [0, -1, 65_536]),
        (rules.RETENTION_DAYS, [5, 90], [4, 91]),
        (rules.MESSAGE_CHANNELS, [["a"], list("abcde")], [[], list("abcdef"), ["a", "a"], ["a", ""]]),
        (rules.ENDPOINT_CHANNELS, [["a"], [str(n) for n in range(10)]], [[], [str(n) for n in range(11)]]),
        (rules.TAGS, [list("abcde")], [[], list("abcdef")]),
        (rules.FILTER_TYPES, [["a"], [str(n) for n in range(500)]], [[], ["a", "a"], ["a b"]]),
        (rules.METADATA, [{}, {"k": "v" * 4000}], [{"k": "v" * 4096}, {"k\x00": "v"}, {"k": "\ud800"}]),
    ],
)
def test_a_rule_takes_what_is_within_and_refuses_what_is_beyond(rule: rules.Rule, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert messages(rule, value) == [], value
    for value in bad:
        found = messages(rule, value)
        assert found, value
        assert all(path[:2] == ("input", "field") for path, _ in found)


def test_a_fault_in_a_list_names_its_place() -> None:
    assert [path for path, _ in messages(rules.TAGS, ["ok", "not ok", "ok"])] == [("input", "field", "1"), ("input", "field", "2")]
    ((_, message),) = messages(rules.TAGS, ["ok", "not ok"])
    assert message.startswith("The value 'not ok' of list item 2 of field must match")
    assert messages(rules.RETRY_SCHEDULE, [-1])[0][1] == "list item 1 of field is -1; 0 to 604800 are allowed."
    assert messages(rules.FILTER_TYPES, [])[0][1] == "field has 0 items; at least 1 are allowed."
    assert messages(rules.Items(rules.TAG, 2, 3), ["a"])[0][1] == "field has 1 item; 2 to 3 are allowed."
    assert messages(rules.Text(2, 3), "a")[0][1] == "The value 'a' of field has 1 character; 2 to 3 are allowed."
    assert messages(rules.Range(1, 1), 2)[0][1] == "field is 2; only 1 is allowed."


def test_a_secret_is_never_repeated_and_a_long_value_is_shortened() -> None:
    ((_, message),) = messages(rules.SECRET, "whsec_!!")
    assert "whsec_!!" not in message
    ((_, message),) = messages(rules.UID, "x" * 1000)
    assert len(message) < 150
    assert message.startswith(f"The value '{'x' * 35}…' of field has 1000 characters")


def test_a_rule_describes_itself() -> None:
    assert rules.UID.describe() == r"1 to 256 characters, matching `^[a-zA-Z0-9\-_.]+$`, not beginning like one of our ids"
    assert rules.MESSAGE_CHANNELS.describe().startswith("1 to 5 different items, each 1 to 128 characters")
