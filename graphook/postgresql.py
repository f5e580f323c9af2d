"""A connection to PostgreSQL that is given up when nothing is heard from the other end.

The server's own limits end what takes long. They say nothing where the server is gone without a word, because its machine stopped or a firewall
forgot the connection: TCP alone would wait for a quarter of an hour.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg

# For the server: it ends a statement that takes longer.
STATEMENT_SECONDS = 10
# For us: who has not even said by now that the statement was ended is not there.
COMMAND_SECONDS = 15.0
CONNECT_SECONDS = 5.0
# What a connection may fail at, the last one where all servers of several are standbys.
CONNECT_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.TargetServerAttributeNotMatched)
# For the server to confirm that it has cancelled a statement, or that the connection ends.
CONFIRM_SECONDS = 2.0


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection of the pool."""

    def get_reset_query(self) -> str:
        """Nothing: what a statement of ours leaves behind ends with its transaction, so that giving a connection back needs no round trip."""
        return ""

    async def close(self, *, timeout: float | None = None) -> None:
        """Closed afterwards, whether or not the server confirms it in time."""
        with suppress(OSError):  # also the timeout: the socket is gone by then
            await super().close(timeout=CONFIRM_SECONDS if timeout is None else timeout)

    async def _cancel(self, *waiters: Any) -> None:
        # asyncpg waits as long for a cancelled statement as for one that runs, and with it whoever rolls back or gives the connection back.
        async with asyncio.timeout(CONFIRM_SECONDS) as limit:
            await super()._cancel(*waiters)
        if limit.expired():
            self.terminate()


async def leave_the_silent(pool: asyncpg.Pool | None, error: BaseException) -> None:
    """After a command that got no answer in time, use none of the pool's connections again: the others fell silent at the same moment."""
    cause: BaseException | None = error
    # Of a transaction the rollback is what failed last.
    while cause is not None and not isinstance(cause, TimeoutError):
        cause = cause.__context__
    if pool is not None and cause is not None:
        await pool.expire_connections()
