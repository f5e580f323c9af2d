"""Input objects built by a plan made once per type, instead of by looking at every type every time.

`compile_inputs` builds them from what graphql-core has coerced. `coercion` does both at once, from the JSON of a variable, for values that
are as they should be; it leaves all others to graphql-core, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from graphql.utilities.coerce_input_value import coerce_default_value
from strawberry import Schema
from strawberry.schema.name_converter import NameConverter
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryList, StrawberryObjectDefinition, StrawberryOptional, has_object_definition
from strawberry.types.field import StrawberryField

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    Undefined,
    get_named_type,
    is_leaf_type,
)

Convert = Callable[[Any], Any]


class CachedNames(NameConverter):
    """Strawberry's name converter, asked once for each argument and field."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[int, tuple[Any, str]] = {}

    def get_graphql_name(self, obj: Any) -> str:
        """The name in the schema."""
        known = self._names.get(id(obj))
        if known is None:
            # The object is held, so that its id is not used again.
            known = self._names[id(obj)] = (obj, super().get_graphql_name(obj))
        return known[1]


def compile_inputs(schema: Schema) -> None:
    """Let the schema build its input objects by plan, through Strawberry's hook for types that build themselves."""
    for known in schema.schema_converter.type_map.values():
        definition = known.definition
        if isinstance(definition, StrawberryObjectDefinition) and definition.is_input:
            build = _builder(definition, schema.config.name_converter)
            definition.from_input = lambda _cls, value, _context, build=build: build(value)


def _builder(definition: StrawberryObjectDefinition, names: NameConverter) -> Convert:
    origin = definition.origin
    plan = [(names.from_field(f), f.python_name, _converter(f.resolve_type(type_definition=definition), names)) for f in definition.fields]

    def build(value: Mapping[str, Any]) -> Any:
        arguments = {}
        for name, python_name, convert in plan:
            if name in value:
                found = value[name]
                arguments[python_name] = found if convert is None or found is None else convert(found)
        return origin(**arguments)

    return build


def _converter(of: Any, names: NameConverter) -> Convert | None:
    """What a field's value goes through; None for scalars and enums, which are what they are."""
    if isinstance(of, StrawberryOptional):
        return _converter(of.of_type, names)
    if isinstance(of, StrawberryList):
        item = _converter(of.of_type, names)
        # Copied in any case: graphql-core gives the same default list to everybody.
        return list if item is None else lambda values: [None if value is None else item(value) for value in values]
    return _builder(of.__strawberry_definition__, names) if has_object_definition(of) else None


class Unusual(Exception):
    """Something that graphql-core must do."""


# What the scalars of the specification do to a value of exactly this class: nothing.
AS_IS = {"String": str, "ID": str, "Boolean": bool, "Float": float}


def coercion(of: Any) -> Convert:
    """What makes an argument of an input type from JSON. It raises for every value that is not plainly right."""
    if not isinstance(of, GraphQLNonNull):
        some = _some(of)
        return lambda value: None if value is None else some(value)
    return _some(of.of_type)


def default_of(known: GraphQLArgument | GraphQLInputField) -> Callable[[], Any]:
    """The value of what is absent: its default, or `Undefined`. A list or a map is a new one each time."""
    default = coerce_default_value(known)
    if isinstance(default, list | dict):
        if not is_leaf_type(get_named_type(known.type)):
            raise Unusual
        return lambda: deepcopy(default)
    return lambda: default


def _some(of: Any) -> Convert:
    """The coercion of a value that is not null."""
    if isinstance(of, GraphQLList):
        item = coercion(of.of_type)

        def listed(value: Any) -> list[Any]:
            if value.__class__ is not list:
                raise Unusual
            return [item(v) for v in value]

        return listed
    if isinstance(of, GraphQLInputObjectType):
        return _object(of)
    if isinstance(of, GraphQLScalarType) and of.name in AS_IS:
        kind = AS_IS[of.name]

        def same(value: Any) -> Any:
            if value.__class__ is not kind:
                raise Unusual
            return value

        return same
    if isinstance(of, GraphQLScalarType | GraphQLEnumType):
        coerce: Convert = of.coerce_input_value

        def coerced(value: Any) -> Any:
            if value is None:  # which a scalar of any JSON would take
                raise Unusual
            return coerce(value)

        return coerced
    raise Unusual


def _object(of: GraphQLInputObjectType) -> Convert:
    definition: StrawberryObjectDefinition = of.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    if of.is_one_of:
        raise Unusual
    origin = definition.origin
    plan = []
    for name, known in of.fields.items():
        field: StrawberryField = known.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        default = default_of(known)
        required = isinstance(known.type, GraphQLNonNull) and default() is Undefined
        plan.append((name, field.python_name, coercion(known.type), None if default() is Undefined else default, required))

    def build(value: Any) -> Any:
        if value.__class__ is not dict:
            raise Unusual
        arguments, known = {}, 0
        for name, python_name, coerce, default, required in plan:
            if name in value:
                known += 1
                arguments[python_name] = coerce(value[name])
            elif required:
                raise Unusual
            elif default is not None:
                arguments[python_name] = default()
        if known != len(value):
            raise Unusual  # a field that there is not
        return origin(**arguments)

    return build
