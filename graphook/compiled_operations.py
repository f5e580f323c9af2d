"""Operations of one root field, run without graphql-core where everything about them is as usual.

Most requests are one mutation or one query whose arguments are variables. For these, graphql-core's general way (coerce each variable by its
type, build a dict of it, let Strawberry build an object of that, resolve field by field) costs several times the resolver. Here the variables
become the resolver's arguments by code compiled once per document, and the answer is completed by the compiled selection.

Whatever is not as usual is graphql-core's: it executes the operation when the arguments are not what they should be, and when the answer cannot
be completed it is given what the resolver did, which never runs twice. So errors come out word for word as graphql-core gives them. Of a subscription,
which graphql-core begins, the events are completed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql.execution.values import VariableValues
from graphql.pyutils import Path
from graphql.utilities.coerce_input_value import coerce_input_literal
from strawberry import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import Info
from strawberry.types.field import StrawberryField

from graphook.compiled_inputs import Unusual, coercion, default_of
from graphook.compiled_selections import Plan, plans_of
from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLArgument,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    IntValueNode,
    NullValueNode,
    OperationDefinitionNode,
    StringValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    type_from_ast,
)

Arguments = Callable[[Mapping[str, Any]], dict[str, Any]]
_CONSTANTS = (BooleanValueNode, EnumValueNode, IntValueNode, NullValueNode, StringValueNode)
_NO_VARIABLES: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a resolver did: it answered with a value, or raised."""

    value: Any
    error: Exception | None = None

    def resolve(self, following: Callable[..., Any], root: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        """As graphql-core's middleware: the outcome in place of the root field's resolver."""
        if info.path.prev is not None:
            return following(root, info, **arguments)
        if self.error is not None:
            raise self.error
        return self.value


class DirectOperation:
    """One operation of a document, ready to be called."""

    def __init__(self, schema: Schema, operation: OperationDefinitionNode, fragments: dict[str, FragmentDefinitionNode]) -> None:
        """Raises `Unusual` when only graphql-core can execute the operation."""
        self._core = schema._schema
        self._operation = operation
        self._fragments = fragments
        self._node = _only_field(operation)
        self._plans = plans_of(self._node)
        root = self._core.get_root_type(operation.operation)
        field = root.fields.get(self._node.name.value) if root else None
        if root is None or field is None:
            raise Unusual
        self._root = root
        self._return_type = field.type
        self._object_type = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
        self._name = self._node.alias.value if self._node.alias else self._node.name.value
        definition: StrawberryField | None = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        resolver = definition.base_resolver if definition else None
        if definition is None or resolver is None or not isinstance(self._object_type, GraphQLObjectType):
            raise Unusual
        if not resolver.is_async or definition.extensions or resolver.info_parameter is None:
            raise Unusual
        if resolver.self_parameter or resolver.root_parameter or resolver.parent_parameter:
            raise Unusual
        self._definition = definition
        self._resolve: Any = resolver.wrapped_func
        self._path = Path(None, self._name, root.name)
        self._arguments = _arguments(schema, operation, self._node, definition, field.args)

    def plan(self) -> Plan | None:
        """How an answer is completed; None until graphql-core's executor has compiled it, once, for an answer of its own."""
        return self._plans.get(self._object_type.name)

    async def run(self, plan: Plan, variables: Mapping[str, Any] | None, context: Any) -> dict[str, Any] | Outcome:
        """The data of the answer, or what the resolver did for graphql-core to tell. Raises `Unusual` before anything is done."""
        given = variables if variables is not None else _NO_VARIABLES
        try:
            arguments = self._arguments(given)
        except Exception as error:
            raise Unusual from error
        raw = self._info(given, context)
        info: Info[Any, Any] = Info(_raw_info=raw, _field=self._definition)
        try:
            value = await self._resolve(info=info, **arguments)
        except Exception as error:
            return Outcome(None, error)
        if value is None:
            return Outcome(None)
        try:
            return {self._name: plan([value], raw)[0]}
        except Exception:
            return Outcome(value)  # graphql-core comes to the same and says it with path and position

    def event(self, value: Any, variables: Mapping[str, Any] | None, context: Any) -> dict[str, Any] | None:
        """The data of an event of a subscription; None when graphql-core must complete it."""
        plan = self.plan()
        if plan is None or value is None:
            return None
        try:
            return {self._name: plan([value], self._info(_NO_VARIABLES if variables is None else variables, context))[0]}
        except Exception:
            return None  # graphql-core comes to the same and says it with path and position

    def _info(self, variables: Mapping[str, Any], context: Any) -> Any:
        return GraphQLResolveInfo(
            self._node.name.value,
            [self._node],
            self._return_type,
            self._root,
            self._path,
            self._core,
            self._fragments,
            None,
            self._operation,
            VariableValues({}, dict(variables)),
            context,
            None,  # type: ignore[arg-type]  # what follows helps resolvers that start tasks, which ours do not
            None,
            None,  # type: ignore[arg-type]
        )


def _only_field(operation: OperationDefinitionNode) -> FieldNode:
    selections = operation.selection_set.selections
    if len(selections) != 1 or operation.directives:
        raise Unusual
    (node,) = selections
    if not isinstance(node, FieldNode) or node.directives:
        raise Unusual
    return node


def _arguments(
    schema: Schema, operation: OperationDefinitionNode, node: FieldNode, definition: StrawberryField, known: Mapping[str, GraphQLArgument]
) -> Arguments:
    """Code that makes the resolver's arguments of the variables, as one function."""
    written = {argument.name.value: argument.value for argument in node.arguments or ()}
    names: dict[str, Any] = {"absent": Undefined, "Unusual": Unusual}
    lines = ["def arguments(given):", "    found = {}"]
    for number, argument in enumerate(definition.arguments):
        shown = schema.config.name_converter.get_graphql_name(argument)
        names[f"value{number}"] = _value(schema, operation, written.pop(shown, None), known[shown])
        lines += [f"    if (v := value{number}(given)) is not absent:", f"        found[{argument.python_name!r}] = v"]
    if written:
        raise Unusual
    lines.append("    return found")
    exec(compile("\n".join(lines), "<compiled arguments>", "exec"), names)  # noqa: S102 - of python names of our own arguments
    arguments: Arguments = names.pop("arguments")  # they are its globals: a cycle otherwise
    return arguments


def _value(
    schema: Schema, operation: OperationDefinitionNode, written: ValueNode | None, known: GraphQLArgument
) -> Callable[[Mapping[str, Any]], Any]:
    """What makes the value of one argument: of a variable, of a constant, or of the default where it is not given."""
    if written is None:
        default = default_of(known)
        return lambda given: default()
    if isinstance(written, VariableNode):
        return _variable(schema, operation, written.name.value, known)
    constant = _constant(written, known.type)
    return lambda given: constant


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _constant(written: ValueNode, of: Any) -> Any:
    """A literal's value, where it can be shared by all requests."""
    constant = coerce_input_literal(written, of) if isinstance(written, _CONSTANTS) else Undefined
    if constant is Undefined or isinstance(constant, list):
        raise Unusual
    return constant


def _variable(schema: Schema, operation: OperationDefinitionNode, name: str, known: GraphQLArgument) -> Callable[[Mapping[str, Any]], Any]:
    node = next((n for n in operation.variable_definitions or () if n.variable.name.value == name), None)
    declared = type_from_ast(schema._schema, node.type) if node else None
    if node is None:
        raise Unusual
    coerce, default = coercion(declared), default_of(known)
    required, needed = isinstance(declared, GraphQLNonNull), isinstance(known.type, GraphQLNonNull)
    otherwise = default if node.default_value is None else _always(_constant(node.default_value, declared))

    def value(given: Mapping[str, Any]) -> Any:
        if name in given:
            found = coerce(given[name])
        elif required and node.default_value is None:
            raise Unusual
        else:
            found = otherwise()
        # A nullable variable may stand where null may not, if there is a default.
        if found is None and needed:
            raise Unusual
        return found

    return value
