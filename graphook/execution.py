"""The execution of operations without Strawberry's machinery of extensions: directly where all is as usual, else by graphql-core.

Strawberry runs its extensions through a dozen context managers per operation, which costs several times as much as executing a small one. Here,
what ours would do is done step after step instead. Tests hold the answers against those of plain Strawberry.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import aclosing
from inspect import isawaitable
from time import perf_counter
from typing import Any

import strawberry
from strawberry.exceptions import MissingQueryError
from strawberry.execution import optimized_is_awaitable
from strawberry.extensions import AddValidationRules
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from graphook import answer_size, metrics, tracing
from graphook.compiled_inputs import Unusual
from graphook.compiled_operations import Outcome
from graphook.documents import MAX_ERRORS, Document, Rules, documents
from graphook.graphql_errors import NOT_EXECUTED, outcome, shown, unexecuted
from graphook.shared_timeout import SharedTimeout
from graphql import ExecutionResult as CoreResult
from graphql import GraphQLError, OperationDefinitionNode, create_source_event_stream, execute, specified_rules
from graphql import OperationType as CoreOperationType

OPERATION_SECONDS = 10.0
_KINDS = {kind: OperationType(kind.value) for kind in CoreOperationType}
_IN_ONE_PIECE = (OperationType.QUERY, OperationType.MUTATION)


class Schema(strawberry.Schema):
    """A schema whose operations are executed here, whether Strawberry's `execute`, `stream` or `subscribe` is called, in one event loop.

    A query or mutation may take so many seconds. Of Strawberry's extensions only those that add rules of validation have an effect.
    """

    def __init__(self, *types: Any, seconds: float = OPERATION_SECONDS, **options: Any) -> None:
        super().__init__(*types, **options)
        self.execution = Execution(self, seconds)

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        return await self.execution.run(
            query, variable_values, operation_name, context_value, tuple(allowed_operation_types or _IN_ONE_PIECE), operation_extensions
        )

    async def stream(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        operation_extensions: dict[str, Any] | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
    ) -> AsyncGenerator[ExecutionResult, None]:
        kinds = frozenset(allowed_operation_types or OperationType)
        return self.execution.stream(query, variable_values, operation_name, context_value, operation_extensions, kinds)


class Execution:
    """Executes operations of one schema."""

    def __init__(self, schema: strawberry.Schema, seconds: float = OPERATION_SECONDS) -> None:
        self._schema = schema
        self._core = schema._schema
        rules: Rules = tuple(specified_rules)
        self._rules = rules + tuple(r for e in schema.get_extensions() if isinstance(e, AddValidationRules) for r in e.validation_rules)
        self._suggest = not schema.config.disable_field_suggestions
        self._limit = SharedTimeout(seconds)

    def kind(self, query: str | None, operation_name: str | None) -> OperationType | None:
        """Which kind of operation it is, as far as it can be made out."""
        try:
            operation = documents.get(self._core, query or "").operation(operation_name)
        except GraphQLError:
            return None
        return None if operation is None else _KINDS[operation.operation]

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
            return ExecutionResult(data=None, errors=[_took_too_long(self._limit.seconds)])
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

    async def stream(
        self,
        query: str | None,
        variables: dict[str, Any] | None,
        operation_name: str | None,
        context: Any,
        extensions: dict[str, Any] | None = None,
        allowed: Collection[OperationType] = tuple(OperationType),
    ) -> AsyncGenerator[ExecutionResult, None]:
        """What becomes of each event of a subscription, and the one result of any other operation.

        What is not executed is a `PreExecutionError`; a subscription that breaks ends with the error.
        """
        kind = self.kind(query, operation_name)
        if kind is not OperationType.SUBSCRIPTION or kind not in allowed:
            try:
                found = await self.run(query, variables, operation_name, context, [k for k in _IN_ONE_PIECE if k in allowed], extensions)
            except NOT_EXECUTED as error:
                found = PreExecutionError(data=None, errors=[unexecuted(error)])
            yield found
            return
        document = documents.get(self._core, query or "")
        if refusals := document.refusals(self._core, self._rules, variables, operation_name):
            yield PreExecutionError(data=None, errors=self._shown(refusals))
            return
        try:
            async with aclosing(self._events(document, variables, operation_name, context, extensions)) as events:
                async for event in events:
                    yield event
        except Exception as error:
            told = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
            yield ExecutionResult(data=None, errors=self._shown([told]))

    async def _events(
        self,
        document: Document,
        variables: dict[str, Any] | None,
        operation_name: str | None,
        context: Any,
        extensions: dict[str, Any] | None,
    ) -> AsyncGenerator[ExecutionResult, None]:
        executor = self._schema.execution_context_class.build(
            self._core,
            document.node,
            raw_variable_values=variables,
            operation_name=operation_name,
            context_value=context,
            operation_extensions=extensions,
            max_coercion_errors=MAX_ERRORS,
        )
        source: Any = None if isinstance(executor, list) else create_source_event_stream(executor)
        if isawaitable(source):
            source = await source
        if isinstance(executor, list) or isinstance(source, CoreResult):
            yield PreExecutionError(data=None, errors=self._shown(executor if isinstance(executor, list) else source.errors))
            return
        operation = document.operation(operation_name)
        direct = document.direct(self._schema, operation) if operation else None
        async with aclosing(source) as events:
            async for event in events:
                data = direct.event(event, variables, context) if direct else None
                if data is not None:
                    yield ExecutionResult(data=data, errors=None)
                    continue
                result: Any = executor.build_per_event_executor(event).execute_operation(False)
                if isawaitable(result):
                    result = await result
                yield ExecutionResult(data=result.data, errors=self._shown(result.errors) if result.errors else None)

    def _refused(self, kind: str, errors: Sequence[GraphQLError], began: float) -> ExecutionResult:
        told = self._shown(errors)
        metrics.operation_ended(kind, outcome(told), perf_counter() - began)
        return PreExecutionError(data=None, errors=told)

    def _shown(self, errors: Sequence[GraphQLError]) -> list[GraphQLError]:
        return shown(errors, suggest=self._suggest)


def _took_too_long(seconds: float) -> GraphQLError:
    return GraphQLError(f"The operation took more than {seconds:g} seconds.", extensions={"code": "TIMEOUT"})
