"""Conditions of a list query, the same for both databases and for a row at hand, and the query's keyset pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Self, TypeVar

from tortoise import Model

from graphook import database
from graphook.database import Dialect, Row
from models.page import Page, PageRequest, paginate

M = TypeVar("M", bound=Model)
# What is asked of a row at hand.
Test = Callable[[Any], object]


def _none(row: Any) -> object:
    raise TypeError("a condition was added for queries only")


class Where:
    """Conditions joined by AND. `?` stands for each argument in turn; every condition must be served by an index (tests look at the plan).

    The same conditions can be asked of a row that is there already, an object with the columns as attributes: what is listed by some is what is
    watched by them.
    """

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self._args: list[Any] = []
        self._tests: list[Test] = []
        self._dialect: Dialect = database.dialect()

    def raw(self, condition: str, *args: Any, test: Test = _none) -> Self:
        """Add a condition written in SQL that both databases read; `test` asks the same of a row at hand."""
        self._conditions.append(condition)
        self._args += args
        self._tests.append(test)
        return self

    def equal(self, column: str, value: Any) -> Self:
        """Add `column = value`."""
        return self.raw(f"{column} = ?", value, test=lambda row: _found(row, column) == value)

    def any_of(self, column: str, values: Sequence[Any]) -> Self:
        """Add `column` is one of `values`."""
        condition = f"{column} = ANY(?)" if self._dialect == "postgresql" else f"{column} IN (SELECT value FROM json_each(?))"
        return self.raw(condition, list(values), test=lambda row: _found(row, column) in values)

    def contains(self, column: str, value: str) -> Self:
        """Add: the JSON list in `column` contains the text `value`."""
        if self._dialect == "postgresql":
            condition = f"{column} @> jsonb_build_array(?::text)"
        else:
            condition = f"EXISTS (SELECT 1 FROM json_each({column}) item WHERE item.value = ?)"
        return self.raw(condition, value, test=lambda row: value in (_found(row, column) or ()))

    def __bool__(self) -> bool:
        return bool(self._conditions)

    def holds(self, row: Any) -> bool:
        """Whether all conditions hold of a row at hand."""
        return all(test(row) for test in self._tests)

    def copy(self) -> Where:
        """Conditions to add to without changing these."""
        twin = Where()
        twin._conditions, twin._args, twin._tests = list(self._conditions), list(self._args), list(self._tests)
        return twin

    async def fetch(self, select: str, tail: str = "") -> Sequence[Row]:
        """The rows of `select … WHERE <conditions> <tail>`."""
        where = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        text = f"{select}{where} {tail}"
        if self._dialect == "postgresql":
            numbers = iter(range(1, len(self._args) + 1))
            text = re.sub(r"\?", lambda _: f"${next(numbers)}", text)
        async with database.read() as session:
            return await session.fetch_text(text, *self._args)

    async def load(self, model: type[M], tail: str = "", *, without: Collection[str] = ()) -> list[M]:
        """The rows of a model, which lack the attributes for columns that are to be left out, as with Tortoise's `only`.

        What requests read is read so: Tortoise takes longer to write a query than the database to answer it.
        """
        meta = model._meta
        columns = ", ".join(f"NULL AS {column}" if column in without else column for column in meta.fields_db_projection.values())
        found = [model._init_from_db(**row) for row in await self.fetch(f"SELECT {columns} FROM {meta.db_table}", tail)]
        for row in found if without else ():
            row._partial = True
            for column in without:
                delattr(row, column)
        return found


def _found(row: Any, column: str) -> Any:
    return getattr(row, column.rpartition(".")[2])


async def page_where(
    select: str, where: Where, request: PageRequest, *, descending: bool, key: str = "id", group_by: str = "", having: str = ""
) -> Page[Row]:
    """One page of `select` by the unique column `key` (qualified where the query joins; its name in the row is the last part).

    `having` is a condition on groups, without arguments.
    """
    name = key.rpartition(".")[2]
    group = (f"GROUP BY {group_by} " if group_by else "") + (f"HAVING {having} " if having else "")

    async def fetch(cursor: str | None, down: bool, limit: int) -> list[Row]:
        return list(await _beyond(where, key, cursor, down).fetch(select, group + _by(key, down, limit)))

    return await paginate(fetch, lambda row: str(row[name]), request, descending)


async def page_of(
    model: type[M], where: Where, request: PageRequest, *, descending: bool = False, key: str = "id", without: Collection[str] = ()
) -> Page[M]:
    """One page of a model's rows by a unique column."""

    async def fetch(cursor: str | None, down: bool, limit: int) -> list[M]:
        return await _beyond(where, key, cursor, down).load(model, _by(key, down, limit), without=without)

    return await paginate(fetch, lambda row: str(getattr(row, key)), request, descending)


def _beyond(where: Where, key: str, cursor: str | None, down: bool) -> Where:
    return where if cursor is None else where.copy().raw(f"{key} {'<' if down else '>'} ?", cursor)


def _by(key: str, down: bool, limit: int) -> str:
    return f"ORDER BY {key} {'DESC' if down else 'ASC'} LIMIT {int(limit)}"
