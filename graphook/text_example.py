"""Texts that fit a JSON Schema: of its pattern, of its format, of its length; the same each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as regex  # type: ignore[attr-defined]
from typing import Any

from graphook.schema_check import pattern

MAX_TEXT = 10_000

_FORMATS = {
    "date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "time": "12:00:00Z", "duration": "P1D", "email": "someone@example.com",
    "idn-email": "someone@example.com", "hostname": "example.com", "idn-hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "uri": "https://example.com/", "uri-reference": "/path", "iri": "https://example.com/", "iri-reference": "/path", "url": "https://example.com/",
    "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "json-pointer": "/a", "relative-json-pointer": "0/a", "regex": "^a$",
    "uri-template": "https://example.com/{id}",
}  # fmt: skip


class TooMuch(Exception):
    """An example would be too large, or has been looked for too long."""


def texts(schema: Mapping[str, Any]) -> Iterator[str]:
    """What might fit a schema of texts. Raises `TooMuch`."""
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    if least > MAX_TEXT:
        raise TooMuch
    if "pattern" in schema:
        for repeats in range(4):
            yield from matching(schema["pattern"], repeats, least)
    if schema.get("format") in _FORMATS:
        yield _FORMATS[schema["format"]]
    text = "text" if least <= 4 else "text".ljust(least, "x")
    yield text if most is None else text[: int(most)]


def matching(text: str, more: int = 0, least: int = 0) -> Iterator[str]:
    """A text or two that a pattern may match: each repetition as often as it must, and `more` than that."""
    translated = text.replace(r"\z", r"\Z")
    try:
        tree = regex.parse(translated)
    except (regex.error, RecursionError, OverflowError):
        return
    for extra in (more, max(more, least)):
        try:
            yield "".join(_of_tree(tree, extra, {}))
        except TooMuch:
            continue


def _of_tree(tree: Any, more: int, groups: dict[int, str]) -> Iterator[str]:
    size = 0
    for operator, argument in tree:
        for piece in _of_node(operator, argument, more, groups):
            size += len(piece)
            if size > MAX_TEXT:
                raise TooMuch
            yield piece


def _of_node(operator: Any, argument: Any, more: int, groups: dict[int, str]) -> Iterator[str]:
    if operator is kinds.LITERAL:
        yield chr(argument)
    elif operator is kinds.NOT_LITERAL:
        yield "b" if argument == ord("a") else "a"
    elif operator is kinds.ANY:
        yield "a"
    elif operator is kinds.IN:
        yield _one_of(argument)
    elif operator in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
        low, high, inner = argument
        once = "".join(_of_tree(inner, more, groups))
        times = min(low + more, int(high))
        if len(once) * times > MAX_TEXT:
            raise TooMuch
        yield once * times
    elif operator is kinds.SUBPATTERN:
        number, _, _, inner = argument
        groups[number] = "".join(_of_tree(inner, more, groups))
        yield groups[number]
    elif operator is kinds.BRANCH:
        yield from _of_tree(argument[1][min(more, len(argument[1]) - 1)], more, groups)
    elif operator is kinds.CATEGORY:
        yield _of_category(argument)


def _one_of(items: Any) -> str:
    """A character of a class, a letter or a digit where it allows one."""
    if items[0][0] is kinds.NEGATE:
        return next((character for character in "a0A_- .\n~" if not _in_class(ord(character), items[1:])), "é")
    plain = next((character for character in "a0A" if _in_class(ord(character), items)), None)
    if plain is not None:
        return plain
    operator, argument = items[0]
    if operator is kinds.LITERAL:
        return chr(argument)
    return chr(argument[0]) if operator is kinds.RANGE else _of_category(argument)


def _in_class(code: int, items: Any) -> bool:
    for operator, argument in items:
        if (operator is kinds.LITERAL and code == argument) or (operator is kinds.RANGE and argument[0] <= code <= argument[1]):
            return True
        if operator is kinds.CATEGORY and pattern(_CATEGORIES[argument][1]).search(chr(code)):
            return True
    return False


_CATEGORIES = {
    kinds.CATEGORY_DIGIT: ("0", r"\d"), kinds.CATEGORY_NOT_DIGIT: ("a", r"\D"), kinds.CATEGORY_WORD: ("a", r"\w"),
    kinds.CATEGORY_NOT_WORD: ("-", r"\W"), kinds.CATEGORY_SPACE: (" ", r"\s"), kinds.CATEGORY_NOT_SPACE: ("a", r"\S"),
}  # fmt: skip


def _of_category(category: Any) -> str:
    return _CATEGORIES[category][0]
