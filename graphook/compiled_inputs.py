"""Input objects built from what graphql-core has coerced, by a plan made once per type instead of by looking at every type every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from strawberry import Schema
from strawberry.schema.name_converter import NameConverter
from strawberry.types.base import StrawberryList, StrawberryObjectDefinition, StrawberryOptional, has_object_definition

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
