"""Forget what is past its time: whole partitions on PostgreSQL, rows in short batches on SQLite, and never what is still to be sent.

Kept while anything is open: on PostgreSQL the whole week of a message that has an open delivery, on SQLite that message. What was dropped is
gone in this order: message, deliveries, attempts, so that a crash in between leaves rows that the next run finds by their partition or key.
"""

from __future__ import annotations

import logging
from datetime import datetime

from graphook import database
from graphook.database import Session, Statement
from graphook.ids import start_id
from models.partitions import Partition, existing, unless_in_use

log = logging.getLogger(__name__)

# The statements below get a range of message ids, the lowest in it and the lowest above it, and how many rows to delete. On PostgreSQL no week lies in
# it: its messages are in the default partition if they are anywhere, and no other is read to see which are gone.
_DELETE_MESSAGES = Statement(
    postgresql="""
        DELETE FROM message_default WHERE id IN (
            SELECT m.id FROM message_default m WHERE m.id >= $1 AND m.id < $2
              AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = m.id AND d.state <= 2)
              AND NOT EXISTS (SELECT 1 FROM fanout f WHERE f.message_id = m.id)
            ORDER BY m.id LIMIT $3) RETURNING id""",
    sqlite="""
        DELETE FROM message WHERE id IN (
            SELECT m.id FROM message m WHERE m.id >= ?1 AND m.id < ?2
              AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = m.id AND d.state <= 2)
              AND NOT EXISTS (SELECT 1 FROM fanout f WHERE f.message_id = m.id)
            ORDER BY m.id LIMIT ?3) RETURNING id""",
)
_DELETE_DELIVERIES = Statement(
    postgresql="""
        DELETE FROM delivery_default WHERE (message_id, endpoint_id, run) IN (
            SELECT d.message_id, d.endpoint_id, d.run FROM delivery_default d WHERE d.message_id >= $1 AND d.message_id < $2 AND d.state > 2
              AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = d.message_id AND m.id >= $1 AND m.id < $2)
            ORDER BY d.message_id LIMIT $3) RETURNING message_id AS id""",
    sqlite="""
        DELETE FROM delivery WHERE rowid IN (
            SELECT d.rowid FROM delivery d WHERE d.message_id >= ?1 AND d.message_id < ?2 AND d.state > 2
              AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = d.message_id)
            ORDER BY d.message_id LIMIT ?3) RETURNING message_id AS id""",
)
_DELETE_ATTEMPTS = Statement(
    postgresql="""
        DELETE FROM attempt_default WHERE (message_id, id) IN (
            SELECT a.message_id, a.id FROM attempt_default a WHERE a.message_id >= $1 AND a.message_id < $2
              AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = a.message_id AND m.id >= $1 AND m.id < $2)
            ORDER BY a.message_id LIMIT $3) RETURNING id""",
    sqlite="""
        DELETE FROM attempt WHERE seq IN (
            SELECT a.seq FROM attempt a WHERE a.message_id >= ?1 AND a.message_id < ?2
              AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = a.message_id)
            ORDER BY a.message_id LIMIT ?3) RETURNING id""",
)
# A payload that would outlive its message.
_DELETE_CONTENTS = Statement(
    postgresql="""
        DELETE FROM message_content WHERE (message_id, expires_at) IN (
            SELECT c.message_id, c.expires_at FROM message_content c WHERE c.message_id >= $1 AND c.message_id < $2
              AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = c.message_id AND m.id >= $1 AND m.id < $2)
            ORDER BY c.message_id LIMIT $3) RETURNING message_id AS id""",
    sqlite="""
        DELETE FROM message_content WHERE message_id IN (
            SELECT c.message_id FROM message_content c WHERE c.message_id >= ?1 AND c.message_id < ?2
              AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = c.message_id)
            ORDER BY c.message_id LIMIT ?3) RETURNING message_id AS id""",
)
# Event ids are free again once their message is gone.
_DELETE_KEYS = Statement(
    postgresql="""
        DELETE FROM message_key WHERE (app_id, event_id) IN (
            SELECT k.app_id, k.event_id FROM message_key k WHERE k.message_id >= $1 AND k.message_id < $2
              AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = k.message_id AND m.id >= $1 AND m.id < $2)
            ORDER BY k.message_id LIMIT $3) RETURNING message_id AS id""",
    sqlite="""
        DELETE FROM message_key WHERE (app_id, event_id) IN (
            SELECT k.app_id, k.event_id FROM message_key k WHERE k.message_id >= ?1 AND k.message_id < ?2
              AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = k.message_id)
            ORDER BY k.message_id LIMIT ?3) RETURNING message_id AS id""",
)
_IN_ORDER = {
    "messages": _DELETE_MESSAGES,
    "deliveries": _DELETE_DELIVERIES,
    "attempts": _DELETE_ATTEMPTS,
    "payloads": _DELETE_CONTENTS,
    "event ids": _DELETE_KEYS,
}


