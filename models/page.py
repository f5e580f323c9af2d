"""Pages of rows by key: which rows come after or before a cursor, and whether there are more on either side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

DEFAULT_LIMIT = 50
MAX_LIMIT = 250


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`limit` rows next to `cursor` (a row's key) in list order; those before it when `backwards`."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows in list order. `done` means: no more in the direction that was asked."""

    items: list[T]
    keys: list[str]
    has_next: bool
    has_previous: bool
    backwards: bool = False

    @property
    def done(self) -> bool:
        return not (self.has_previous if self.backwards else self.has_next)

    def map(self, of: Callable[[T], U]) -> Page[U]:
        """The page with what `of` makes of each row."""
        return Page([of(row) for row in self.items], self.keys, self.has_next, self.has_previous, self.backwards)


# Fetches up to `limit` rows whose key lies beyond `cursor`, walking keys upwards or downwards.
Fetch = Callable[[str | None, bool, int], Awaitable[list[T]]]


async def paginate(fetch: Fetch[T], key: Callable[[T], str], request: PageRequest, descending: bool) -> Page[T]:
    """Read one page with at most two queries: the page with one row more than asked, and one row on the other side."""
    walk_down = descending != request.backwards
    rows = await fetch(request.cursor, walk_down, request.limit + 1)
    more_ahead = len(rows) > request.limit
    rows = rows[: request.limit]
    if request.backwards:
        rows.reverse()
    more_behind = False
    if request.cursor is not None:
        # The cursor's own row lies behind the page, unless it is gone: then look. Behind an empty page is all there is.
        edge = key(rows[-1 if request.backwards else 0]) if rows else None
        more_behind = bool(await fetch(edge, not walk_down, 1))
    has_next, has_previous = (more_behind, more_ahead) if request.backwards else (more_ahead, more_behind)
    return Page(rows, [key(row) for row in rows], has_next, has_previous, request.backwards)
