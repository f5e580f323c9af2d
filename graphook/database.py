"""The connection to the database, and SQL that means the same on PostgreSQL and SQLite.

Control-plane rows go through Tortoise. Hot statements are `Statement`s: one text per dialect, the same parameters and the same rows. Both share
Tortoise's connections. A transaction is open for milliseconds and never while something is sent.
"""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import orjson
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import TransactionWrapper
from tortoise.backends.base.client import TransactionalDBClient
from tortoise.connection import get_connections
from tortoise.exceptions import DBConnectionError, OperationalError

from graphook.errors import Contended, Unavailable
from graphook.outage import is_contended, is_outage, log_outage, told
from graphook.postgresql import COMMAND_SECONDS, CONNECT_FAILURES, CONNECT_SECONDS, STATEMENT_SECONDS, Connection, leave_the_silent
from graphook.sqlite import ImmediateTransactionWrapper, immediate_transaction

Dialect = Literal["postgresql", "sqlite"]
Row = Mapping[str, Any]

P = ParamSpec("P")
T = TypeVar("T")

MODELS = "models"
CONTENDED_TRIES = 3


@dataclass(frozen=True, slots=True)
class Statement:
    """One hot statement. PostgreSQL takes `$1…`; SQLite takes `?1…`, and reads a list parameter as a JSON array (`json_each`)."""

    postgresql: str
    sqlite: str

    @classmethod
    def same(cls, text: str) -> Statement:
        """A statement that both dialects have alike, written for PostgreSQL.

        For SQLite, `= ANY($1::text[])` becomes a look into a list, casts such as `$1::bigint` are left out, as are locks, since it has one writer, and
        `$1…` is `?1…`.
        """
        sqlite = re.sub(r"= ANY\((\$\d+)::text\[\]\)", r"IN (SELECT value FROM json_each(\1))", text)
        sqlite = re.sub(r" FOR (UPDATE|SHARE)( OF \w+)?( SKIP LOCKED)?|::\w+(\[\])?", "", sqlite)
        return cls(postgresql=text, sqlite=re.sub(r"\$(\d+)", r"?\1", sqlite))

    def text(self, dialect: Dialect) -> str:
        return self.postgresql if dialect == "postgresql" else self.sqlite


def probing(key: str) -> str:
    """A condition for PostgreSQL that always holds: join a few keys (`unnest(…)`, `key` is a text column of it) to a table by probing an index.

    The planner takes an array for many rows and counts the probes of every partition, although each key is in one: it would rather read
    whole tables. This condition has the default selectivity of 1 in 200, so that it expects one row.
    """
    return f"{key} = {key} || ''"


