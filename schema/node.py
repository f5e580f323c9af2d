"""The interface of everything that has an id."""

from __future__ import annotations

import strawberry

from schema.fields import field


@strawberry.interface(description="Something with an id that is unique in the whole service; its prefix names the kind.")
class Node:
    id: strawberry.ID = field("Its id: a prefix that names the kind, and 27 letters and digits.")
