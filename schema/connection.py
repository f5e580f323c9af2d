"""Pages: a Relay connection that is also the contract's list response."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Generic, TypeVar

import strawberry
from strawberry import UNSET

from graphook.errors import InvalidInput
from graphook.ids import is_id
from graphook.rules import could_be_reference, short
from models.page import DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest
from schema.fields import computed, field, operation

T = TypeVar("T")
R = TypeVar("R")


@strawberry.type(description="Where a page begins and ends, and whether there is more on either side.")
class PageInfo:
    has_next_page: bool = field("Whether there is more after the page.")
    has_previous_page: bool = field("Whether there is more before the page.")
    start_cursor: str | None = field("The cursor of the first item.")
    end_cursor: str | None = field("The cursor of the last item.")


@strawberry.type(description="An item and its cursor.")
class Edge(Generic[T]):
    node: T = field("The item.")
    cursor: str = field("The item's cursor.")


@strawberry.type(
    description="A page of a list: a Relay connection, and the contract's list response (components ListResponse_…_: data, iterator, prevIterator, done)."
)
class Connection(Generic[T]):
    nodes: list[T] = field("The items.")
    page_info: PageInfo = field("Where the page stands.")
    done: bool = field("Whether there is no more in the direction that was asked.")
    live_cursor: str | None = field(
        "Pass as `after` to the subscription of the same name to go on where the list was read; null where there is none."
    )
    cursors: strawberry.Private[list[str]]

    @computed("The items with their cursors.")
    def edges(self) -> list[Edge[T]]:
        return [Edge(node=node, cursor=cursor) for node, cursor in zip(self.nodes, self.cursors, strict=True)]

    @computed("The items, under the contract's name.")
    def data(self) -> list[T]:
        return self.nodes

    @computed("Pass as `iterator` (or `after`) to go on.")
    def iterator(self) -> str | None:
        return self.page_info.end_cursor

    @computed("Pass as `iterator` to go back (without its dash: as `before`).")
    def prev_iterator(self) -> str | None:
        return f"-{self.page_info.start_cursor}" if self.page_info.start_cursor else None


def connection(page: Page[R], node: Callable[[R], T], *, live_cursor: str | None = None) -> Connection[T]:
    """The connection of a page, each row shown by `node`. A `live_cursor` must have been taken before the page was read."""
    # As an iterator, a name that begins with a dash would lead back.
    cursors = [f"+{key}" if key.startswith("-") else key for key in page.keys]
    return Connection(
        nodes=[node(row) for row in page.items],
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        ),
        done=page.done,
        live_cursor=live_cursor,
        cursors=cursors,
    )


First = Annotated[int | None, strawberry.argument(description=f"How many items to go forward, 1 to {MAX_LIMIT}.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go forward from.")]
Last = Annotated[int | None, strawberry.argument(description=f"How many items to go backward, 1 to {MAX_LIMIT}.")]
Before = Annotated[str | None, strawberry.argument(description="The cursor to go backward from.")]
Limit = Annotated[int | None, strawberry.argument(description=f"How many items, 1 to {MAX_LIMIT}; {DEFAULT_LIMIT} when not given.")]
Iterator = Annotated[
    str | None, strawberry.argument(description="The contract's cursor: of the last page to go on, with a dash to go back.")
]


@dataclass(frozen=True, slots=True)
class Paging:
    """The paging arguments of a list, as they were given."""

    first: First = UNSET
    after: After = UNSET
    last: Last = UNSET
    before: Before = UNSET
    limit: Limit = UNSET
    iterator: Iterator = UNSET

    def request(self, prefix: str | None) -> PageRequest:
        """What they ask for. Cursors are ids that begin with `prefix`, or names when it is None.

        Raises `InvalidInput` when a size is out of range, a cursor is malformed, or the two styles are mixed.
        """
        relay, contract = self._given("first", "after", "last", "before"), self._given("limit", "iterator")
        if relay and contract:
            raise InvalidInput(
                "Page with first, after, last and before, or with limit and iterator, not with both.", (next(iter(contract)),)
            )
        if ("last" in relay or "before" in relay) and ("first" in relay or "after" in relay):
            raise InvalidInput(
                "Page forward with first and after, or backward with last and before.", ("last" if "last" in relay else "before",)
            )
        for name, size in (*relay.items(), *contract.items()):
            if isinstance(size, int) and not 1 <= size <= MAX_LIMIT:
                raise InvalidInput(f"{name} is {size}; 1 to {MAX_LIMIT} are allowed.", (name,))
        if contract:
            cursor = contract.get("iterator")
            backwards = cursor is not None and cursor.startswith("-")
            name, size = "iterator", contract.get("limit", DEFAULT_LIMIT)
            cursor = cursor[1:] if cursor is not None and backwards else cursor
        else:
            backwards = "last" in relay or "before" in relay
            name = "before" if backwards else "after"
            cursor = relay.get(name)
            size = relay.get("last" if backwards else "first", DEFAULT_LIMIT)
        if cursor is not None and prefix is None:
            cursor = cursor.removeprefix("+")
        if cursor is not None and not _is_cursor(cursor, prefix):
            raise InvalidInput(f"The cursor {short(cursor)} was not made by this list.", (name,))
        return PageRequest(size, cursor, backwards)

    def _given(self, *names: str) -> dict[str, Any]:
        return {name: found for name in names if (found := getattr(self, name)) not in (UNSET, None)}


def listing(resolver: Callable[..., Awaitable[Any]]) -> Any:
    """A root field that is a list: an operation with the paging arguments in the place of its resolver's `paging`."""
    paging = inspect.signature(Paging, eval_str=True).parameters

    @wraps(resolver)
    async def run(**given: Any) -> Any:
        return await resolver(paging=Paging(**{name: given.pop(name) for name in paging if name in given}), **given)

    signature = inspect.signature(resolver)
    parameters = [
        given.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for declared in signature.parameters.values()
        for given in (paging.values() if declared.name == "paging" else (declared,))
    ]
    vars(run)["__signature__"] = signature.replace(parameters=parameters)
    return operation(run)


def _is_cursor(cursor: str, prefix: str | None) -> bool:
    if prefix is None:
        return could_be_reference(cursor)
    return is_id(cursor, prefix)