def tortoise_config(url: str, pool_size: int = 10, *, unhurried: bool = False, command_seconds: float = COMMAND_SECONDS) -> dict[str, Any]:
    """Tortoise's configuration for a database URL. `unhurried`: without a limit to the time of a statement."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        connection: dict[str, Any] = {
            "engine": "graphook.sqlite",
            "credentials": {"file_path": url.removeprefix("sqlite://")},
        }
    elif parts.scheme in ("postgres", "postgresql"):
        credentials: dict[str, Any] = {
            "connect": _connecting(url),
            # The pool would tell with a traceback each time that it fails to keep one open through an outage, of which `log_outage` tells.
            "minsize": 0,
            "maxsize": pool_size,
            "application_name": dict(parse_qsl(parts.query)).get("application_name", "graphook"),
            "connection_class": Connection,
            "timeout": CONNECT_SECONDS,
            "command_timeout": None if unhurried else command_seconds,
            "server_settings": {
                "statement_timeout": "0" if unhurried else f"{STATEMENT_SECONDS}s",
                "lock_timeout": "3s",
                "idle_in_transaction_session_timeout": "10s",
                "timezone": "UTC",
            },
        }
        connection = {"engine": "tortoise.backends.asyncpg", "credentials": credentials}
    else:
        raise ValueError(f"a database URL begins with sqlite:// or postgresql://, not {parts.scheme!r}")
    return {
        "connections": {"default": connection},
        "apps": {"models": {"models": [MODELS], "migrations": "models.migrations", "default_connection": "default"}},
        "use_tz": True,
        "timezone": "UTC",
    }


def _connecting(url: str) -> Callable[..., Awaitable[asyncpg.Connection]]:
    """What makes connections of the pool: where to and how is read from the URL, as it is wherever else one is made."""

    async def connected(_: None, **options: Any) -> asyncpg.Connection:
        for name in ("host", "port", "user", "password", "database"):  # Tortoise's, which would go before
            del options[name]
        return await asyncpg.connect(url, **options)

    return connected


async def connect(url: str, pool_size: int = 10, *, unhurried: bool = False, command_seconds: float = COMMAND_SECONDS) -> None:
    """Open the process's database. Call once per event loop; every task of the process sees it afterwards. Raises `Unavailable`.

    `unhurried`: PostgreSQL's statements may take as long as they need, as those of a migration do; else a server that has not answered one
    after `command_seconds` is given up.
    """
    if url.startswith("sqlite://"):
        _check_file(url.removeprefix("sqlite://"))
    config = tortoise_config(url, pool_size, unhurried=unhurried, command_seconds=command_seconds)
    await Tortoise.init(config=config, _enable_global_fallback=True)
    try:
        await _client().execute_query("SELECT 1")
    except (*CONNECT_FAILURES, DBConnectionError, OperationalError) as error:
        raise Unavailable(
            f"The database cannot be reached: {told(error)}. Check GRAPHOOK_DATABASE_URL; `graphook doctor` says more."
        ) from error


def _check_file(path: str) -> None:
    """Raise `Unavailable` when SQLite cannot open the file. A thread of aiosqlite that cannot would outlive the event loop, and complain."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        raise Unavailable(
            f"The database {path} cannot be opened: {error}. Check GRAPHOOK_DATABASE_URL; `graphook doctor` says more."
        ) from error


async def disconnect() -> None:
    """Close the process's database connections."""
    await Tortoise.close_connections()


@asynccontextmanager
async def connected(url: str, pool_size: int = 10, *, unhurried: bool = False) -> AsyncIterator[None]:
    """Have the process's database open until the block ends; see `connect`."""
    try:
        await connect(url, pool_size, unhurried=unhurried)
        yield
    finally:
        await disconnect()


def _client() -> Any:
    return Tortoise.get_connection("default")


def _pool() -> asyncpg.Pool | None:
    pool = getattr(_client(), "_pool", None)
    return pool if isinstance(pool, asyncpg.Pool) else None


def connections() -> tuple[int, int]:
    """How many connections of the pool are in use, and how many idle. Thread-safe; (0, 0) without a pool."""
    pool = _pool()
    if pool is None:
        return 0, 0
    idle = pool.get_idle_size()
    return pool.get_size() - idle, idle


def dialect() -> Dialect:
    """The dialect of the connected database."""
    return "sqlite" if _client().capabilities.dialect == "sqlite" else "postgresql"


