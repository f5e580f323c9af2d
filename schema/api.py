"""The strawberry.Schema, assembled."""

from __future__ import annotations

import strawberry
from strawberry.schema.config import StrawberryConfig

from graphook.graphql_extensions import EXTENSIONS
from schema.errors import USER_ERRORS
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import SCALARS
from schema.subscription import Subscription

schema = strawberry.Schema(
    Query,
    Mutation,
    Subscription,
    types=list(USER_ERRORS.values()),
    extensions=EXTENSIONS,
    config=StrawberryConfig(scalar_map=SCALARS),
)


def sdl() -> str:
    """The schema in GraphQL's schema language, as it is committed."""
    return schema.as_str() + "\n"
