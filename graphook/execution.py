"""The execution of an operation that is answered in one piece: graphql-core at once, without Strawberry's machinery of extensions.

Strawberry runs its extensions through a dozen context managers per operation, several times the cost of executing a small one. What our
extensions do is done here in a row; streams and sockets go through Strawberry, and tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from inspect import isawaitable
from time import perf_counter
from typing import Any

from strawberry import Schema
from strawberry.exceptions import MissingQueryError
from strawberry.execution import optimized_is_awaitable
from strawberry.extensions import AddValidationRules
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from graphook import metrics, tracing
from graphook.documents import Document, Rules, documents
from graphook.graphql_extensions import TimeLimit, limited, outcome, shown
from graphql import GraphQLError, execute, specified_rules


class Execution:
    """Executes operations of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._core = schema._schema
        extensions = schema.get_extensions()
        rules: Rules = tuple(specified_rules)
        self._rules = rules + tuple(rule for e in extensions if isinstance(e, AddValidationRules) for rule in e.validation_rules)
        self._seconds = next(e.seconds for e in extensions if isinstance(e, TimeLimit))

    async def run(
        self,
        query: str | None,
        variables: dict[str, Any] | None,
        operation_name: str | None,
        context: Any,
        allowed: Collection[OperationType],
        extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        """The result of an operation, its errors as a client may know them. Raises as Strawberry's `execute` does for what is not executed."""
        began = perf_counter()
        if not query:
            raise MissingQueryError
        try:
            document = documents.get(self._core, query)
        except GraphQLError as error:
            return _refused("none", [error], began)
        operation = document.operation(operation_name)
        if operation is None:
            raise CannotGetOperationTypeError(operation_name)
        kind = OperationType(operation.operation.value)
        if kind not in allowed:
            raise InvalidOperationTypeError(kind)
        refusals = document.refusals(self._core, self._rules, variables, operation_name)
        if refusals:
            return _refused(kind.value, refusals, began)
        name = operation.name.value if operation.name else None
        with tracing.operation(kind.value, name, getattr(context, "headers", {})) as span:
            found = await self._execute(document, variables, operation_name, context, extensions)
            code = outcome(found.errors)
            tracing.ended(span, code)
        metrics.operation_ended(kind.value, code, perf_counter() - began)
        return found

    async def _execute(
        self,
        document: Document,
        variables: dict[str, Any] | None,
        operation_name: str | None,
        context: Any,
        extensions: dict[str, Any] | None,
    ) -> ExecutionResult:
        try:
            async with limited(self._seconds):
                result: Any = execute(
                    self._core,
                    document.node,
                    variable_values=variables,
                    operation_name=operation_name,
                    context_value=context,
                    is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
                    executor_class=self._schema.execution_context_class,
                    operation_extensions=extensions,
                )
                if isawaitable(result):
                    result = await result
        except GraphQLError as error:
            return ExecutionResult(data=None, errors=shown([error]))
        return ExecutionResult(data=result.data, errors=shown(result.errors) if result.errors else None)


def _refused(kind: str, errors: Sequence[GraphQLError], began: float) -> ExecutionResult:
    told = shown(errors)
    metrics.operation_ended(kind, outcome(told), perf_counter() - began)
    return ExecutionResult(data=None, errors=told)
