"""The execution of an operation that is answered in one piece, without Strawberry's machinery of extensions: directly or by graphql-core.

Strawberry runs its extensions through a dozen context managers per operation, which costs several times as much as executing a small one. Here,
what our extensions do is done step after step instead; streams and sockets go through Strawberry, and tests hold the two against each other.
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

from graphook import answer_size, metrics, tracing
from graphook.compiled_inputs import Unusual
from graphook.compiled_operations import Outcome
from graphook.documents import MAX_ERRORS, Document, Rules, documents
from graphook.graphql_extensions import TimeLimit, outcome, shown, took_too_long
from graphook.shared_timeout import SharedTimeout
from graphql import GraphQLError, OperationDefinitionNode, execute, specified_rules
from graphql import OperationType as CoreOperationType

_KINDS = {kind: OperationType(kind.value) for kind in CoreOperationType}


class Execution:
    """Executes operations of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._core = schema._schema
        extensions = schema.get_extensions()
        rules: Rules = tuple(specified_rules)
        self._rules = rules + tuple(rule for e in extensions if isinstance(e, AddValidationRules) for rule in e.validation_rules)
        self._suggest = not schema.config.disable_field_suggestions
        self._limit = SharedTimeout(next(e.seconds for e in extensions if isinstance(e, TimeLimit)))

    def subscribes(self, query: str | None, operation_name: str | None) -> bool:
        """Whether the operation is a subscription, as far as it can be made out."""
        try:
            operation = documents.get(self._core, query or "").operation(operation_name)
        except GraphQLError:
            return False
        return operation is not None and operation.operation is CoreOperationType.SUBSCRIPTION

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
            return self._refused("none", [error], began)
        operation = document.operation(operation_name)
        if operation is None:
            raise CannotGetOperationTypeError(operation_name)
        kind = _KINDS[operation.operation]
        if kind not in allowed:
            raise InvalidOperationTypeError(kind)
        refusals = document.refusals(self._core, self._rules, variables, operation_name)
        if refusals:
            return self._refused(kind.value, refusals, began)
        name = operation.name.value if operation.name else None
        with tracing.operation(kind.value, name, getattr(context, "headers", {})) as span:
            found = await self._execute(document, operation, variables, operation_name, context, extensions)
            if refusal := answer_size.refusal(found.data):
                found = ExecutionResult(data=None, errors=[refusal])
            code = outcome(found.errors)
            tracing.ended(span, code)
        metrics.operation_ended(kind.value, code, perf_counter() - began)
        return found

    async def _execute(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        variables: dict[str, Any] | None,
        operation_name: str | None,
        context: Any,
        extensions: dict[str, Any] | None,
    ) -> ExecutionResult:
        try:
            async with self._limit():
                done = await self._directly(document, operation, variables, context)
                if isinstance(done, dict):
                    return ExecutionResult(data=done, errors=None)
                result: Any = execute(
                    self._core,
                    document.node,
                    variable_values=variables,
                    operation_name=operation_name,
                    context_value=context,
                    is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
                    executor_class=self._schema.execution_context_class,
                    operation_extensions=extensions,
                    middleware=[done] if done else None,
                    # Each of them costs a look at all that is given, and no more are shown.
                    max_coercion_errors=MAX_ERRORS,
                )
                if isawaitable(result):
                    result = await result
        except TimeoutError:
            return ExecutionResult(data=None, errors=self._shown([took_too_long(self._limit.seconds)]))
        except GraphQLError as error:
            return ExecutionResult(data=None, errors=self._shown([error]))
        return ExecutionResult(data=result.data, errors=self._shown(result.errors) if result.errors else None)

    async def _directly(
        self, document: Document, operation: OperationDefinitionNode, variables: dict[str, Any] | None, context: Any
    ) -> dict[str, Any] | Outcome | None:
        """The data, or what the resolver did; None when nothing has been done and graphql-core must do it all."""
        direct = document.direct(self._schema, operation)
        plan = direct.plan() if direct else None
        if direct is None or plan is None:
            return None
        try:
            return await direct.run(plan, variables, context)
        except Unusual:
            return None

    def _refused(self, kind: str, errors: Sequence[GraphQLError], began: float) -> ExecutionResult:
        told = self._shown(errors)
        metrics.operation_ended(kind, outcome(told), perf_counter() - began)
        return ExecutionResult(data=None, errors=told)

    def _shown(self, errors: Sequence[GraphQLError]) -> list[GraphQLError]:
        return shown(errors, suggest=self._suggest)
