"""Cursors into the order of commits, and the reader of one table in that order.

Ids do not say in which order rows became visible: a transaction that began earlier may commit later. PostgreSQL's rows carry the transaction
that wrote them, and are read only below the oldest transaction still open; SQLite has one writer, whose row numbers are the order.

After a restore, the places of rows that it took back go to others, which a cursor from before must not pass over. So a cursor names its origin. On
PostgreSQL that is the database and its timeline. In a SQLite file the process that owns it notes each of its starts, and how far the rows reached
then: a cursor is refused whose start was lost, or whose place is beyond where the next start began.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
KEPT_STARTS = 10_000
TABLES = {"atmpt_": "attempt", "msg_": "message"}
# The last commit that everything has reached: what commits later is behind it.
_HEAD = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1"
_SEQUENCE = "COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{}'), 0)"
_ORIGIN = Statement(
    postgresql="""
        SELECT left(encode(sha256(convert_to(system_identifier::text || timeline_id::text || oid::text, 'UTF8')), 'hex'), 12) AS id
        FROM pg_control_system(), pg_control_checkpoint(), pg_database WHERE datname = current_database()""",
    sqlite=f"""
        INSERT INTO process_start (id, attempt, message)
        VALUES (lower(hex(randomblob(6))), {_SEQUENCE.format("attempt")}, {_SEQUENCE.format("message")}) RETURNING id""",
)
_FORGET_STARTS = "DELETE FROM process_start WHERE number <= (SELECT max(number) FROM process_start) - ?1"
# The last commit that a cursor may name, by the prefix of its rows' ids, given its origin and our own; no row where the origin is unknown.
_REACHED = {
    prefix: Statement(
        postgresql=f"SELECT {_HEAD} AS position WHERE $1::text = $2::text",
        sqlite=f"""
            SELECT COALESCE((SELECT next.{table} FROM process_start next WHERE next.number > s.number ORDER BY next.number LIMIT 1),
                            {_SEQUENCE.format(table)}) AS position
            FROM process_start s WHERE s.id = ?1 AND ?2 IS NOT NULL""",
    )
    for prefix, table in TABLES.items()
}


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
            postgresql=f"SELECT {_HEAD} AS position",
            sqlite=f"SELECT {_SEQUENCE.format(table)} AS position",
        )
        self._before = Statement(
            postgresql=f"SELECT LEAST(xid::text::bigint, {_HEAD}) AS position FROM {table} WHERE id < $1 ORDER BY id DESC LIMIT 1",
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

    async def head(self) -> Position:
        """The place behind everything that is committed now."""
        async with database.read() as session:
            return Position((await session.fetch(self._head))[0]["position"], _BEHIND)

    async def before(self, row_id: str) -> Position:
        """The place behind the commit of the last row with a lower id, whosever it is, or behind everything that can be read in order now."""
        async with database.read() as session:
            rows = await session.fetch(self._before, row_id)
        return Position(rows[0]["position"], _BEHIND) if rows else START

    async def read(self, key: str, after: Position, limit: int) -> Chunk[T]:
        """Rows behind a place, oldest commit first."""
        async with database.read() as session:
            # Asked first: what can be read in order only after the look is told to be hidden.
            hidden = bool((await session.fetch(self._hidden[_kind(key)], key))[0]["hidden"])
            return Chunk(await self.read_in(session, key, after, limit), hidden)

    async def read_in(self, session: Session, key: str, after: Position, limit: int) -> list[Event[T]]:
        """The same rows within a session of the caller's."""
        commit = str(after.commit) if session.dialect == "postgresql" else after.commit
        rows = await session.fetch(self._read[_kind(key)], key, commit, after.id, limit)
        return [Event(Position(row["position"], row["id"]), self._of(row)) for row in rows]


def _kind(key: str) -> str:
    return "org_" if key.startswith("org_") else "app_"


class Cursors:
    """Cursors of the connected database: they name their origin, so that one from before a restore is refused, and the kind of rows."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    @classmethod
    async def of_database(cls) -> Cursors:
        """The cursors of the connected database. On SQLite this notes a start: call it once, before the process writes any rows."""
        async with database.transaction() as session:
            origin = (await session.fetch(_ORIGIN))[0]["id"]
            if session.dialect == "sqlite":
                await session.fetch_text(_FORGET_STARTS, KEPT_STARTS)
        return cls(origin)

    def write(self, position: Position, prefix: str) -> str:
        """The cursor of a place among the rows whose ids begin with `prefix`."""
        return f"{self._origin}.{position.commit}.{position.id if is_id(position.id, prefix) else prefix}"

    async def read(self, session: Session, cursor: str, prefix: str, path: tuple[str, ...] = ("after",)) -> Position:
        """The place of a cursor. Raises `InvalidInput`: malformed or of other rows, or CURSOR_EXPIRED, a place that the database does not have."""
        match = _CURSOR.fullmatch(cursor)
        if match is None or int(match[2]) > _LAST_COMMIT:
            raise InvalidInput(f"The cursor {cursor[:40]!r} was not made here.", path)
        reached = await session.fetch(_REACHED[prefix], match[1], self._origin)
        if reached and match[3] != prefix and not is_id(match[3], prefix):
            raise InvalidInput(f"The cursor {cursor[:40]!r} was made for something else.", path)
        if not reached or int(match[2]) > reached[0]["position"]:
            raise InvalidInput("The cursor's place is not in the database, as after a restore; begin anew.", path, code="CURSOR_EXPIRED")
        return Position(int(match[2]), _BEHIND if match[3] == prefix else match[3])
