"""Checks of the PostgreSQL server: what an accepted message would be lost by, and what holds everybody up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import asyncpg

from graphook.findings import Finding, State

OLDEST_VERSION = 15
WARN_SKEW, FAIL_SKEW = 2.0, 30.0
DURABILITY = {
    "fsync": "an accepted message may be lost, and the database with it, when the machine stops",
    "full_page_writes": "the database may be damaged when the machine stops",
    "synchronous_commit": "an accepted message may be lost when the server stops",
}
# Connections of a process beside its pool: it listens on one and notifies on another where there is no Redis.
BESIDE_POOL = 2
# Where text of any language can be kept.
ENCODING = "UTF8"
# Seconds.
LONG_WRITING, LONG_READING = 10.0, 600.0

# Transactions that others wait for, in whichever database: one that writes holds back the horizon of live subscriptions, and one that only
# reads holds back vacuum.
_TRANSACTIONS = """
    SELECT CASE WHEN backend_xid IS NULL THEN 'reading' ELSE 'writing' END AS kind, 'process ' || pid AS who,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND xact_start IS NOT NULL AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)
      AND backend_type = 'client backend'
    UNION ALL
    SELECT 'prepared', quote_literal(gid), extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
    ORDER BY seconds DESC"""
# Partitions are made by whoever owns the table that they are of.
_DATABASE = """
    SELECT current_user AS role, pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
           current_setting('server_encoding') AS encoding,
           coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AND NOT EXISTS (
               SELECT FROM pg_class WHERE relkind = 'p' AND relnamespace = to_regnamespace(current_schema()::text)
               AND NOT pg_has_role(relowner, 'USAGE')) AS makes_tables"""


async def server_findings(connection: asyncpg.Connection, pool_size: int) -> AsyncIterator[Finding]:
    """Every finding about the server at the end of this connection, for processes with pools of that size."""
    version = connection.get_server_version()
    # Since PostgreSQL 10 a version has two numbers, of which asyncpg takes the second one for the third.
    yield version_finding(version.major, version.micro)
    rows = await connection.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", [*DURABILITY, "max_connections"])
    values = {row["name"]: row["setting"] for row in rows}
    for finding in durability_findings(values):
        yield finding
    for finding in database_findings(**await connection.fetchrow(_DATABASE)):
        yield finding
    before = time.time()
    theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    yield skew_finding(theirs - (before + time.time()) / 2)
    reserved = int(await connection.fetchval("SELECT current_setting('superuser_reserved_connections')"))
    yield pool_finding(pool_size, int(values["max_connections"]) - reserved)
    for finding in transaction_findings(await connection.fetch(_TRANSACTIONS)):
        yield finding


def version_finding(major: int, minor: int) -> Finding:
    """Whether the server is new enough."""
    if major < OLDEST_VERSION:
        return Finding("fail", f"PostgreSQL {major} is too old", f"Use PostgreSQL {OLDEST_VERSION} or later.")
    return Finding("ok", f"PostgreSQL {major}.{minor}")


def durability_findings(values: Mapping[str, str]) -> Iterator[Finding]:
    """Whether what is committed is on disk, from the values of the settings in `DURABILITY`."""
    for name, risk in DURABILITY.items():
        if values[name] == "off":
            yield Finding("fail", f"{name} is off: {risk}", f"Set {name} = on in postgresql.conf, and for the database and role.")
        else:
            yield Finding("ok", f"{name} is {values[name]}")


def database_findings(*, role: str, standby: bool, read_only: bool, encoding: str, makes_tables: bool) -> Iterator[Finding]:
    """Whether the database can be written, holds every text, and lets its user make partitions."""
    if standby:
        advice = "Name the primary in GRAPHOOK_DATABASE_URL; of several hosts, target_session_attrs=read-write takes the one that is."
        yield Finding("fail", "the server is a standby, which cannot be written", advice)
    elif read_only:
        advice = "Reset default_transaction_read_only, for the server, the database and the role."
        yield Finding("fail", "the database is read-only: nothing can be accepted or recorded", advice)
    else:
        yield Finding("ok", "the database can be written")
    if encoding != ENCODING:
        advice = f"Make the database anew with TEMPLATE template0 ENCODING '{ENCODING}'; pg_dump takes along what is in it."
        yield Finding("fail", f"the database's encoding is {encoding}: only with {ENCODING} is every text kept as it is", advice)
    else:
        yield Finding("ok", f"the database's encoding is {encoding}")
    if not makes_tables:
        advice = "Let it own the database and its tables: partitions are made while the service runs."
        yield Finding("fail", f"the role {role} may not make tables, or does not own those that are there", advice)
    else:
        yield Finding("ok", f"the role {role} may make tables")


def skew_finding(seconds: float) -> Finding:
    """How far the database's clock is ahead of ours. Due times follow the database's; ids, signatures and retention follow ours."""
    size = abs(seconds)
    state: State = "fail" if size > FAIL_SKEW else "warn" if size > WARN_SKEW else "ok"
    what = f"the database's clock is {size:.2f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    return Finding(state, what, "" if state == "ok" else "Run a time service (NTP) on every machine.")


def pool_finding(pool_size: int, available: int) -> Finding:
    """How many processes the server has connections for."""
    each = pool_size + BESIDE_POOL
    what = f"a process opens up to {each} connections of {available}: there is room for {available // each} processes"
    if available < each:
        return Finding("fail", what, "Lower GRAPHOOK_DATABASE_POOL_SIZE or raise max_connections.")
    if available < 2 * each:
        return Finding("warn", what, "An API and a worker are two: lower GRAPHOOK_DATABASE_POOL_SIZE or raise max_connections.")
    return Finding("ok", what)


def transaction_findings(rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Which open transactions others wait for, from rows of kind, who and seconds."""
    delayed = "live subscriptions show nothing newer until it ends"
    found = False
    for row in rows:
        kind, who, seconds = row["kind"], row["who"], row["seconds"]
        if kind == "prepared":
            what = f"the prepared transaction {who} is open for {seconds:.0f} s: {delayed}"
            yield Finding("warn", what, f"COMMIT PREPARED {who} or ROLLBACK PREPARED {who}; Graphook prepares none.")
        elif kind == "writing" and seconds > LONG_WRITING:
            yield Finding("warn", f"{who} writes in one transaction for {seconds:.0f} s: {delayed}", "Keep writing transactions short.")
        elif kind == "reading" and seconds > LONG_READING:
            what = f"{who} reads in one transaction for {seconds:.0f} s: vacuum cannot clear what was deleted since"
            yield Finding("warn", what, "End it, or read from a replica.")
        else:
            continue
        found = True
    if not found:
        yield Finding("ok", "no transaction is open for long")
