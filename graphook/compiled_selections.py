"""Objects and lists of them completed by one expression that is compiled per selection, instead of field by field.

graphql-core spends some ten microseconds on each field of each object. Where the selected fields are attributes or plain methods, what is left
of that is an expression such as `[{'id': o.id, 'status': names[o.status]} for o in items]`. A selection that has anything else (arguments,
asynchronous fields, directives) is completed by graphql-core; so is an object or a list in which anything is out of the ordinary, whose errors
then come out word for word as graphql-core gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import isawaitable, iscoroutine
from typing import Any

from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import Info
from strawberry.types.field import StrawberryField

from graphook.compiled_inputs import AS_IS, Unusual
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    InlineFragmentNode,
    SelectionSetNode,
)

Plan = Callable[[list[Any], Any], list[Any]]


def plans_of(node: FieldNode) -> dict[str, Plan | None]:
    """How what a field answers is completed, by the type it is of, as far as that was compiled; None for what cannot be. It goes with the node."""
    plans: dict[str, Plan | None] = node.__dict__.setdefault("_plans", {})
    return plans


class CompiledExecutor(StrawberryGraphQLCoreExecutionContext):
    """An executor that compiles what it can, once for each document that is kept."""

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        if type(result) is list and result:
            completed = self._completed(return_type.of_type, field_details_list, info, result)
            if completed is not None:
                return completed
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        completed = self._completed(return_type, field_details_list, info, [result])
        if completed is not None:
            return completed[0]
        return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)

    def _completed(self, item_type: Any, details: Any, info: Any, items: list[Any]) -> list[Any] | None:
        """The completed items, or None when graphql-core must do it."""
        if self.middleware_manager and self.middleware_manager.middlewares:
            return None
        plan = self._plan(item_type, details)
        if plan is None:
            return None
        try:
            return plan(items, info)
        except Exception:
            return None  # graphql-core comes to the same and says it with path and position

    def _plan(self, item_type: Any, details: Any) -> Plan | None:
        named = item_type.of_type if isinstance(item_type, GraphQLNonNull) else item_type
        if not isinstance(named, GraphQLObjectType) or len(details) != 1:
            return None
        plans = plans_of(details[0].node)
        if named.name not in plans:
            plans[named.name] = self._compile(item_type, details)
        return plans[named.name]

    def _compile(self, item_type: Any, details: Any) -> Plan | None:
        # What @include and @skip leave depends on the variables of each request.
        if self._has_directives(details[0].node.selection_set, set()):
            return None
        writer = _Writer(self)
        try:
            expression = writer.complete(item_type, details, "o")
        except Unusual:
            return None
        infos = "".join(f"    {name} = {make}(_raw_info=info, _field={field})\n" for name, make, field in writer.infos)
        source = f"def plan(items, info):\n{infos}    return [{expression} for o in items]"
        exec(compile(source, "<compiled selection>", "exec"), writer.names)  # noqa: S102 - of names we made and python names of our own fields
        plan: Plan = writer.names.pop("plan")  # they are its globals: a cycle otherwise
        return plan

    def _has_directives(self, selections: SelectionSetNode | None, seen: set[str]) -> bool:
        for node in selections.selections if selections else ():
            if node.directives:
                return True
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name in seen:
                    continue
                seen.add(name)
                if self._has_directives(self.fragment_definitions[name].selection_set, seen):
                    return True
            elif isinstance(node, FieldNode | InlineFragmentNode) and self._has_directives(node.selection_set, seen):
                return True
        return False


class _Writer:
    """Writes the expression that completes a value.

    `names` is what the expression may use; `infos` says which Strawberry infos it needs: one serves all items, since what a method takes
    from it, the context, is the same for each.
    """

    def __init__(self, executor: CompiledExecutor) -> None:
        self._executor = executor
        self.names: dict[str, Any] = {"missing": _missing, "ready": _ready, "listed": _listed}
        self.infos: list[tuple[str, str, str]] = []
        self._numbers: Iterator[int] = iter(range(1_000_000))

    def complete(self, graphql_type: Any, details: Any, source: str) -> str:
        """An expression for the completed value of the expression `source`. Raises `Unusual`."""
        required = isinstance(graphql_type, GraphQLNonNull)
        named = graphql_type.of_type if required else graphql_type
        value = self._new_name("v")
        if isinstance(named, GraphQLScalarType):
            completed = self._scalar(named, value)
        elif isinstance(named, GraphQLEnumType):
            completed = f"{self._bind(named.coerce_output_value)}({value})"
        elif isinstance(named, GraphQLList):
            item = self._new_name("i")
            completed = f"[{self.complete(named.of_type, details, item)} for {item} in listed({value})]"
        elif isinstance(named, GraphQLObjectType):
            completed = self._object(named, details, value)
        else:  # which type an interface or a union turns out to be is graphql-core's to see; usually there is none, as in a list of errors
            completed = "missing()"
        return f"({completed} if ({value} := {source}) is not None else {'missing()' if required else 'None'})"

    def _scalar(self, scalar: GraphQLScalarType, value: str) -> str:
        coerced = f"{self._bind(scalar.coerce_output_value)}({value})"
        usual = AS_IS.get(scalar.name)
        if scalar.name == "Int":
            return f"({value} if {value}.__class__ is int and -2147483648 <= {value} <= 2147483647 else {coerced})"
        return coerced if usual is None else f"({value} if {value}.__class__ is {usual.__name__} else {coerced})"

    def _object(self, graphql_type: GraphQLObjectType, details: Any, value: str) -> str:
        collected = self._executor.collect_subfields(graphql_type, details)
        if collected.new_defer_usages:
            raise Unusual
        entries = []
        for response_name, selected in collected.grouped_field_set.items():
            name = selected[0].node.name.value
            if name == "__typename":
                entries.append(f"{response_name!r}: {graphql_type.name!r}")
                continue
            field = graphql_type.fields.get(name)
            if field is None or field.args:
                raise Unusual
            entries.append(f"{response_name!r}: {self.complete(field.type, selected, self._value(field, value))}")
        return "{" + ", ".join(entries) + "}"

    def _value(self, field: GraphQLField, parent: str) -> str:
        definition: StrawberryField | None = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if definition is None:
            raise Unusual  # a field of introspection
        resolver = definition.base_resolver
        if definition.extensions or (resolver is not None and resolver.is_async):
            raise Unusual
        if resolver is None:
            return f"{parent}.{definition.python_name}"
        call = self._bind(resolver.wrapped_func)
        if resolver.info_parameter is None:
            return f"ready({call}({parent}))"
        info = self._new_name("n")
        self.infos.append((info, self._bind(Info), self._bind(definition)))
        return f"ready({call}({parent}, {info}))"

    def _bind(self, item: Any) -> str:
        name = self._new_name("c")
        self.names[name] = item
        return name

    def _new_name(self, letter: str) -> str:
        return f"{letter}{next(self._numbers)}"


def _missing() -> None:
    raise Unusual


def _listed(value: Any) -> list[Any]:
    """A list as it is; graphql-core decides about everything else."""
    if type(value) is not list:
        raise Unusual
    return value


def _ready(value: Any) -> Any:
    """A value that a method answered at once."""
    if isawaitable(value):
        if iscoroutine(value):
            value.close()
        raise Unusual
    return value
