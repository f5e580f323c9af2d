"""The strawberry.Schema, assembled."""

from __future__ import annotations

from strawberry.extensions import DisableIntrospection
from strawberry.schema.config import StrawberryConfig

from graphook.compiled_inputs import CachedNames, compile_inputs
from graphook.compiled_selections import CompiledExecutor
from graphook.graphql_extensions import EXTENSIONS, Schema
from graphql import GraphQLDefaultInput, is_input_object_type
from schema.errors import USER_ERRORS
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import SCALARS
from schema.subscription import Subscription


def create_schema(*, introspection: bool = True) -> Schema:
    """The executable schema. Without introspection it does not describe itself, nor suggest names in errors."""
    found = Schema(
        Query,
        Mutation,
        Subscription,
        types=list(USER_ERRORS.values()),
        execution_context_class=CompiledExecutor,
        extensions=[*EXTENSIONS, *([] if introspection else [DisableIntrospection])],
        config=StrawberryConfig(scalar_map=SCALARS, name_converter=CachedNames(), disable_field_suggestions=not introspection),
    )
    compile_inputs(found)
    _show_object_defaults(found)
    return found


def _show_object_defaults(found: Schema) -> None:
    """Let introspection show defaults that are objects of a scalar, such as {} of a StringMap.

    graphql-core can where a default is declared in the newer of its two ways, which Strawberry does not know yet, and fails as a whole otherwise.
    """
    for kind in found._schema.type_map.values():
        if is_input_object_type(kind):
            for declared in kind.fields.values():
                if isinstance(declared.default_value, dict):
                    declared.default = GraphQLDefaultInput(declared.default_value)


schema = create_schema()


def sdl() -> str:
    """The schema in GraphQL's schema language, as it is committed."""
    return schema.as_str() + "\n"
