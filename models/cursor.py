"""Cursors into the order of commits, and the reader of one table in that order.

Ids do not say in which order rows became visible: a transaction that began earlier may commit later. PostgreSQL's rows carry the transaction
that wrote them, and are read only below the oldest transaction still open; SQLite has one writer, whose row numbers are the order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, TypeVar

from graphook import database
from graphook.database import Row, Session, Statement
from graphook.errors import InvalidInput
from graphook.feed import Chunk, Event, Position
from graphook.ids import is_id

T = TypeVar("T")

# Behind every id of the same commit.
_BEHIND = "~"
_CURSOR = re.compile(r"([0-9a-f]{12})\.(\d{1,19})\.((?:[a-z]+_)?(?:[0-9A-Za-z]{27})?)")
_LAST_COMMIT = 2**63 - 1
START = Position(0, "")
_LIFE = Statement(
    postgresql="""
        SELECT (SELECT system_identifier FROM pg_control_system())::text || (SELECT timeline_id FROM pg_control_checkpoint())::text
               || (SELECT oid FROM pg_database WHERE datname = current_database())::text AS id""",
    sqlite="SELECT id FROM incarnation",
)


class CommitSource(Generic[T]):
    """Reads the rows of a table for a feed, by the application or the organisation that the key names."""

    def __init__(self, table: str, columns: str, of: Callable[[Row], T]) -> None:
        self._of = of
        # What operational messages tell an organisation is not a part of its stream.
        scopes = {"app_": "app_id = {0}", "org_": "org_id = {0} AND app_id <> 'app_' || substr({0}, 5)"}
        scoped = {prefix: self._statements(table, columns, scope) for prefix, scope in scopes.items()}
        self._read = {prefix: read for prefix, (read, _) in scoped.items()}
        self._hidden = {prefix: hidden for prefix, (_, hidden) in scoped.items()}
        self._head = Statement(
            postgresql="SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 AS position",
            sqlite=f"SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0) AS position",
        )
        self._before = Statement(
            postgresql=f"SELECT xid::text::bigint AS position FROM {table} WHERE id < $1 ORDER BY id DESC LIMIT 1",
            sqlite=f"SELECT seq AS position FROM {table} WHERE id < ?1 ORDER BY id DESC LIMIT 1",
        )

    @staticmethod
    def _statements(table: str, columns: str, scope: str) -> tuple[Statement, Statement]:
        """Rows behind a place, and whether anything is committed that is left out because an older transaction is still open."""
        read = Statement(
            postgresql=f"""
                SELECT {columns}, xid::text::bigint AS position FROM {table}
                WHERE {scope.format("$1")} AND (xid, id) > ($2::text::xid8, $3) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY xid, id LIMIT $4""",
            sqlite=f"""
                SELECT {columns}, seq AS position FROM {table}
                WHERE {scope.format("?1")} AND seq > ?2 AND ?3 IS NOT NULL ORDER BY seq LIMIT ?4""",
        )
        hidden = Statement(
            postgresql=f"""
                SELECT EXISTS (SELECT 1 FROM {table} WHERE {scope.format("$1")} AND xid >= pg_snapshot_xmin(pg_current_snapshot())) AS hidden""",
            sqlite="SELECT 0 AS hidden WHERE ?1 IS NOT NULL",
        )
        return read, hidden

    async def head(self, key: str) -> Position:
        """The place behind everything that is committed now."""
        async with database.read() as session:
            return Position((await session.fetch(self._head))[0]["position"], _BEHIND)

    async def before(self, row_id: str) -> Position:
        """The place behind the commit of the last row with a lower id, whosever it is."""
        async with database.read() as session:
            rows = await session.fetch(self._before, row_id)
        return Position(rows[0]["position"], _BEHIND) if rows else START

    async def read(self, key: str, after: Position, limit: int) -> Chunk[T]:
        """Rows behind a place, oldest commit first."""
        async with database.read() as session:
            events = await self.read_in(session, key, after, limit)
            hidden = bool((await session.fetch(self._hidden[_kind(key)], key))[0]["hidden"])
        return Chunk(events, hidden)

    async def read_in(self, session: Session, key: str, after: Position, limit: int) -> list[Event[T]]:
        """The same rows within a session of the caller's."""
        commit = str(after.commit) if session.dialect == "postgresql" else after.commit
        rows = await session.fetch(self._read[_kind(key)], key, commit, after.id, limit)
        return [Event(Position(row["position"], row["id"]), self._of(row)) for row in rows]


def _kind(key: str) -> str:
    return "org_" if key.startswith("org_") else "app_"


class Cursors:
    """Cursors of the connected database: they name its incarnation, so that one from before a restore is refused, and the kind of rows."""

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation

    @classmethod
    async def of_database(cls, file_number: int | None) -> Cursors:
        """The cursors of the connected database. A SQLite file that was put back from a copy is another file: its inode tells."""
        async with database.read() as session:
            life = (await session.fetch(_LIFE))[0]["id"]
        if file_number is not None:
            life += str(file_number)
        return cls(_shorten(life))

    def write(self, position: Position, prefix: str) -> str:
        """The cursor of a place among the rows whose ids begin with `prefix`."""
        return f"{self._incarnation}.{position.commit}.{position.id if is_id(position.id, prefix) else prefix}"

    def read(self, cursor: str, prefix: str, path: tuple[str, ...] = ("after",)) -> Position:
        """The place of a cursor. Raises `InvalidInput`: malformed or of other rows, or CURSOR_EXPIRED when the database was restored since."""
        match = _CURSOR.fullmatch(cursor)
        if match is None or int(match[2]) > _LAST_COMMIT:
            raise InvalidInput(f"The cursor {cursor[:40]!r} was not made here.", path)
        if match[1] != self._incarnation:
            raise InvalidInput("The cursor is from before the database was restored; begin anew.", path, code="CURSOR_EXPIRED")
        if match[3] != prefix and not is_id(match[3], prefix):
            raise InvalidInput(f"The cursor {cursor[:40]!r} was made for something else.", path)
        return Position(int(match[2]), _BEHIND if match[3] == prefix else match[3])


@lru_cache
def _shorten(life: str) -> str:
    return hashlib.sha256(life.encode()).hexdigest()[:12]
