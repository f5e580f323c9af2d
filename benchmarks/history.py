"""Months of stored history, written inside PostgreSQL: messages, contents, deliveries and attempts by `INSERT … SELECT generate_series`.

Every message went to two endpoints, failed at each and succeeded at the second try: four attempts. A tenth of the messages was kept for
thirty days only, so that part of the contents has expired and retention has something to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from benchmarks.queries import EVENT_TYPE
from graphook import database
from graphook.clock import now, to_us
from graphook.ids import start_id
from models import partitions

WEEKS = 8
SLICE = 5000
_CONNECTIONS = 2
# Enough of an id for its time; the rest counts.
_TIME_DIGITS = 14

# slice's prefix of message ids, first number, how many, org id, app ids, created at
_MESSAGES = """
    INSERT INTO message (id, org_id, app_id, event_type, channels, tags, created_at, expires_at)
    SELECT $1 || lpad(n::text, 13, '0'), $4, ($5::text[])[1 + n % cardinality($5::text[])], $7 || (n % 10), NULL,
           CASE WHEN n % 100 = 0 THEN '["audit"]'::jsonb END, $6 + n - $2,
           $6 + n - $2 + (CASE WHEN n % 10 = 0 THEN 30 ELSE 90 END) * 86400000000
    FROM generate_series($2::bigint, $2::bigint + $3::bigint - 1) n"""
_CONTENTS = """
    INSERT INTO message_content (message_id, expires_at, body)
    SELECT id, expires_at, convert_to('{"invoice":"' || id || '","text":"' || repeat('what happened, in words. ', 10) || '"}', 'UTF8')
    FROM message WHERE id BETWEEN $1 AND $2"""
# message ids' range, app ids, their first and their second endpoints
_DELIVERIES = """
    INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at, tries, claim)
    SELECT m.id, e.id, 0, m.org_id, m.app_id, 3, m.created_at, 2, 2
    FROM message m JOIN unnest($3::text[], $4::text[], $5::text[]) AS a(id, first, second) ON a.id = m.app_id
    CROSS JOIN LATERAL (VALUES (a.first), (a.second)) AS e(id) WHERE m.id BETWEEN $1 AND $2"""
# message ids' range, prefix of attempt ids, first number, url
_ATTEMPTS = """
    INSERT INTO attempt (id, message_id, endpoint_id, run, claim, org_id, app_id, status, trigger_type, url, response_status_code, response,
                         response_headers, request_headers, sensitive_headers, started_at, duration_ms, next_attempt_at)
    SELECT $3 || lpad(($4::bigint + row_number() OVER (ORDER BY c, d.message_id))::text, 13, '0'), d.message_id, d.endpoint_id, 0, c, d.org_id,
           d.app_id, CASE c WHEN 1 THEN 2 ELSE 0 END, 0, $5, CASE c WHEN 1 THEN 503 ELSE 200 END, 'what the receiver said'::bytea,
           '[["Content-Type","text/plain"],["Content-Length","22"]]',
           '[["Content-Type","application/json"],["Webhook-Id","' || d.message_id || '"],["Webhook-Timestamp","1700000000"]]',
           '["Webhook-Signature"]', d.due_at + c * 1000, 12, CASE c WHEN 1 THEN d.due_at + 5000000 END
    FROM delivery d CROSS JOIN generate_series(1, 2) c WHERE d.message_id BETWEEN $1 AND $2"""


async def write(url: str, org_id: str, apps: Sequence[Any], hook: str, attempts: int) -> None:
    """Store so many attempts with what belongs to them, spread over the last eight weeks. `apps` have two endpoints each in `endpoints`."""
    end = now() - timedelta(minutes=10)
    begin = end - timedelta(weeks=WEEKS)
    async with database.connected(url):
        for week in range(WEEKS + 1):
            await partitions.ensure(begin + timedelta(weeks=week))
    messages = attempts // 4
    slices = iter([(first, min(SLICE, messages - first)) for first in range(0, messages, SLICE)])
    ids = [app["id"] for app in apps]
    endpoints = [[app["endpoints"][n]["id"] for app in apps] for n in (0, 1)]

    async def run() -> None:
        connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off"})
        try:
            for first, count in slices:
                at = begin + (end - begin) * (first / messages)
                prefix = start_id("msg_", at)[: 4 + _TIME_DIGITS]
                span = (f"{prefix}{first:013}", f"{prefix}{first + count - 1:013}")
                async with connection.transaction():
                    await connection.execute(_MESSAGES, prefix, first, count, org_id, ids, to_us(at), EVENT_TYPE)
                    await connection.execute(_CONTENTS, *span)
                    await connection.execute(_DELIVERIES, *span, ids, *endpoints)
                    await connection.execute(_ATTEMPTS, *span, start_id("atmpt_", at)[: 6 + _TIME_DIGITS], first * 4, hook)
        finally:
            await connection.close()

    await asyncio.gather(*(run() for _ in range(_CONNECTIONS)))
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM (ANALYZE) message, message_content, delivery, attempt")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
