"""The Tortoise backend for SQLite, with immediate transactions and the database's own clock.

Tortoise begins transactions with a plain `BEGIN`; one that reads before it writes then fails at once with SQLITE_BUSY_SNAPSHOT when another
connection (a backup, the command line) has written in between. `BEGIN IMMEDIATE` waits for `busy_timeout` instead. `graphook_now()` gives
SQL the time in microseconds since the epoch, as the function of the same name does on PostgreSQL; it never goes backwards in one process.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from tortoise.backends.base.client import NestedTransactionContext, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper

PRAGMAS = {"journal_mode": "WAL", "synchronous": "FULL", "busy_timeout": 5000, "foreign_keys": "ON"}


class MonotonicClock:
    """Microseconds since the epoch that never go backwards, and never stand still: while the wall clock is behind, they pass half as fast."""

    def __init__(self) -> None:
        self._latest = 0
        self._asked = time.monotonic_ns()

    def __call__(self) -> int:
        passed, self._asked = time.monotonic_ns() - self._asked, time.monotonic_ns()
        self._latest = max(self._latest + passed // 2000, time.time_ns() // 1000)
        return self._latest


class ImmediateTransactionWrapper(SqliteTransactionWrapper):
    """A transaction that takes the write lock when it begins."""

    async def begin(self) -> None:
        await self._connection.execute("BEGIN IMMEDIATE")

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(ImmediateTransactionWrapper(self))

    async def execute_script(self, query: str) -> None:
        """Run the statements of a script one by one: `executescript` would commit the transaction first."""
        for statement in _statements(query):
            await self.execute_query(statement)


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for part in script.split(";"):
        pending += f"{part};"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip(";\n "):
        yield pending


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


@asynccontextmanager
async def immediate_transaction(connection: Any) -> AsyncIterator[None]:
    """A transaction of the connection that holds the write lock until the block ends, in which it is committed, or rolled back when it raises."""
    # aiosqlite runs each call in its thread even if the waiting task is cancelled: begin and end must be seen through,
    # or the one connection would stay inside a transaction that nobody owns.
    await _seen_through(connection.execute("BEGIN IMMEDIATE"), undo=connection.rollback)
    try:
        yield
    except BaseException:
        await _seen_through(connection.rollback())
        raise
    await _seen_through(connection.commit())


async def _seen_through(call: Any, undo: Any = None) -> None:
    """Wait for a call to the end, also when the waiting task is cancelled; then undo it, if it can be undone, and go on being cancelled."""
    task = asyncio.ensure_future(call)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():  # however often it is cancelled meanwhile
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if undo is not None:
            await undo()
        raise


client_class = ImmediateSqliteClient