async def alone(session: Session) -> bool:
    """Whether this transaction is the only one that forgets: one process at a time does. SQLite has one process anyway."""
    if session.dialect == "sqlite":
        return True
    rows = await session.fetch_text("SELECT pg_try_advisory_xact_lock(hashtext('graphook_retention')) AS alone")
    return bool(rows[0]["alone"])


async def delete_rows(before: datetime, limit: int) -> int:
    """Delete of each kind at most `limit` rows that belong to messages from before that time; answers with the most that went of one kind."""
    gone = dict.fromkeys(_IN_ORDER, 0)
    ranges = await _outside_of_weeks(before)
    for what, statement in _IN_ORDER.items():
        for low, high in ranges:
            async with database.transaction() as session:
                if not await alone(session):
                    return 0
                gone[what] += len(await session.fetch(statement, low, high, limit - gone[what]))
    if any(gone.values()):
        listed = ", ".join(f"{count} {what}" for what, count in gone.items() if count)
        log.info("retention deleted %s from before %s", listed, before.isoformat(timespec="seconds"), extra={"deleted": gone})
    return max(gone.values())


async def _outside_of_weeks(before: datetime) -> list[tuple[str, str]]:
    """The ranges of message ids from before that time that no weekly partition of messages holds: it goes as a whole, and what belongs to it after it."""
    edges = [""]
    if database.dialect() == "postgresql":
        async with database.read() as session:
            weeks = [partition for partition in await existing(session) if partition.table == "message"]
        edges += [start_id("msg_", edge) for week in weeks for edge in (week.start, week.end) if week.start < before]
    edges.append(start_id("msg_", before))
    return [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high]


async def drop_partitions(before: datetime | None, expired_by: datetime) -> list[str]:
    """Drop the weeks whose messages are all from before that time (None: no week) and final, and the payloads that have all expired by then.

    Answers with the names of what it dropped. Does nothing on SQLite.
    """
    if database.dialect() == "sqlite":
        return []
    async with database.read() as session:
        found = await existing(session)
    contents = [partition for partition in found if partition.table == "message_content" and partition.end <= expired_by]
    weeks = sorted({p.start for p in found if p.table != "message_content" and before is not None and p.end <= before})
    dropped = [partition.name for partition in contents if await _drop(partition)]
    for week in weeks:
        for partition in (Partition(table, week) for table in ("message", "delivery", "attempt")):
            if partition in found and not await _drop(partition):
                break
            dropped += [partition.name] if partition in found else []
    return dropped


async def _drop(partition: Partition) -> bool:
    """Drop a partition, unless something of its week is still to be sent, somebody else is at it, or it is in use for too long."""

    async def drop(session: Session) -> bool:
        if not await alone(session) or (partition.table != "message_content" and await _is_open(session, partition)):
            return False
        await session.fetch_text(f"DROP TABLE {partition.name}")
        return True

    if not await unless_in_use(partition, drop):
        return False
    log.info("retention dropped the partition %s", partition.name, extra={"partition": partition.name})
    return True


async def _is_open(session: Session, partition: Partition) -> bool:
    """Whether anything of the partition's week is still to be sent. Until the transaction ends, nothing becomes so."""
    deliveries = Partition("delivery", partition.start).name
    if (await session.fetch_text("SELECT to_regclass($1) IS NOT NULL AS there", deliveries))[0]["there"]:
        # Keeps a resend out that would come between the look and the drop.
        await session.fetch_text(f"LOCK TABLE {deliveries} IN SHARE MODE")
    low, high = Partition("message", partition.start).bounds
    # One look for each of the three small indexes.
    looks = [f"SELECT 1 FROM delivery WHERE state = {state} AND message_id >= {low} AND message_id < {high}" for state in (0, 1, 2)]
    looks.append(f"SELECT 1 FROM fanout WHERE message_id >= {low} AND message_id < {high}")
    rows = await session.fetch_text(f"SELECT {' OR '.join(f'EXISTS ({look})' for look in looks)} AS open")
    return bool(rows[0]["open"])
