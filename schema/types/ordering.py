"""The order of a list."""

from __future__ import annotations

from enum import Enum

import strawberry


@strawberry.enum(description="Whether a list begins with the oldest or the newest (component Ordering).")
class Ordering(Enum):
    ASCENDING = strawberry.enum_value("ascending", description="The oldest first; event types from a to z.")
    DESCENDING = strawberry.enum_value("descending", description="The newest first; event types from z to a.")
