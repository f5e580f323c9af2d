"""Strict JSON: UTF-8, no NaN, no lone surrogates, no numbers that would change, no nesting without end."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

MAX_DEPTH = 128
# orjson reads an integer beyond 64 bits as a float, silently: a run of digits this long is looked at again.
_LONG_RUN = b"0" * 19
_DIGITS_ALIKE = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BRACKETS_ALIKE = bytes.maketrans(b"[]{}", b"()()")


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
    if depth_exceeds(raw, MAX_DEPTH):
        raise BadJSON(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    if _LONG_RUN in raw.translate(_DIGITS_ALIKE):
        json.loads(raw, parse_int=_checked_integer)
    return value


def dumps(value: Any) -> bytes:
    """The compact JSON text of a value. Raises `BadJSON` for one that is nested more than some 250 levels deep."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        if "ecursion" not in str(error):
            raise
        raise BadJSON("The JSON is nested too deep.") from None


def depth_exceeds(text: bytes, limit: int) -> bool:
    """Whether objects and lists nest deeper than `limit` in a valid JSON text."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    # Of `{"a": [1], "b": "["}` this leaves `(())`; each pass takes the innermost pairs out.
    nested = _STRINGS.sub(b"", text).translate(_BRACKETS_ALIKE, _ALL_BUT_BRACKETS)
    for _ in range(limit):
        if not nested:
            return False
        nested = nested.replace(b"()", b"")
    return bool(nested)


def _checked_integer(digits: str) -> int:
    # It has some 300 digits at most: what is more than a double holds was refused already.
    if not -(2**63) <= int(digits) < 2**64:
        raise BadJSON("The JSON holds an integer beyond 64 bits; send it as a string.")
    return 0
