"""Operational messages: what an organisation is told about its own deliveries, endpoints and tasks, by messages to endpoints of its own.

Each is an ordinary message to the organisation's own application, written in the transaction that causes it. Where nobody listens nothing is
written, and what becomes of an operational message causes no other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from graphook import database
from graphook.clock import format_rfc3339, from_us
from graphook.database import Row, Session
from models import operational_sql as sql
from models.application import operational_id
from models.message import INLINE_ENDPOINTS, Message, NewMessage
from models.operational_type import OperationalType


@dataclass(frozen=True, slots=True)
class SettledAttempt:
    """A scheduled attempt that was recorded, the state that its delivery has since, and the message to tell of it.

    With `after`, it is told only where a message of that type was told of this delivery before.
    """

    type: OperationalType
    message_id: str
    endpoint_id: str
    claim: int
    state: int
    after: OperationalType | None = None

    def key(self, kind: OperationalType) -> str:
        """The event id under which a message of that type is told of this delivery once."""
        return f"{kind}:{self.message_id}:{self.endpoint_id}"


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What became of an endpoint; `more` is what is told beside its ids."""

    type: OperationalType
    endpoint_id: str
    endpoint_uid: str | None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _News:
    org_id: str
    type: OperationalType
    data: Mapping[str, Any]
    listeners: int
    # What happens once has a key, under which it is told once.
    key: str | None = None


async def tell_attempts(session: Session, attempts: Sequence[SettledAttempt]) -> list[str]:
    """Tell about attempts whose results have been written in this transaction; those that did not count are left out.

    This and the other functions here answer with the endpoints that have something to send once the transaction is committed.
    """
    asked = {(one.message_id, one.endpoint_id): one for one in attempts}
    wanted = [
        (one.message_id, one.endpoint_id, one.claim, one.state, one.key(one.after) if one.after else None)
        for _, one in sorted(asked.items())
    ]
    rows = await session.fetch_rows(sql.ATTEMPTS, wanted, INLINE_ENDPOINTS + 1)
    return await _write(session, [_attempt_news(asked[row["message_id"], row["endpoint_id"]], row) for row in rows])


async def tell_endpoints(session: Session, changes: Sequence[EndpointChange]) -> list[str]:
    """Tell about changes of endpoints."""
    if not changes:
        return []
    found = await session.fetch(sql.ENDPOINTS, sorted({change.endpoint_id for change in changes}), INLINE_ENDPOINTS + 1)
    rows = {row["id"]: row for row in found}
    return await _write(session, [_endpoint_news(change, rows[change.endpoint_id]) for change in changes if change.endpoint_id in rows])


async def tell_task(session: Session, org_id: str, data: Mapping[str, Any]) -> list[str]:
    """Tell that a background task has ended."""
    rows = await session.fetch(sql.ORGANISATION, org_id, INLINE_ENDPOINTS + 1)
    return await _write(session, [_News(org_id, OperationalType.TASK_FINISHED, data, row["listeners"]) for row in rows])


async def listeners(org_id: str) -> list[str]:
    """The first endpoints that get an organisation's operational messages, to wake them."""
    async with database.read() as session:
        return [row["id"] for row in await session.fetch(sql.LISTENERS, operational_id(org_id), INLINE_ENDPOINTS)]


def shown_instant(microseconds: int | None) -> str | None:
    """A column of time as messages have it."""
    return None if microseconds is None else format_rfc3339(from_us(microseconds))


def _attempt_news(told: SettledAttempt, row: Row) -> _News:
    data = {
        "appId": row["app_id"],
        "appUid": row["app_uid"],
        "msgId": row["message_id"],
        "msgEventId": row["event_id"],
        "endpointId": row["endpoint_id"],
        "lastAttempt": {
            "id": row["id"],
            "responseStatusCode": row["response_status_code"],
            "timestamp": shown_instant(row["started_at"]),
        },
    }
    # A result may be recorded again after a commit whose answer was lost, and two claims may both succeed.
    return _News(row["org_id"], told.type, data, row["listeners"], told.key(told.type))


def _endpoint_news(change: EndpointChange, row: Row) -> _News:
    ids = {"appId": row["app_id"], "appUid": row["app_uid"], "endpointId": row["id"], "endpointUid": change.endpoint_uid}
    return _News(row["org_id"], change.type, {**ids, **change.more}, row["listeners"])


async def _write(session: Session, news: Sequence[_News]) -> list[str]:
    heard = [one for one in news if one.listeners]
    if not heard:
        return []
    return await Message.write(session, [(_message(one), one.listeners > INLINE_ENDPOINTS) for one in heard])


def _message(news: _News) -> NewMessage:
    body = orjson.dumps({"type": news.type.value, "data": news.data})
    return NewMessage(news.org_id, operational_id(news.org_id), news.type.value, body, event_id=news.key)
