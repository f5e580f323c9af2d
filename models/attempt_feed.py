"""Attempts of an application in the order of their commits, and cursors into that order.

Ids do not say in which order rows became visible: a transaction that began earlier may commit later. PostgreSQL's rows carry the transaction
that wrote them, and are read only below the oldest transaction still open; SQLite has one writer, whose row numbers are the order.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from graphook import database
from graphook.database import Statement
from graphook.errors import InvalidInput
from graphook.feed import Chunk, Event, Position
from models.attempt import Attempt

_CURSOR = re.compile(r"([0-9a-f]{12})\.(\d{1,19})\.((?:atmpt_[0-9A-Za-z]{27})?)")

READ = Statement(
    postgresql=f"""
        SELECT {Attempt.select("postgresql")} FROM attempt
        WHERE app_id = $1 AND (xid, id) > ($2::text::xid8, $3) AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid, id LIMIT $4""",
    sqlite=f"SELECT {Attempt.select('sqlite')} FROM attempt WHERE app_id = ?1 AND seq > ?2 AND ?3 IS NOT NULL ORDER BY seq LIMIT ?4",
)
# Whether anything is committed that READ leaves out because an older transaction is still open.
HIDDEN = Statement(
    postgresql="""
        SELECT EXISTS (SELECT 1 FROM attempt WHERE app_id = $1 AND xid >= pg_snapshot_xmin(pg_current_snapshot())) AS hidden""",
    sqlite="SELECT 0 AS hidden WHERE ?1 IS NOT NULL",
)
HEAD = Statement(
    postgresql="SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 AS position",
    sqlite="SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'attempt'), 0) AS position",
)
_LIFE = Statement(
    postgresql="""
        SELECT (SELECT system_identifier FROM pg_control_system())::text || (SELECT timeline_id FROM pg_control_checkpoint())::text
               || (SELECT oid FROM pg_database WHERE datname = current_database())::text AS id""",
    sqlite="SELECT id FROM incarnation",
)


class AttemptSource:
    """Reads attempts for a feed, by application id."""

    async def head(self, key: str) -> Position:
        async with database.read() as session:
            return Position((await session.fetch(HEAD))[0]["position"], "~")

    async def read(self, key: str, after: Position, limit: int) -> Chunk[Attempt]:
        async with database.read() as session:
            commit = str(after.commit) if session.dialect == "postgresql" else after.commit
            rows = await session.fetch(READ, key, commit, after.id, limit)
            hidden = bool((await session.fetch(HIDDEN, key))[0]["hidden"])
        return Chunk([Event(Position(row["position"], row["id"]), Attempt.of(row)) for row in rows], hidden)


class Cursors:
    """Cursors of the connected database: they name its incarnation, so that one from before a restore is refused."""

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

    async def head(self, app_id: str) -> str:
        """The cursor of the place behind every attempt of the application that is committed now."""
        return self.write(await AttemptSource().head(app_id))

    def write(self, position: Position) -> str:
        """The cursor of a place."""
        return f"{self._incarnation}.{position.commit}.{position.id if position.id != '~' else ''}"

    def read(self, cursor: str) -> Position:
        """The place of a cursor. Raises `InvalidInput`: malformed, or CURSOR_EXPIRED when the database was restored since."""
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise InvalidInput(f"The cursor {cursor[:40]!r} was not made by this subscription.", ("after",))
        if match[1] != self._incarnation:
            raise InvalidInput(
                "The cursor is from before the database was restored; list and subscribe anew.", ("after",), code="CURSOR_EXPIRED"
            )
        return Position(int(match[2]), match[3] or "~")


@lru_cache
def _shorten(life: str) -> str:
    return hashlib.sha256(life.encode()).hexdigest()[:12]
