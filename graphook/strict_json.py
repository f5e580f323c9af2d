"""Strict JSON: UTF-8, no NaN, no lone surrogates, no numbers that would change, no nesting without end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

MAX_DEPTH = 128
# orjson reads an integer beyond 64 bits as a float, silently: a run of digits this long is looked at again.
_LONG_NUMBER = re.compile(rb"\d{19}")


class BadJSON(ValueError):
    """The text is not strict JSON; the message says why in one line."""


def loads(data: bytes | str) -> Any:
    """The value of a JSON text. Raises `BadJSON`."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadJSON(f"The text is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    # Before the second parser, which recurses and would end in a RecursionError.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and depth_exceeds(value, MAX_DEPTH):
        raise BadJSON(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    if _LONG_NUMBER.search(raw):
        json.loads(raw, parse_int=_checked_integer)
    return value


def dumps(value: Any) -> bytes:
    """The compact JSON text of a value."""
    return orjson.dumps(value)


def depth_exceeds(value: Any, limit: int) -> bool:
    """Whether objects and lists nest deeper than `limit`."""
    level = _containers((value,))
    for _ in range(limit):
        if not level:
            return False
        level = _containers(child for item in level for child in (item.values() if isinstance(item, dict) else item))
    return bool(level)


def _containers(values: Iterable[Any]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


def _checked_integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise BadJSON("The JSON holds an integer beyond 64 bits; send it as a string.")
    return 0
