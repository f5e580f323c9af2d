"""A database of PostgreSQL that one test after the other is lent, since to make one takes longer than most tests: what they wrote is taken away."""

from __future__ import annotations

from typing import Any, Self

import asyncpg

# Whatever defines something writes here. What is not a table of ours is left out where the server itself writes it.
CATALOGS = {
    **dict.fromkeys(("class", "attribute", "attrdef", "constraint", "index", "inherits", "namespace", "proc", "trigger", "type"), "true"),
    "statistic": "starelid >= 16384",
    "db_role_setting": "setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
}
DEFINED = " UNION ALL ".join(
    f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM pg_{name} WHERE {ours}" for name, ours in CATALOGS.items()
)
TABLES = "FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
FILLED = f"SELECT oid::regclass::text {TABLES} AND pg_relation_size(oid) > 0"
ANALYSED = f"SELECT 'analysed', count(*), 0 {TABLES} AND reltuples >= 0"
OTHERS = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Reused:
    """A migrated database, whose rows of the beginning stay."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._kept: set[str] = set()
        self._found: list[Any] = []

    @classmethod
    async def of(cls, url: str) -> Self:
        """The one of that URL, which is as every test shall find it."""
        database = cls(url)
        connection = await asyncpg.connect(url)
        try:
            database._kept = {name for (name,) in await connection.fetch(FILLED)}
            database._found = await database._look(connection)
        finally:
            await connection.close()
        return database

    async def emptied(self) -> bool:
        """Take away what was written. False where it cannot be as before: a test changed more than rows, or rows that were there before."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(OTHERS)
            if await self._look(connection) != self._found:
                return False
            written = {name for (name,) in await connection.fetch(FILLED)} - self._kept
            if written:
                await connection.execute(f"TRUNCATE {', '.join(sorted(written))} RESTART IDENTITY")
                self._found = await self._look(connection)
            return True
        finally:
            await connection.close()

    async def _look(self, connection: asyncpg.Connection) -> list[Any]:
        """What there is but for the rows that tests write."""
        rows = [f"SELECT '{name}', count(*), sum(hashtextextended(t::text, 0)) FROM {name} t" for name in sorted(self._kept)]
        return list(await connection.fetch(" UNION ALL ".join([DEFINED, ANALYSED, *rows])))