class Session:
    """One connection, inside a transaction or reading: runs statements in the connected dialect."""

    def __init__(self, dialect: Dialect, connection: Any) -> None:
        self.dialect = dialect
        self._connection = connection

    async def fetch(self, statement: Statement, *args: Any) -> Sequence[Row]:
        """Run a statement and return its rows."""
        return await self.fetch_text(statement.text(self.dialect), *args)

    async def fetch_text(self, sql: str, *args: Any, timeout: float | None = None) -> Sequence[Row]:
        """Run SQL already written for this dialect and return its rows; `timeout` is in seconds, for PostgreSQL, instead of the usual."""
        if self.dialect == "postgresql":
            rows: Sequence[Row] = await self._connection.fetch(sql, *args, timeout=timeout)
            return rows
        found: Sequence[Row] = await self._connection.execute_fetchall(sql, [_sqlite_value(arg) for arg in args])
        return found

    async def fetch_rows(self, statement: Statement, rows: Sequence[Sequence[Any]], *args: Any) -> Sequence[Row]:
        """Run a statement over many rows at once: PostgreSQL gets one array per column (`$1…$k`), SQLite one JSON array of rows (`?1`).
        Further arguments follow."""
        if not rows:
            return []
        if self.dialect == "postgresql":
            return await self.fetch(statement, *(list(column) for column in zip(*rows, strict=True)), *args)
        return await self.fetch(statement, list(rows), *args)

    async def write_rows(self, statement: Statement, rows: Sequence[Sequence[Any]]) -> None:
        """Write many rows at once without reading anything back; bytes are allowed."""
        if not rows:
            return
        if self.dialect == "postgresql":
            await self._connection.execute(statement.postgresql, *(list(column) for column in zip(*rows, strict=True)))
        else:
            await self._connection.executemany(statement.sqlite, rows)


def _sqlite_value(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list | tuple) else value


@asynccontextmanager
async def read() -> AsyncIterator[Session]:
    """A session for statements that each stand alone."""
    client = _client()
    try:
        async with client.acquire_connection() as connection:
            yield Session(dialect(), connection)
    except Exception as error:
        if is_outage(error):
            await leave_the_silent(_pool(), error)
            log_outage(error)
            raise Unavailable("The database is not available; nothing was read.") from error
        raise


async def answers() -> None:
    """Ask the database for nothing. Raises `Unavailable` when it does not answer."""
    async with read() as session:
        await session.fetch_text("SELECT 1")


@asynccontextmanager
async def transaction() -> AsyncIterator[Session]:
    """A session inside one transaction, committed when the block ends and rolled back when it raises or is cancelled.

    Tortoise's own queries inside the block take part in it. Inside another transaction it joins that one, which a failure that is caught
    does not break: PostgreSQL undoes what was written in the block. Tortoise's `in_transaction` is not used: a task cancelled while that begins
    leaks its pool connection.
    """
    client = _client()
    if isinstance(client, TransactionalDBClient):
        async with _savepoint(client._connection):
            yield Session(dialect(), client._connection)
        return
    try:
        async with client.acquire_connection() as connection:
            if dialect() == "postgresql":
                async with connection.transaction():
                    with _joined_by_tortoise(TransactionWrapper(client), connection):
                        yield Session("postgresql", connection)
            else:
                async with immediate_transaction(connection):
                    with _joined_by_tortoise(ImmediateTransactionWrapper(client), connection):
                        yield Session("sqlite", connection)
    except Exception as error:
        if is_outage(error):
            await leave_the_silent(_pool(), error)
            message = "The database is not available; repeat the request with the same idempotency key."
            if is_contended(error):
                raise Contended(message) from error
            log_outage(error)
            raise Unavailable(message) from error
        raise


async def repeating(call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a call that is one transaction answers, begun again where the database undid it because others wrote at the same time."""
    for _ in range(CONTENDED_TRIES - 1):
        try:
            return await call(*args, **kwargs)
        except Contended:
            await asyncio.sleep(random.uniform(0.01, 0.05))
    return await call(*args, **kwargs)


@asynccontextmanager
async def _savepoint(connection: Any) -> AsyncIterator[None]:
    # SQLite goes on after a statement that failed; PostgreSQL refuses everything until it is rolled back.
    if dialect() == "sqlite":
        yield
        return
    async with connection.transaction():
        yield


@contextmanager
def _joined_by_tortoise(wrapper: Any, connection: Any) -> Iterator[None]:
    wrapper._connection = connection
    connections = get_connections()
    token = connections.set("default", wrapper)
    try:
        yield
    finally:
        connections.reset(token)
