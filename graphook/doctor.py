"""Checks of an installation, each with what to do when it fails."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from graphook import llm, oauth
from graphook.findings import Finding
from graphook.logs import redact
from graphook.outage import told
from graphook.postgresql import CONNECT_FAILURES
from graphook.postgresql_checks import server_findings
from graphook.process import is_missing
from graphook.sandbox_checks import sandbox_finding
from graphook.settings import Settings
from graphook.settings_reference import unknown_variables
from graphook.sqlite import PRAGMAS

# Bytes that the disk of a SQLite file must have left.
LEAST_ROOM = 64 * 1024 * 1024
PACKAGES = ("graphook", "models", "resolvers", "schema", "workers")

# The findings about the tables, which this layer knows nothing of.
Schema = Callable[[Settings], AsyncIterator[Finding]]


async def examine(schema: Schema) -> int:
    """Print every finding; 1 when something fails, else 0."""
    failed = False
    async for finding in findings(Settings.load(), schema):
        failed |= finding.state == "fail"
        print(f"{finding.state:4}  {finding.what}" + (f"\n      {finding.advice}" if finding.advice else ""))
    return int(failed)


async def findings(settings: Settings, schema: Schema) -> AsyncIterator[Finding]:
    """Every finding, in the order of what to look at first."""
    yield _package_names()
    yield _secret_key(settings)
    for finding in (*_model(settings), *_oauth(settings)):
        yield finding
    for unknown in unknown_variables(os.environ):
        yield Finding("warn", unknown, "`graphook settings` lists them.")
    reachable = settings.embedded and not is_missing(settings.sqlite_path)
    if settings.embedded:
        if reachable:
            yield room_finding(settings.sqlite_path.parent, shutil.disk_usage(settings.sqlite_path.parent).free)
        try:
            for finding in _sqlite(settings):
                yield finding
        except sqlite3.DatabaseError as error:
            reachable = False
            advice = (
                "Check GRAPHOOK_DATABASE_URL, who may write the file and its folder, and that the disk has room; if the file is damaged, "
                "restore a backup."
            )
            yield Finding("fail", f"SQLite cannot read {settings.sqlite_path}: {error}", advice)
    else:
        try:
            connection = await asyncpg.connect(settings.database_url, timeout=5)
        except CONNECT_FAILURES as error:
            advice = "Check GRAPHOOK_DATABASE_URL and that the server runs."
            yield Finding("fail", redact(f"PostgreSQL cannot be reached: {told(error)}"), advice)
        else:
            reachable = True
            try:
                async for finding in server_findings(connection, settings.database_pool_size):
                    yield finding
            finally:
                await connection.close()
    if reachable:
        async for finding in schema(settings):
            yield finding
    async for finding in _redis(settings):
        yield finding
    yield await sandbox_finding(settings)
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
        lies = "lies" if settings.development_key.exists() else "will be made and kept"
        advice = "Set GRAPHOOK_SECRET_KEY before others use it."
        return Finding("warn", f"loopback development: the secret key {lies} beside the database", advice)
    return Finding("fail", "no secret key", "Set GRAPHOOK_SECRET_KEY, for example to the output of `openssl rand -base64 32`.")


def _model(settings: Settings) -> Iterator[Finding]:
    """What is half set up is a mistake; no model at all is a choice."""
    if settings.llm_base_url or settings.llm_model or settings.llm_api_key:
        missing = llm.missing_settings(settings)
        if missing:
            yield Finding("warn", "generations are off: the model is half set up", f"Set {' and '.join(missing)}.")
        else:
            yield Finding("ok", f"generations ask {settings.llm_model}")


def _oauth(settings: Settings) -> Iterator[Finding]:
    """The same of the providers whose channels are connected by OAuth."""
    given = {
        "slack": settings.slack_client_id or settings.slack_client_secret,
        "discord": settings.discord_client_id or settings.discord_client_secret,
    }
    for provider in (name for name, found in given.items() if found):
        missing = oauth.missing_settings(settings, provider)
        if missing:
            yield Finding("warn", f"{provider.title()} cannot be connected: it is half set up", f"Set {' and '.join(missing)}.")
        else:
            yield Finding("ok", f"channels of {provider.title()} can be connected")
    if settings.oauth_redirect_uris and not any(given.values()):
        advice = "Set the client id and the client secret of Slack or Discord, or unset GRAPHOOK_OAUTH_REDIRECT_URIS."
        yield Finding("warn", "there are redirect URIs, but nobody who would use them", advice)


def room_finding(folder: Path, free: int) -> Finding:
    """Whether the disk of a folder has room, of which so many bytes are free."""
    what = f"the disk of {folder} has {free // 1024 // 1024:,} MiB left"
    if free < LEAST_ROOM:
        return Finding("fail", what, "Make room: on a disk that is full nothing can be accepted or recorded.")
    return Finding("ok", what)


def _sqlite(settings: Settings) -> list[Finding]:
    path = settings.sqlite_path
    if is_missing(path):
        return [Finding("warn", f"there is no database at {path} yet", "`graphook serve` makes it.")]
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        check = connection.execute("PRAGMA quick_check").fetchone()[0]
    return [
        Finding("ok", f"SQLite journal is WAL; serving sets synchronous={PRAGMAS['synchronous']}")
        if mode == "wal"
        else Finding("warn", f"SQLite journal mode is {mode}, as in a copy that VACUUM INTO made", "`graphook serve` sets WAL."),
        Finding("ok", "SQLite quick_check passes")
        if check == "ok"
        else Finding("fail", f"SQLite quick_check: {check}", "Restore a backup."),
    ]


async def _redis(settings: Settings) -> AsyncIterator[Finding]:
    if settings.redis_url is None:
        text = "no Redis: everything is in one process" if settings.embedded else "no Redis: workers look for work once a second"
        yield Finding("ok", text)
        return
    client = Redis.from_url(settings.redis_url, socket_timeout=3, socket_connect_timeout=3)
    try:
        info = {**await client.info("server"), **await client.info("memory")}
    except (RedisError, OSError) as error:
        advice = "Check GRAPHOOK_REDIS_URL and that the server runs. Deliveries go on without it, up to a second later."
        yield Finding("warn", redact(f"Redis cannot be reached: {told(error)}"), advice)
        return
    finally:
        await client.aclose()
    for finding in redis_findings(info):
        yield finding


def redis_findings(info: Mapping[str, Any]) -> Iterator[Finding]:
    """What the answers to INFO server and INFO memory say."""
    version = str(info["redis_version"])
    if int(version.split(".")[0]) < 7:
        yield Finding("warn", f"Redis {version}", "Redis 7 is what Graphook is tested with.")
    else:
        yield Finding("ok", f"Redis {version}")
    policy, limit = info.get("maxmemory_policy", "noeviction"), int(info.get("maxmemory", 0))
    if policy != "noeviction":
        advice = "Set maxmemory-policy noeviction: an evicted wake-up makes deliveries up to a second later, and nothing says so."
        yield Finding("warn", f"Redis evicts ({policy}, maxmemory {limit})", advice)
    else:
        yield Finding("ok", "Redis evicts nothing")


def _dns() -> Finding:
    try:
        socket.getaddrinfo("example.com", 443)
    except OSError as error:
        return Finding("warn", f"names do not resolve: {error}", "Endpoints outside this network cannot be reached.")
    return Finding("ok", "names resolve")
