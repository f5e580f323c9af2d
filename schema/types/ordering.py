"""The order of a list."""

from __future__ import annotations

from enum import Enum

import strawberry


@strawberry.enum(description="Whether a list begins with the oldest or the newest (component Ordering).")
class Ordering(Enum):
    ASCENDING = "ascending"
    DESCENDING = "descending"
