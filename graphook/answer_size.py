"""How large an answer becomes, found before it is written: a few large texts under many names come to gigabytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphook import strict_json
from graphook.errors import LimitExceeded
from graphql import GraphQLError

# Bytes. An answer is written without a pause, in which nobody else is served.
MAX_ANSWER = 64 * 1024 * 1024
TOO_LARGE = f"One answer has at most {MAX_ANSWER >> 20} MiB; ask for less at once."
# How deep below `data` a list may stand: in a connection, and that in a payload.
_LEVELS = 3


def refusal(data: Mapping[str, Any] | None) -> GraphQLError | None:
    """What an operation is answered with instead of more bytes than an answer may have; None for what is no larger.

    Only what lists hold is counted: the document's limits keep everything beside them small.
    """
    size = 0
    for item in _listed(data, _LEVELS):
        size += len(strict_json.dumps(item))
        if size > MAX_ANSWER:
            return GraphQLError(TOO_LARGE, extensions={"code": LimitExceeded.code})
    return None


def _listed(value: Any, levels: int) -> Iterator[Any]:
    if type(value) is list:
        yield from value
    elif type(value) is dict and levels:
        for item in value.values():
            yield from _listed(item, levels - 1)
