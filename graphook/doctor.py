"""Checks of an installation, each with what to do when it fails."""

from __future__ import annotations

import importlib.metadata
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from graphook.settings import Settings

PACKAGES = ("graphook", "models", "resolvers", "schema", "workers")
WARN_SKEW, FAIL_SKEW = 2.0, 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    state: Literal["ok", "warn", "fail"]
    what: str
    advice: str = ""


async def examine() -> int:
    """Print every finding; 1 when something fails, else 0."""
    settings = Settings.load()
    failed = False
    async for finding in _findings(settings):
        failed |= finding.state == "fail"
        print(f"{finding.state:4}  {finding.what}" + (f"\n      {finding.advice}" if finding.advice else ""))
    return int(failed)


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    yield _package_names()
    yield _secret_key(settings)
    if settings.embedded:
        for finding in _sqlite(settings):
            yield finding
    else:
        async for finding in _postgresql(settings):
            yield finding
    yield await _redis(settings)
    yield _dns()


def _package_names() -> Finding:
    """We are an application with plain package names; another distribution of one of them would shadow ours."""
    owners = importlib.metadata.packages_distributions()
    clashes = {name: others for name in PACKAGES if (others := [owner for owner in owners.get(name, []) if owner != "graphook"])}
    if "graphql-core" not in owners.get("graphql", ["graphql-core"]):
        clashes["graphql"] = owners["graphql"]
    if clashes:
        listed = ", ".join(f"{name} (from {', '.join(others)})" for name, others in clashes.items())
        return Finding("fail", f"other packages are in the way: {listed}", "Install Graphook into a virtual environment of its own.")
    return Finding("ok", "no other package has the names of ours")


def _secret_key(settings: Settings) -> Finding:
    if settings.secret_key:
        return Finding("ok", f"{len(settings.secret_key)} secret key(s); the first one seals new secrets")
    if settings.development:
        return Finding(
            "warn", "loopback development: the secret key lies beside the database", "Set GRAPHOOK_SECRET_KEY before others use it."
        )
    return Finding("fail", "no secret key", "Set GRAPHOOK_SECRET_KEY, for example to the output of `openssl rand -base64 32`.")


def _sqlite(settings: Settings) -> list[Finding]:
    path = settings.sqlite_path
    if not path.exists():
        return [Finding("warn", f"there is no database at {path} yet", "`graphook serve` makes it.")]
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        check = connection.execute("PRAGMA quick_check").fetchone()[0]
    return [
        Finding("ok", "SQLite journal is WAL; serving sets synchronous=FULL")
        if mode == "wal"
        else Finding("fail", f"SQLite journal mode is {mode}", "Serve once with Graphook, which sets WAL."),
        Finding("ok", "SQLite quick_check passes")
        if check == "ok"
        else Finding("fail", f"SQLite quick_check: {check}", "Restore a backup."),
    ]


async def _postgresql(settings: Settings) -> AsyncIterator[Finding]:
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        yield Finding("fail", f"PostgreSQL cannot be reached: {error}", "Check GRAPHOOK_DATABASE_URL and that the server runs.")
        return
    try:
        version = connection.get_server_version()
        yield (
            Finding("ok", f"PostgreSQL {version.major}.{version.minor}")
            if version.major >= 15
            else Finding("fail", f"PostgreSQL {version.major} is too old", "Use PostgreSQL 15 or later.")
        )
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            value = await connection.fetchval("SELECT current_setting($1)", name)
            yield (
                Finding("fail", f"{name} is off: an accepted message may be lost in a crash", f"Set {name} = on in postgresql.conf.")
                if value == "off"
                else Finding("ok", f"{name} is {value}")
            )
        before = time.time()
        theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
        skew = abs(theirs - (before + time.time()) / 2)
        state: Literal["ok", "warn", "fail"] = "fail" if skew > FAIL_SKEW else "warn" if skew > WARN_SKEW else "ok"
        yield Finding(state, f"clocks differ by {skew:.2f} s", "" if state == "ok" else "Run a time service (NTP) on every machine.")
    finally:
        await connection.close()


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        text = "no Redis: everything is in one process" if settings.embedded else "no Redis: workers look for work once a second"
        return Finding("ok", text)
    client = Redis.from_url(settings.redis_url, socket_timeout=3, socket_connect_timeout=3)
    try:
        version = (await client.info("server"))["redis_version"]
    except (RedisError, OSError) as error:
        return Finding("warn", f"Redis cannot be reached: {error}", "Deliveries go on without it, up to a second later.")
    finally:
        await client.aclose()
    if int(str(version).split(".")[0]) < 7:
        return Finding("warn", f"Redis {version}", "Redis 7 is what Graphook is tested with.")
    return Finding("ok", f"Redis {version}")


def _dns() -> Finding:
    try:
        socket.getaddrinfo("example.com", 443)
    except OSError as error:
        return Finding("warn", f"names do not resolve: {error}", "Endpoints outside this network cannot be reached.")
    return Finding("ok", "names resolve")
