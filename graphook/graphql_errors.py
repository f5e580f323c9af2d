"""What a client may know of the errors of an operation: each has a code; a fault of ours is logged and masked."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from graphook.access import request_id
from graphook.documents import MAX_ERRORS
from graphook.errors import GraphookError, Unavailable
from graphook.outage import is_outage, log_outage
from graphql import GraphQLError, GraphQLSyntaxError

log = logging.getLogger(__name__)

# graphql-core repeats a wrong value in full.
MAX_MESSAGE = 1000
# Raised for what is not executed; each has an HTTP status of its own.
NOT_EXECUTED = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)


def outcome(errors: Sequence[GraphQLError] | None) -> str:
    """The code of the first error, OK when there is none."""
    return str((errors[0].extensions or {}).get("code", "UNKNOWN")) if errors else "OK"


def unexecuted(error: Exception) -> GraphQLError:
    """Why an operation was not executed, in a stream, which has no HTTP status to say it with."""
    said = "No GraphQL query found in the request"
    if isinstance(error, CannotGetOperationTypeError):
        said = "The document has no operation." if error.operation_name is None else error.as_http_error_reason()
    elif isinstance(error, InvalidOperationTypeError):
        said = f"A {error.operation_type.value} is not what this stream is for."
    return GraphQLError(said, extensions={"code": "OPERATION_RESOLUTION_FAILURE"})


def shown(errors: Sequence[GraphQLError], *, suggest: bool) -> list[GraphQLError]:
    """What a client may know of the errors of an operation; `suggest` says whether they may name what the schema has instead."""
    return [_shown(error, suggest) for error in errors[:MAX_ERRORS]]


def _shown(error: GraphQLError, suggest: bool) -> GraphQLError:
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if original is not None and is_outage(original):
        log_outage(original)
        original = Unavailable("The database is not available; try again.")
    if isinstance(original, GraphookError):
        return _copy(error, original.message, dict(original.extensions))
    if original is None or isinstance(original, GraphQLError):
        extensions = dict(error.extensions or {})
        extensions.setdefault("code", _code(error))
        return _refused(error, extensions, suggest)
    return _copy(error, "Internal server error", fault_of_ours(original, error.path))


def fault_of_ours(fault: BaseException, where: object) -> dict[str, Any]:
    """Log a fault with its traceback; the `extensions` of the error that stands for it, by which it is found in the log."""
    name = request_id()
    log.error("request %s broke at %s", name, where, exc_info=fault, extra={"request_id": name})
    return {"code": "INTERNAL_SERVER_ERROR", "requestId": name}


def _code(error: GraphQLError) -> str:
    if isinstance(error, GraphQLSyntaxError):
        return "GRAPHQL_PARSE_FAILED"
    if error.path or error.message.startswith(("Variable '", "Expected value of", "Enum ")):
        return "BAD_USER_INPUT"
    return "GRAPHQL_VALIDATION_FAILED"


# How graphql-core begins when it refuses a value. It keeps the path of a variable's nowhere else; a field that there is not may have any name.
_VALUE = re.compile(
    r"(?:Variable '\$(\w+)' has invalid value(?: at ((?:\.\w+|\[\d+\])+))?: )?"
    r"(?:(Expected value of type '[^']*' (?:to include required|not to include unknown) field '(.*?)')(?:, found: |(\. Did you mean .*?\?) Found: ))?",
    re.DOTALL,
)
_SUGGESTION = re.compile(r" Did you mean [^?]*\?")

# graphql-core speaks Python here.
_NONE = re.compile(r"(?:(?<=not to be )|(?<= value: ))None\b")


def _refused(error: GraphQLError, extensions: dict[str, Any], suggest: bool) -> GraphQLError:
    """The error without the values beside the wrong one; that of a variable has the path of it, which begins with the variable's name."""
    said = _NONE.sub("null", error.message)
    found = _VALUE.match(said)
    variable, place, fault, name, suggestion = found.groups() if found else (None,) * 5
    if found and fault is not None:
        # What it found there may be a secret.
        said = said[: found.end(3)] + (suggestion or ".")
    if not suggest:
        said = _SUGGESTION.sub("", said)
    if variable is not None:
        path = [variable, *re.findall(r"\w+", place or ""), *([] if name is None else [name])]
        extensions = {"path": path, **extensions}
    return _copy(error, said, extensions)


def _copy(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    shown = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"
    return GraphQLError(shown, nodes=error.nodes, source=error.source, positions=error.positions, path=error.path, extensions=extensions)
