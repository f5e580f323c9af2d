"""Checks of the tables: migrations that are missing, secrets that no key opens, and partitions that are not there before they are needed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta

from graphook import database
from graphook.clock import now
from graphook.database import Statement
from graphook.errors import Unavailable
from graphook.findings import Finding
from graphook.process import CannotStart, secret_keys
from graphook.rules import counted
from graphook.secrets import KeyRing, keyring
from graphook.settings import Settings
from models import partitions
from models.migrate import UnknownHistory, pending
from models.partitions import Partition

_SEALED_BY = Statement.same("SELECT substr(secret, 1, 9) AS beginning, count(*) AS number FROM endpoint GROUP BY 1")

_NEWEST = Statement.same("SELECT secret FROM endpoint WHERE deleted_at IS NULL ORDER BY id DESC LIMIT 100")

log = logging.getLogger(__name__)


async def tell_of_lost_keys() -> None:
    """Say in the log, at a start, when no key of the process opens what was sealed last: the messages of those endpoints wait for it."""
    async with database.read() as session:
        rows = await session.fetch(_NEWEST)
    lost = sum(not keyring().holds_key_of(row["secret"]) for row in rows)
    if lost:
        log.error(
            "no secret key opens the secrets of %d of the newest %s: nothing is sent to them until the key that sealed them is back",
            lost,
            counted(len(rows), "endpoint"),
        )


async def schema_findings(settings: Settings) -> AsyncIterator[Finding]:
    """Every finding about the tables of a database that can be reached."""
    try:
        missing = await pending(settings.database_url)
    except UnknownHistory as error:
        yield Finding("fail", error.message, "Make the database anew.")
        return
    except Unavailable as error:
        yield Finding("fail", f"the schema cannot be read: {error}", "Check the rights of the database's user, and that the disk has room.")
        return
    yield migration_finding(missing)
    if missing:
        return
    there: Sequence[Partition] = ()
    strays: Mapping[str, int] = {}
    async with database.connected(settings.database_url), database.read() as session:
        sealed = {row["beginning"]: row["number"] for row in await session.fetch(_SEALED_BY)}
        if not settings.embedded:
            there, strays = await partitions.existing(session), await partitions.strays(session)
    yield key_finding(_keys(settings), sealed)
    if not settings.embedded:
        for finding in partition_findings(there, strays):
            yield finding


def _keys(settings: Settings) -> tuple[str, ...]:
    """The keys there are; none is made."""
    try:
        return secret_keys(settings, making=False)
    except CannotStart:
        return ()


def migration_finding(missing: Sequence[str]) -> Finding:
    """Whether the schema is the newest."""
    if missing:
        return Finding("fail", f"the database lacks the migrations {', '.join(missing)}", "Run `graphook migrate`.")
    return Finding("ok", "the schema is the newest")


def key_finding(keys: Sequence[str], sealed: Mapping[str, int]) -> Finding:
    """Whether the keys open the secrets of the endpoints, so many of which begin with each text, the name of their key."""
    ring = KeyRing(keys) if keys else None
    lost = sum(number for beginning, number in sealed.items() if ring is None or not ring.holds_key_of(beginning))
    if lost:
        advice = "Add the key that sealed them to GRAPHOOK_SECRET_KEY: without it, nothing can be sent to them."
        return Finding("fail", f"no secret key opens the secrets of {counted(lost, 'endpoint')}", advice)
    return Finding("ok", "the secret key opens the secrets of all endpoints")


def partition_findings(there: Sequence[Partition], strays: Mapping[str, int]) -> Iterator[Finding]:
    """Whether this week and the next have their partitions, and what fell outside of all."""
    soon = now() + timedelta(weeks=1)
    lacking = sorted(p.name for p in set(partitions.wanted()) - set(there) if p.start <= soon)
    if lacking:
        yield Finding("warn", f"there are no partitions {', '.join(lacking)}", "A worker makes them every minute: see that one runs.")
    else:
        yield Finding("ok", "the partitions of this week and the next are there")
    astray = {table: count for table, count in strays.items() if count}
    if astray:
        listed = ", ".join(f"{table} ({'1000 or more' if count >= 1000 else count} rows)" for table, count in astray.items())
        advice = "Nothing is lost: rows move when their partition is made. See that a worker runs and that the clocks are right."
        yield Finding("warn", f"default partitions hold rows: {listed}", advice)
    else:
        yield Finding("ok", "the default partitions are empty")
