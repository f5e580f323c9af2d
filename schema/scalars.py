"""The scalars of the API, each strict about what it reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, NewType

import strawberry

from graphook.clock import format_rfc3339, parse_rfc3339
from graphql import GraphQLError, IntValueNode, StringValueNode, Undefined, ValueNode, value_from_ast_untyped

JSON = NewType("JSON", object)
StringMap = NewType("StringMap", dict[str, str])
URL = NewType("URL", str)
Int64 = NewType("Int64", int)
Color = NewType("Color", str)

_MAX_SAFE = 2**53


def _bad(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})


def _located(parse: Callable[[ValueNode, dict[str, Any] | None], Any]) -> Callable[..., Any]:
    """The parser of a literal whose errors say where in the document it stands."""

    @wraps(parse)
    def run(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        try:
            return parse(node, variables)
        except GraphQLError as error:
            raise GraphQLError(error.message, node, extensions=error.extensions) from error

    return run


def _of_string(parse: Callable[[Any], Any]) -> Callable[..., Any]:
    """The parser of a literal that must be a string, by that of a value."""
    return _located(lambda node, _: parse(node.value if isinstance(node, StringValueNode) else None))


def _string(said: str) -> Callable[[Any], str]:
    """The parser of a value that is a string and nothing else; `said` is the error."""

    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise _bad(said)
        return value

    return parse


def _string_map(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _bad("A StringMap is an object whose values are all strings.")
    return value


@_located
def _string_map_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> dict[str, str]:
    value = value_from_ast_untyped(node, variables)
    if variables is None and isinstance(value, dict):  # validation, which does not know the variables yet
        value = {name: item for name, item in value.items() if item is not Undefined}
    return _string_map(value)


def _json(value: Any) -> Any:
    return value


@_located
def _json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    value = value_from_ast_untyped(node, variables)
    _refuse_what_is_no_json(value, complete=variables is not None)
    return value


def _refuse_what_is_no_json(value: Any, *, complete: bool) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if item is Undefined and complete:
            raise _bad("A variable within JSON must be given.")
        if isinstance(item, int) and not -(2**63) <= item < 2**64:
            raise _bad("A number in JSON is beyond 64 bits; send it in rawPayload or as a string.")
        if isinstance(item, float) and (item != item or item in (float("inf"), float("-inf"))):
            raise _bad("JSON holds no NaN and no infinity.")
        if isinstance(item, dict):
            stack += item.values()
        elif isinstance(item, list):
            stack += item


def _int64(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_SAFE:
        raise _bad("An Int64 is a whole number of at most 2^53.")
    return value


@_located
def _int64_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> int:
    if not isinstance(node, IntValueNode):
        raise _bad("An Int64 is a whole number.")
    return _int64(int(node.value[:20]))


def _date_time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise _bad("A DateTime is a string such as 2026-01-31T12:00:00Z.")
    try:
        return parse_rfc3339(value)
    except ValueError as error:
        raise _bad(f"{error}.") from error


_url, _color = _string("A URL is a string."), _string("A Color is a string.")

SCALARS: dict[object, Any] = {
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value. Numbers pass through a parser: text such as 1.10 does not survive; use a raw form where it must.",
        serialize=_json,
        parse_value=_json,
        parse_literal=_json_literal,
    ),
    StringMap: strawberry.scalar(
        name="StringMap",
        description="An object whose values are all strings.",
        serialize=_json,
        parse_value=_string_map,
        parse_literal=_string_map_literal,
    ),
    URL: strawberry.scalar(
        name="URL",
        description="An absolute http or https URL.",
        specified_by_url="https://url.spec.whatwg.org/",
        serialize=str,
        parse_value=_url,
        parse_literal=_of_string(_url),
    ),
    Color: strawberry.scalar(
        name="Color",
        description="A colour as `#rgb`, `#rgba`, `#rrggbb` or `#rrggbbaa` (component Color).",
        serialize=str,
        parse_value=_color,
        parse_literal=_of_string(_color),
    ),
    Int64: strawberry.scalar(
        name="Int64",
        description="A whole number of at most 2^53.",
        serialize=int,
        parse_value=_int64,
        parse_literal=_int64_literal,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant, as RFC 3339 date-time with an offset; answers are in UTC.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=format_rfc3339,
        parse_value=_date_time,
        parse_literal=_of_string(_date_time),
    ),
}
