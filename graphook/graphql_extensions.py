"""What every GraphQL operation passes through: one parse per document, the limits, a time limit, and errors that say what a client may know."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import strawberry
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import MaskErrors, SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext
from strawberry.types.graphql import OperationType

from graphook import answer_size, metrics, tracing
from graphook.access import request_id
from graphook.documents import MAX_ERRORS, Document, documents
from graphook.errors import GraphookError, Unavailable
from graphook.graphql_limits import MAX_TOKENS
from graphook.outage import is_outage, log_outage
from graphql import GraphQLError, GraphQLSyntaxError

log = logging.getLogger(__name__)

OPERATION_SECONDS = 10.0
# graphql-core repeats a wrong value in full.
MAX_MESSAGE = 1000


class DocumentCache(SchemaExtension):
    """Parses, validates and weighs each document once."""

    _document: Document | None = None

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        try:
            self._document = documents.get(context.schema._schema, context.query or "")
            context.graphql_document = self._document.node
        except GraphQLError:
            context.parse_options["max_tokens"] = MAX_TOKENS  # Strawberry parses again and reports it
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if self._document is not None and context.pre_execution_errors is None:
            context.pre_execution_errors = self._document.refusals(
                context.schema._schema, context.validation_rules, context.variables, context._provided_operation_name
            )
        yield


class TimeLimit(SchemaExtension):
    """Ends queries and mutations that take more than `seconds`, by cancelling them.

    What a mutation has committed stays committed; a resolver that must not be torn while it commits shields that part itself.
    """

    seconds = OPERATION_SECONDS

    async def on_execute(self) -> AsyncIterator[None]:
        if self.execution_context.operation_type is OperationType.SUBSCRIPTION:
            yield
            return
        async with limited(self.seconds):
            yield


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[None]:
    """Cancel the block after so many seconds and raise the error that says so."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise took_too_long(seconds) from error


def took_too_long(seconds: float) -> GraphQLError:
    """What an operation that was cancelled after so many seconds is answered with."""
    return GraphQLError(f"The operation took more than {seconds:g} seconds.", extensions={"code": "TIMEOUT"})


class AnswerLimit(SchemaExtension):
    """Refuses what would be too large an answer to a query or mutation. An event of a subscription holds no list that is long."""

    def on_execute(self) -> Iterator[None]:
        yield
        result: Any = self.execution_context.result
        if refusal := answer_size.refusal(getattr(result, "data", None)):
            result.data, result.errors = None, [refusal]


class Observed(SchemaExtension):
    """Measures queries and mutations, and traces those that run where tracing is on. Outermost: it sees what the client is told."""

    def on_operation(self) -> Iterator[None]:
        began = perf_counter()
        yield
        kind = self._kind()
        if kind is not None:
            metrics.operation_ended(kind, outcome(self._errors()), perf_counter() - began)

    def on_execute(self) -> Iterator[None]:
        kind = self._kind()
        if kind is None:
            yield
            return
        context = self.execution_context
        with tracing.operation(kind, context.operation_name, getattr(context.context, "headers", {})) as span:
            yield
            tracing.ended(span, outcome(self._errors()))

    def _kind(self) -> str | None:
        # A subscription runs in many steps, in whichever task asks for the next: no time is its duration, and no span the current one of all.
        try:
            kind = self.execution_context.operation_type
        except (CannotGetOperationTypeError, RuntimeError):
            return None
        return None if kind is OperationType.SUBSCRIPTION else kind.value

    def _errors(self) -> Sequence[GraphQLError]:
        context = self.execution_context
        return getattr(context.result, "errors", None) or context.pre_execution_errors or ()


def outcome(errors: Sequence[GraphQLError] | None) -> str:
    """The code of the first error, OK when there is none."""
    return str((errors[0].extensions or {}).get("code", "UNKNOWN")) if errors else "OK"


_NOT_RUNNABLE = (CannotGetOperationTypeError, InvalidOperationTypeError, MissingQueryError)


class ShownErrors(MaskErrors):
    """Turns every error into what a client may know: at most nine, each with a code; a fault of ours is logged and masked."""

    def _process_result(self, result: Any) -> None:
        # Strawberry asks whether the result fits a protocol, which costs a subscription as much as to write what it answers with.
        if errors := getattr(result, "errors", None):
            result.errors = shown(errors, suggest=not self.execution_context.schema.config.disable_field_suggestions)


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
    if isinstance(original, _NOT_RUNNABLE):
        # Only streams see these; an answer in one piece is refused with an HTTP status.
        return _copy(error, error.message or "No GraphQL query found in the request", {"code": "OPERATION_RESOLUTION_FAILURE"})
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


class Schema(strawberry.Schema):
    """A schema that does not log every error with its document: faults of ours are logged where they are masked, mistakes are the client's."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        return None


EXTENSIONS: list[type[SchemaExtension]] = [Observed, ShownErrors, AnswerLimit, DocumentCache, TimeLimit]
