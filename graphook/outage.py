"""Which errors of a database mean that it cannot do something now, and which that we asked for something wrong."""

from __future__ import annotations

import logging
import socket
import sqlite3
import ssl

import asyncpg
from tortoise.exceptions import DBConnectionError, OperationalError, TransactionManagementError

from graphook.logs import once_a_second

log = logging.getLogger(__name__)

# What the log was told within the last second, and when.

# Others wrote at the same time, and PostgreSQL undid what was written: repeated at once, it goes through.
_CONTENDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_OUTAGES = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    DBConnectionError,
    *_CONTENDED,
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.StatementCompletionUnknownError,
    asyncpg.InsufficientResourcesError,  # class 53: too many connections, disk full, out of memory
    asyncpg.LockNotAvailableError,
    asyncpg.OperatorInterventionError,  # class 57: starting, stopping, crashed, a statement or a session timeout
    asyncpg.PostgresIOError,
    asyncpg.InvalidAuthorizationSpecificationError,  # class 28: its password or its rules are being changed
    asyncpg.InvalidCatalogNameError,  # it is being restored
    ssl.SSLError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby that was, or is about to be, the primary
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.InvalidCachedStatementError,  # a migration came in between
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.InternalClientError,  # the server said on an idle connection that it stops, and the end of that connection is not there yet
)
# asyncpg has no class for these: what it says of a connection that went away while it was ours.
_GONE = ("is closed", "is closing", "released back")
_SQLITE_OUTAGES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}


def is_outage(error: BaseException) -> bool:
    """Whether the database cannot be reached, read or written right now, so that the same call may succeed later."""
    error = _original(error)
    if isinstance(error, _OUTAGES):
        return True
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_OUTAGES
    if type(error) is asyncpg.InterfaceError:
        return any(words in str(error) for words in _GONE)
    # No file is meant where none is named: the host, the database's own socket, or no descriptor left for one. Of a host with several addresses, asyncio
    # tells all that went wrong in one OSError without a number.
    return isinstance(error, OSError) and (
        (error.errno is not None and error.filename is None) or str(error).startswith("Multiple exceptions")
    )


def is_refusal(error: BaseException) -> bool:
    """Whether the database says that it does not do something, now or for a user without the right to it."""
    original = _original(error)
    return isinstance(original, asyncpg.InsufficientPrivilegeError) or (
        isinstance(original, asyncpg.PostgresError | sqlite3.OperationalError) and is_outage(original)
    )


def told(error: BaseException) -> str:
    """What an error says, in one line; that there was no answer where it says nothing."""
    return " ".join(str(error).split()) or ("there was no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def log_outage(error: BaseException) -> None:
    """Say in the log what was wrong, once a second: callers, of which there may be thousands, are told only that the database is not available."""
    once_a_second(log.warning, f"the database is not available: {told(error)}")


def is_contended(error: BaseException) -> bool:
    """Whether the database undid a transaction because others wrote at the same time: repeated at once, it goes through."""
    return isinstance(_original(error), _CONTENDED)


def _original(error: BaseException) -> BaseException:
    """The driver's error within Tortoise's."""
    wrapped = isinstance(error, OperationalError | TransactionManagementError) and error.args
    return error.args[0] if wrapped and isinstance(error.args[0], Exception) else error
