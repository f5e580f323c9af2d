"""What counts as an outage of the database, and what as a mistake of ours."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import ssl
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tortoise import Tortoise
from tortoise.exceptions import OperationalError

from graphook import database
from graphook.errors import Contended, Unavailable
from graphook.outage import is_contended, is_outage, log_outage

OUTAGES = [
    "08006 connection_failure",
    "25006 read_only_sql_transaction",
    "25P03 idle_in_transaction_session_timeout",
    "28P01 invalid_password",
    "3D000 invalid_catalog_name",
    "40001 serialization_failure",
    "40P01 deadlock_detected",
    "53100 disk_full",
    "53200 out_of_memory",
    "53300 too_many_connections",
    "55P03 lock_not_available",
    "57014 query_canceled",
    "57P01 admin_shutdown",
    "57P02 crash_shutdown",
    "57P03 cannot_connect_now",
    "58030 io_error",
]
MISTAKES = [
    "22003 numeric_value_out_of_range",
    "23505 unique_violation",
    "25P02 in_failed_sql_transaction",
    "42601 syntax_error",
    "42P01 undefined_table",
]
GONE = "cannot call Connection.fetch(): the underlying connection is closed"


def postgresql_error(named: str) -> Exception:
    found: Exception = asyncpg.PostgresError.new({"C": named[:5], "M": named, "S": "ERROR", "V": "ERROR"})
    return found


@pytest.mark.parametrize("named", OUTAGES)
def test_what_postgresql_cannot_do_now_is_an_outage(named: str) -> None:
    assert is_outage(postgresql_error(named))
    assert is_contended(postgresql_error(named)) is named.startswith("40")


@pytest.mark.parametrize("named", MISTAKES)
def test_what_postgresql_refuses_for_ever_is_no_outage(named: str) -> None:
    assert not is_outage(postgresql_error(named))
    assert not is_outage(OperationalError(postgresql_error(named)))


def test_a_connection_that_went_away_is_an_outage_and_a_wrong_call_is_not() -> None:
    assert is_outage(asyncpg.InterfaceError(GONE))
    assert is_outage(asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"))
    assert not is_outage(asyncpg.InterfaceError("cannot perform operation: another operation is in progress"))
    assert not is_outage(asyncpg.DataError("invalid input for query argument $1: a str is expected, not 1, which is closed"))


async def test_a_server_that_has_no_address_or_several_that_refuse_is_an_outage() -> None:
    with pytest.raises(OSError) as unknown:
        await asyncpg.connect(host="database.invalid", user="x", database="x")
    assert is_outage(unknown.value)
    assert is_outage(
        OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), [Errno 111] Connect call failed ('127.0.0.1', 1)")
    )
    assert not is_outage(FileNotFoundError("settings"))


async def test_a_server_whose_socket_is_gone_is_an_outage_and_a_file_of_ours_that_is_missing_is_not(tmp_path: Path) -> None:
    with pytest.raises(OSError) as unknown:
        await asyncpg.connect(host=str(tmp_path), user="x", database="x")
    assert is_outage(unknown.value)
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "settings").read_text()
    assert not is_outage(missing.value)
    assert is_outage(OSError(errno.EMFILE, "Too many open files"))
    assert is_outage(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))


def test_a_file_that_others_hold_is_an_outage_and_a_wrong_statement_is_not(tmp_path: Path) -> None:
    holder, other = (sqlite3.connect(tmp_path / "a.sqlite3", timeout=0) for _ in range(2))
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as locked:
        other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as wrong:
        other.execute("SELECT nothing FROM nowhere")
    holder.close()
    other.close()

    assert is_outage(locked.value)
    assert is_outage(OperationalError(locked.value))
    assert not is_outage(wrong.value)
    assert not is_outage(OperationalError(wrong.value))


def test_an_outage_that_thousands_meet_is_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    for _ in range(1000):
        log_outage(ConnectionRefusedError("nobody listens there"))
        log_outage(TimeoutError())

    seconds = time.monotonic() - began
    said = [record.getMessage() for record in caplog.records]
    assert said[:2] == [
        "the database is not available: nobody listens there",
        "the database is not available: there was no answer in time",
    ]
    assert len(said) <= 2 + 2 * seconds


@pytest.mark.usefixtures("db")
async def test_a_wrong_statement_is_told_as_it_is() -> None:
    for wrong in ("SELECT nothing FROM nowhere", "SELEC 1"):
        with pytest.raises((asyncpg.SyntaxOrAccessError, sqlite3.OperationalError)):
            async with database.read() as session:
                await session.fetch_text(wrong)
        with pytest.raises(OperationalError):
            async with database.transaction():
                await Tortoise.get_connection("default").execute_query(wrong)


@pytest.mark.postgresql_only
async def test_a_statement_that_takes_too_long_and_a_lock_that_is_not_given_are_told_as_unavailable(
    db: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller hears no more; the log says why."""
    holder = await asyncpg.connect(db)
    async with holder.transaction():
        await holder.execute("LOCK TABLE application")
        for limit, statement in (("statement_timeout", "SELECT pg_sleep(5)"), ("lock_timeout", "LOCK TABLE application")):
            with pytest.raises(Unavailable):
                await _run(f"SET LOCAL {limit} = '20ms'", statement)
    await holder.close()
    assert [record.getMessage() for record in caplog.records if record.name == "graphook.outage"] == [
        "the database is not available: canceling statement due to statement timeout",
        "the database is not available: canceling statement due to lock timeout",
    ]


async def _run(*statements: str) -> None:
    async with database.transaction() as session:
        for statement in statements:
            await session.fetch_text(statement)


@pytest.mark.postgresql_only
@pytest.mark.usefixtures("db")
async def test_of_two_transactions_in_a_deadlock_one_is_begun_again_and_both_go_through() -> None:
    await _run("CREATE TABLE account (id int PRIMARY KEY, amount int)", "INSERT INTO account VALUES (1, 0), (2, 0)")
    both_hold_one = asyncio.Barrier(2)
    begun = {1: 0, 2: 0}

    async def pay(first: int, second: int) -> None:
        begun[first] += 1
        async with database.transaction() as session:
            await session.fetch_text("UPDATE account SET amount = amount + 1 WHERE id = $1", first)
            if begun[first] == 1:
                await both_hold_one.wait()
            await session.fetch_text("UPDATE account SET amount = amount + 1 WHERE id = $1", second)

    await asyncio.gather(database.repeating(pay, 1, 2), database.repeating(pay, 2, 1))

    async with database.read() as session:
        assert [row["amount"] for row in await session.fetch_text("SELECT amount FROM account")] == [2, 2]
    assert sorted(begun.values()) == [1, 2]


async def test_what_is_contended_for_ever_is_told_as_unavailable() -> None:
    calls: list[Any] = []

    async def never(number: int) -> None:
        calls.append(number)
        raise Contended("others write all the time")

    with pytest.raises(Unavailable):
        await database.repeating(never, 7)
    assert calls == [7] * database.CONTENDED_TRIES
