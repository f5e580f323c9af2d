"""The interface of everything that has an id."""

from __future__ import annotations

import strawberry

from schema.fields import field


@strawberry.interface(description="Something with an id that is unique in the whole service; its prefix names the kind.")
class Node:
    id: strawberry.ID = field("The id, such as msg_ and 27 characters.")
