"""What every GraphQL operation passes through: one parse per document, the limits, a time limit, and errors that say what a client may know."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from typing import Any

from strawberry.extensions import MaskErrors, SchemaExtension
from strawberry.types import ExecutionContext

from graphook.database import is_outage
from graphook.errors import GraphookError, Unavailable
from graphook.graphql_limits import MAX_TOKENS, breach
from graphql import DocumentNode, GraphQLError, GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse, validate

log = logging.getLogger(__name__)

OPERATION_SECONDS = 10.0
MAX_ERRORS = 9
_DOCUMENTS = 1000
_LARGEST_KEPT = 64 * 1024


class DocumentCache(SchemaExtension):
    """Parses and validates each document once. Documents are kept by their text, the least recently used dropped first."""

    _kept: OrderedDict[str, tuple[DocumentNode, list[GraphQLError]]] = OrderedDict()

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        query = context.query or ""
        kept = self._kept.get(query)
        if kept is None:
            context.parse_options["max_tokens"] = MAX_TOKENS
            try:
                document = parse(query, no_location=False, max_tokens=MAX_TOKENS)
            except GraphQLError:
                yield  # Strawberry parses again and reports it
                return
            # A document beyond the limits is not worth validating, which costs more than linear time.
            errors = [] if breach(document, None) else validate(context.schema._schema, document, max_errors=MAX_ERRORS)
            kept = (document, errors)
            if len(query) <= _LARGEST_KEPT:
                self._kept[query] = kept
                if len(self._kept) > _DOCUMENTS:
                    self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(query)
        context.graphql_document = kept[0]
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        document = context.graphql_document
        if document is not None and context.pre_execution_errors is None:
            kept = self._kept.get(context.query or "")
            refusal = breach(document, context.variables) or _ambiguity(context, document)
            if refusal is not None:
                context.pre_execution_errors = [refusal]
            elif kept is not None:
                context.pre_execution_errors = list(kept[1])
        yield


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
    """Ends queries and mutations that take more than ten seconds. What a mutation has committed stays committed."""

    async def on_execute(self) -> AsyncIterator[None]:
        if _operation_type(self.execution_context) is OperationType.SUBSCRIPTION:
            yield
            return
        try:
            async with asyncio.timeout(OPERATION_SECONDS):
                yield
        except TimeoutError as error:
            raise GraphQLError(f"The operation took more than {OPERATION_SECONDS:g} seconds.", extensions={"code": "TIMEOUT"}) from error


def _operation_type(context: ExecutionContext) -> OperationType | None:
    for definition in context.graphql_document.definitions if context.graphql_document else ():
        if isinstance(definition, OperationDefinitionNode):
            name = definition.name.value if definition.name else None
            if context._provided_operation_name in (None, name):
                return definition.operation
    return None


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
    if isinstance(original, GraphookError):
        return _copy(error, original.message, dict(original.extensions))
    if original is None or isinstance(original, GraphQLError):
        extensions = dict(error.extensions or {})
        extensions.setdefault("code", _code(error))
        return _copy(error, error.message, extensions)
    request_id = secrets.token_hex(8)
    log.error("request %s broke at %s", request_id, error.path, exc_info=original)
    return _copy(error, "Internal server error", {"code": "INTERNAL_SERVER_ERROR", "requestId": request_id})


def _code(error: GraphQLError) -> str:
    if isinstance(error, GraphQLSyntaxError):
        return "GRAPHQL_PARSE_FAILED"
    if error.path or error.message.startswith(("Variable '", "Expected value of", "Enum ")):
        return "BAD_USER_INPUT"
    return "GRAPHQL_VALIDATION_FAILED"


def _copy(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(message, nodes=error.nodes, source=error.source, positions=error.positions, path=error.path, extensions=extensions)


EXTENSIONS: list[type[SchemaExtension]] = [ShownErrors, DocumentCache, TimeLimit]
