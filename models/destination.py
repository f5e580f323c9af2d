"""A destination: how a message stands with one endpoint, over all its deliveries there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from graphook.clock import from_us
from graphook.database import Row
from models.attempt import MessageStatus
from models.delivery import State
from models.page import Page, PageRequest
from models.where import Where, page_where


@dataclass(frozen=True, slots=True)
class Destination:
    """How a message stands with one endpoint, over all runs."""

    message_id: str
    endpoint_id: str
    status: MessageStatus
    next_attempt_at: datetime | None
    is_final: bool

    @classmethod
    def of(cls, row: Row) -> Self:
        state = State(row["state"])
        started = row["claim"] > 0
        if row["succeeded"]:
            status = MessageStatus.SUCCESS
        elif state in (State.FAILED, State.QUARANTINED):
            status = MessageStatus.FAIL
        elif state is State.CANCELED:
            status = MessageStatus.CANCELED
        else:
            status = MessageStatus.SENDING if started or state is State.LEASED else MessageStatus.PENDING
        due = row["due_at"] if state in (State.READY, State.WAITING) else None
        return cls(
            message_id=row["message_id"],
            endpoint_id=row["endpoint_id"],
            status=status,
            next_attempt_at=None if due is None else from_us(due),
            is_final=not row["open"],
        )

    @classmethod
    async def page(cls, message_id: str, request: PageRequest) -> Page[Self]:
        """A page of a message's destinations, by endpoint id."""
        where = Where().equal("message_id", message_id)
        page = await page_where(_DESTINATIONS, where, request, descending=False, key="endpoint_id", group_by="message_id, endpoint_id")
        return Page([cls.of(row) for row in page.items], page.keys, page.has_next, page.has_previous, page.backwards)


# Over all runs of one message to one endpoint: the scheduled run decides where there is one; else the latest manual one.
STATE = "COALESCE(max(CASE WHEN run = 0 THEN state END), max(state))"
CLAIM = "COALESCE(max(CASE WHEN run = 0 THEN claim END), max(claim))"
SUCCEEDED = "max(CASE WHEN state = 3 THEN 1 ELSE 0 END)"
STANDING = f"""
    {STATE} AS state, {CLAIM} AS claim, {SUCCEEDED} AS succeeded, COALESCE(max(CASE WHEN run = 0 THEN due_at END), max(due_at)) AS due_at,
    max(CASE WHEN state <= 2 THEN 1 ELSE 0 END) AS open"""
_DESTINATIONS = f"SELECT message_id, endpoint_id, {STANDING} FROM delivery"
