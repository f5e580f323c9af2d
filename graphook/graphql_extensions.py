"""What every GraphQL operation passes through: one parse per document, the limits, a time limit, and errors that say what a client may know."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from strawberry.exceptions import MissingQueryError
from strawberry.extensions import MaskErrors, SchemaExtension
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext

from graphook.database import is_outage
from graphook.errors import GraphookError, Unavailable
from graphook.graphql_limits import MAX_TOKENS, breach
from graphql import DocumentNode, GraphQLError, GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse, validate

log = logging.getLogger(__name__)

OPERATION_SECONDS = 10.0
MAX_ERRORS = 9
# A parsed document takes some hundred times the room of its text: what is kept is bounded in both.
_DOCUMENTS, _CHARACTERS = 1000, 500_000
_LARGEST_KEPT = 64 * 1024


@dataclass(slots=True)
class _Kept:
    """A parsed document, and what is wrong with it once that has been looked at."""

    document: DocumentNode
    errors: list[GraphQLError] | None = None


class DocumentCache(SchemaExtension):
    """Parses and validates each document once. Documents are kept by schema and text, the least recently used dropped first.

    The limits depend on the variables and are checked every time, before validation, which costs more than linear time.
    """

    _documents: OrderedDict[tuple[BaseSchema, str], _Kept] = OrderedDict()
    _characters = 0
    _kept: _Kept | None = None

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        key = (context.schema, context.query or "")
        self._kept = self._documents.get(key)
        if self._kept is None:
            context.parse_options["max_tokens"] = MAX_TOKENS
            try:
                self._kept = _Kept(parse(key[1], no_location=False, max_tokens=MAX_TOKENS))
            except GraphQLError:
                yield  # Strawberry parses again and reports it
                return
            self._keep(key, self._kept)
        else:
            self._documents.move_to_end(key)
        context.graphql_document = self._kept.document
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        kept = self._kept
        if kept is not None and context.pre_execution_errors is None:
            refusal = breach(kept.document, context.variables) or _ambiguity(context, kept.document)
            if refusal is None and kept.errors is None:
                found = validate(context.schema._schema, kept.document, context.validation_rules, max_errors=MAX_ERRORS)
                kept.errors = [_invalid(error) for error in found]
            context.pre_execution_errors = [refusal] if refusal is not None else list(kept.errors or ())
        yield

    @classmethod
    def _keep(cls, key: tuple[BaseSchema, str], kept: _Kept) -> None:
        if len(key[1]) > _LARGEST_KEPT:
            return
        cls._documents[key] = kept
        cls._characters += len(key[1])
        while len(cls._documents) > _DOCUMENTS or cls._characters > _CHARACTERS:
            (_, dropped), _ = cls._documents.popitem(last=False)
            cls._characters -= len(dropped)


def _invalid(error: GraphQLError) -> GraphQLError:
    # Named here: afterwards its message looks like that of a variable with a wrong value.
    return _copy(error, error.message, {"code": "GRAPHQL_VALIDATION_FAILED"})


def _ambiguity(context: ExecutionContext, document: DocumentNode) -> GraphQLError | None:
    """Several operations and no name for one: Strawberry would run the first."""
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) > 1 and context._provided_operation_name is None:
        return GraphQLError(
            "The document has several operations; say which one with operationName.",
            extensions={"code": "OPERATION_RESOLUTION_FAILURE"},
        )
    return None


class TimeLimit(SchemaExtension):
    """Ends queries and mutations that take more than `seconds`, by cancelling them.

    What a mutation has committed stays committed; a resolver that must not be torn while it commits shields that part itself.
    """

    seconds = OPERATION_SECONDS

    async def on_execute(self) -> AsyncIterator[None]:
        if _operation_type(self.execution_context) is OperationType.SUBSCRIPTION:
            yield
            return
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError as error:
            raise GraphQLError(f"The operation took more than {self.seconds:g} seconds.", extensions={"code": "TIMEOUT"}) from error


def _operation_type(context: ExecutionContext) -> OperationType | None:
    for definition in context.graphql_document.definitions if context.graphql_document else ():
        if isinstance(definition, OperationDefinitionNode):
            name = definition.name.value if definition.name else None
            if context._provided_operation_name in (None, name):
                return definition.operation
    return None


_NOT_RUNNABLE = (CannotGetOperationTypeError, InvalidOperationTypeError, MissingQueryError)


class ShownErrors(MaskErrors):
    """Turns every error into what a client may know: at most nine, each with a code; a fault of ours is logged and masked."""

    def _process_errors(self, errors: list[GraphQLError]) -> list[GraphQLError]:
        return [_shown(error) for error in errors[:MAX_ERRORS]]


def _shown(error: GraphQLError) -> GraphQLError:
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if original is not None and is_outage(original):
        original = Unavailable("The database cannot be reached; try again.")
    if isinstance(original, _NOT_RUNNABLE):
        # Only streams see these; an answer in one piece is refused with an HTTP status.
        return _copy(error, error.message or "No GraphQL query found in the request", {"code": "OPERATION_RESOLUTION_FAILURE"})
    if isinstance(original, GraphookError):
        return _copy(error, original.message, dict(original.extensions))
    if original is None or isinstance(original, GraphQLError):
        extensions = dict(error.extensions or {})
        extensions.setdefault("code", _code(error))
        return _copy(error, error.message, extensions)
    return _copy(error, "Internal server error", fault_of_ours(original, error.path))


def fault_of_ours(fault: BaseException, where: object) -> dict[str, Any]:
    """Log a fault with its traceback; the `extensions` of the error that stands for it, by which it is found in the log."""
    request_id = secrets.token_hex(8)
    log.error("request %s broke at %s", request_id, where, exc_info=fault)
    return {"code": "INTERNAL_SERVER_ERROR", "requestId": request_id}


def _code(error: GraphQLError) -> str:
    if isinstance(error, GraphQLSyntaxError):
        return "GRAPHQL_PARSE_FAILED"
    if error.path or error.message.startswith(("Variable '", "Expected value of", "Enum ")):
        return "BAD_USER_INPUT"
    return "GRAPHQL_VALIDATION_FAILED"


def _copy(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(message, nodes=error.nodes, source=error.source, positions=error.positions, path=error.path, extensions=extensions)


EXTENSIONS: list[type[SchemaExtension]] = [ShownErrors, DocumentCache, TimeLimit]
