"""The strawberry.Schema, assembled."""

from __future__ import annotations

from strawberry.extensions import DisableIntrospection
from strawberry.schema.config import StrawberryConfig

from graphook.compiled_inputs import CachedNames, compile_inputs
from graphook.compiled_selections import CompiledExecutor
from graphook.execution import Schema
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
        extensions=[] if introspection else [DisableIntrospection],
        config=StrawberryConfig(scalar_map=SCALARS, name_converter=CachedNames(), disable_field_suggestions=not introspection),
    )
    compile_inputs(found)
    return found


schema = create_schema()


def sdl() -> str:
    """The schema in GraphQL's schema language, as it is committed."""
    return schema.as_str() + "\n"
