"""The Tortoise backend for SQLite, with immediate transactions and the database's own clock.

Tortoise begins transactions with a plain `BEGIN`; one that reads before it writes then fails at once with SQLITE_BUSY_SNAPSHOT when another
connection (a backup, the command line) has written in between. `BEGIN IMMEDIATE` waits for `busy_timeout` instead. `graphook_now()` gives
SQL the time in microseconds since the epoch, as the function of the same name does on PostgreSQL; it never goes backwards in one process.
"""

from __future__ import annotations

import time
from typing import Any

from tortoise.backends.base.client import TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper

PRAGMAS = {"journal_mode": "WAL", "synchronous": "FULL", "busy_timeout": 5000, "foreign_keys": "ON"}


class MonotonicClock:
    """Microseconds since the epoch that never go backwards, even when the wall clock is set back."""

    def __init__(self) -> None:
        self._latest = 0

    def __call__(self) -> int:
        self._latest = max(self._latest, time.time_ns() // 1000)
        return self._latest


class ImmediateTransactionWrapper(SqliteTransactionWrapper):
    """A transaction that takes the write lock when it begins."""

    async def begin(self) -> None:
        await self._connection.execute("BEGIN IMMEDIATE")


class ImmediateSqliteClient(SqliteClient):
    """Tortoise's client, with our pragmas, our clock and immediate transactions."""

    def __init__(self, file_path: str, **kwargs: Any) -> None:
        super().__init__(file_path, **{**PRAGMAS, **kwargs})

    async def _post_connect(self) -> None:
        await super()._post_connect()
        assert self._connection is not None
        await self._connection.create_function("graphook_now", 0, MonotonicClock())

    def _in_transaction(self) -> TransactionContext:
        return SqliteTransactionContext(ImmediateTransactionWrapper(self), self._lock)


client_class = ImmediateSqliteClient
