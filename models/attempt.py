"""An attempt: one request that was sent to an endpoint, with what came back, recorded exactly once."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Self

import orjson

from graphook import database
from graphook.clock import from_us
from graphook.database import Row, Statement
from graphook.errors import NotFound
from graphook.ids import is_id
from graphook.rules import short
from models.application import LIVING, Application
from models.page import Page, PageRequest
from models.where import Where, page_where

EXPUNGED = "EXPUNGED"


class MessageStatus(IntEnum):
    """How a message stands with an endpoint; CANCELED is ours, the others are the contract's."""

    SUCCESS = 0
    PENDING = 1
    FAIL = 2
    SENDING = 3
    CANCELED = 4


class TriggerType(IntEnum):
    SCHEDULED = 0
    MANUAL = 1


_COLUMNS = (
    "id, message_id, endpoint_id, run, claim, org_id, app_id, status, trigger_type, url, response_status_code, response, response_headers, "
    "request_headers, sensitive_headers, error_code, started_at, duration_ms, next_attempt_at"
)
# What the claim's own process reports in the end takes the place of "interrupted", whatever became of the delivery meanwhile; its place in
# the order of commits is new, so that those who follow hear of it.
_TOLD = "status url response_status_code response_headers request_headers sensitive_headers error_code started_at duration_ms".split()
_CORRECT = f"""
        ON CONFLICT (message_id, endpoint_id, run, claim) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _TOLD)},
          response = CASE WHEN attempt.expunged THEN attempt.response ELSE excluded.response END, {{}}
        WHERE attempt.error_code = 'interrupted' AND excluded.error_code IS DISTINCT FROM 'interrupted'"""
# The columns in order, with the delay until the next attempt in µs (or null) for the last one.
# PostgreSQL also counts for `models.statistic` those whose outcome is known now, one row per endpoint and five minutes. A destination counts with
# the first of them; a row that has another id than was given is a correction.
INSERT = Statement(
    postgresql=f"""
        WITH added AS (INSERT INTO attempt ({_COLUMNS})
        SELECT id, message_id, endpoint_id, run, claim, org_id, app_id, status, trigger_type, url, code, response, response_headers,
               request_headers, sensitive, error_code, started_at, duration_ms, graphook_now() + delay
        FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::text[], $7::text[], $8::int[], $9::int[], $10::text[],
                    $11::int[], $12::bytea[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::int[], $19::bigint[])
          AS a(id, message_id, endpoint_id, run, claim, org_id, app_id, status, trigger_type, url, code, response, response_headers,
               request_headers, sensitive, error_code, started_at, duration_ms, delay)
        {_CORRECT.format("xid = excluded.xid")}
        RETURNING id, message_id, endpoint_id, run, claim, app_id, status, error_code, started_at)
        INSERT INTO attempt_count (app_id, endpoint_id, bucket, succeeded, failed, destinations)
        SELECT a.app_id, a.endpoint_id, a.started_at / 300000000 * 300000000, count(*) FILTER (WHERE a.status = 0),
               count(*) FILTER (WHERE a.status <> 0),
               count(DISTINCT a.message_id) FILTER (WHERE a.run = 0 AND ((a.claim = 1 AND g.id IS NOT NULL) OR NOT EXISTS (
                   SELECT 1 FROM attempt f WHERE f.message_id = a.message_id AND f.endpoint_id = a.endpoint_id AND f.run = 0
                     AND f.claim <> a.claim AND f.error_code IS DISTINCT FROM 'interrupted')))
        FROM added a LEFT JOIN unnest($1::text[]) AS g(id) ON g.id = a.id
        WHERE a.error_code IS DISTINCT FROM 'interrupted' GROUP BY 1, 2, 3""",
    sqlite=f"""
        INSERT INTO attempt ({_COLUMNS})
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, graphook_now() + ?)
        {_CORRECT.format("seq = excluded.seq")}""",
)
EXPUNGE = Statement(
    postgresql="UPDATE attempt SET response = ''::bytea, expunged = true WHERE message_id = $1 AND id = $2",
    sqlite="UPDATE attempt SET response = x'', expunged = 1 WHERE message_id = ?1 AND id = ?2",
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One recorded request. `response_headers` is None when no response came."""

    id: str
    message_id: str
    endpoint_id: str
    run: int
    app_id: str
    status: MessageStatus
    trigger_type: TriggerType
    url: str
    response_status_code: int
    response: str
    response_is_base64: bool
    response_headers: list[tuple[str, str]] | None
    request_headers: list[tuple[str, str]]
    sensitive_headers: list[str]
    error_code: str | None
    started_at: datetime
    duration_ms: int
    next_attempt_at: datetime | None

    @classmethod
    def columns(cls, prefix: str = "") -> str:
        """The columns to read."""
        return ", ".join(f"{prefix}{name.strip()}" for name in f"{_COLUMNS}, expunged".split(","))

    @classmethod
    def of(cls, row: Row) -> Self:
        text, is_base64 = _text(bytes(row["response"]))
        return cls(
            id=row["id"],
            message_id=row["message_id"],
            endpoint_id=row["endpoint_id"],
            run=row["run"],
            app_id=row["app_id"],
            status=MessageStatus(row["status"]),
            trigger_type=TriggerType(row["trigger_type"]),
            url=row["url"],
            response_status_code=row["response_status_code"],
            response=EXPUNGED if row["expunged"] else text,
            response_is_base64=is_base64,
            response_headers=_pairs(row["response_headers"]),
            request_headers=_pairs(row["request_headers"]) or [],
            sensitive_headers=orjson.loads(row["sensitive_headers"]),
            error_code=row["error_code"],
            started_at=from_us(row["started_at"]),
            duration_ms=row["duration_ms"],
            next_attempt_at=None if row["next_attempt_at"] is None else from_us(row["next_attempt_at"]),
        )

    @classmethod
    async def load(cls, app: Application, message_id: str, attempt_id: str) -> Self:
        """The message's attempt of that id. Raises `NotFound`."""
        where = Where().equal("message_id", message_id).equal("id", attempt_id).equal("app_id", app.id)
        rows = await where.fetch(f"SELECT {cls.columns()} FROM attempt") if is_id(attempt_id, "atmpt_") else []
        if not rows:
            raise NotFound(f"There is no attempt {short(attempt_id)} of this message.", ("id",))
        return cls.of(rows[0])

    @classmethod
    async def find(cls, org_id: str, app_id: str | None, attempt_ids: Sequence[str]) -> list[Self]:
        """The attempts of those ids in the organisation, and in the application if one is given; none of a deleted application."""
        where = Where().any_of("id", attempt_ids).equal("org_id", org_id).raw(LIVING.format("attempt"))
        if app_id is not None:
            where.equal("app_id", app_id)
        return [cls.of(row) for row in await where.fetch(f"SELECT {cls.columns()} FROM attempt")]

    @classmethod
    async def page(cls, where: Where, request: PageRequest) -> Page[Self]:
        """A page of attempts, newest first. Conditions name the attempt's columns with `a.` and its message's with `m.`."""
        select = f"SELECT {cls.columns('a.')} FROM attempt a JOIN message m ON m.id = a.message_id"
        page = await page_where(select, where, request, descending=True, key="a.id")
        return page.map(cls.of)

    async def expunge(self) -> None:
        """Forget the response body; it reads EXPUNGED afterwards."""
        async with database.transaction() as session:
            await session.fetch(EXPUNGE, self.message_id, self.id)


def _text(body: bytes) -> tuple[str, bool]:
    """The response as text, or as base64 when it is not UTF-8 (a character cut at the limit is dropped)."""
    try:
        return body.decode(), False
    except UnicodeDecodeError as error:
        if len(body) - error.start <= 3 and error.reason == "unexpected end of data":
            return body[: error.start].decode(), False
        return base64.b64encode(body).decode(), True


def _pairs(text: Any) -> list[tuple[str, str]] | None:
    if text is None:
        return None
    found: Sequence[Sequence[str]] = orjson.loads(text)
    return [(name, value) for name, value in found]
