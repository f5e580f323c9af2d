"""A destination: how a message stands with one endpoint, over all its deliveries there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from graphook import database
from graphook.clock import from_us
from graphook.database import Row, Statement
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

    @classmethod
    def of(cls, row: Row) -> Self:
        due = row["due_at"]
        return cls(
            message_id=row["message_id"],
            endpoint_id=row["endpoint_id"],
            status=MessageStatus(row["status"]),
            next_attempt_at=None if due is None else from_us(due),
        )

    @classmethod
    async def page(cls, message_id: str, request: PageRequest) -> Page[Self]:
        """A page of a message's destinations, by endpoint id."""
        where = Where().equal("message_id", message_id)
        # Grouped in the order of the index, which SQLite would not see behind a second column.
        page = await page_where(_DESTINATIONS, where, request, descending=False, key="endpoint_id", group_by="endpoint_id")
        return page.map(cls.of)

    @staticmethod
    async def are_final(message_id: str) -> bool:
        """Whether every destination of a message is final, also of those that are not written yet."""
        async with database.read() as session:
            return not (await session.fetch(_OPEN, message_id))[0]["open"]


# Over all runs of one message to one endpoint: the scheduled run decides where there is one; else the latest manual one.
_STATE = "COALESCE(max(CASE WHEN run = 0 THEN state END), max(run * 8 + state) % 8)"
_CLAIM = "COALESCE(max(CASE WHEN run = 0 THEN claim END), max(claim))"
_SUCCEEDED = f"max(CASE WHEN state = {State.SUCCEEDED:d} THEN 1 ELSE 0 END)"
OPEN = f"({State.READY:d}, {State.WAITING:d})"
ENDED = f"({State.FAILED:d}, {State.QUARANTINED:d})"
# How the message stands with the endpoint then, each as a condition on all runs; one of them holds.
HAS_STATUS = {
    MessageStatus.SUCCESS: f"{_SUCCEEDED} = 1",
    MessageStatus.PENDING: f"{_SUCCEEDED} = 0 AND {_STATE} IN {OPEN} AND {_CLAIM} = 0",
    MessageStatus.SENDING: f"{_SUCCEEDED} = 0 AND ({_STATE} = {State.LEASED:d} OR ({_STATE} IN {OPEN} AND {_CLAIM} > 0))",
    MessageStatus.FAIL: f"{_SUCCEEDED} = 0 AND {_STATE} IN {ENDED}",
    MessageStatus.CANCELED: f"{_SUCCEEDED} = 0 AND {_STATE} = {State.CANCELED:d}",
}
STATUS = f"CASE {' '.join(f'WHEN {condition} THEN {status:d}' for status, condition in HAS_STATUS.items())} END"
# Columns of a destination.
STANDING = f"""
    {STATUS} AS status,
    CASE WHEN {_STATE} IN {OPEN} THEN COALESCE(max(CASE WHEN run = 0 THEN due_at END), max(due_at)) END AS due_at"""
_DESTINATIONS = f"SELECT max(message_id) AS message_id, endpoint_id, {STANDING} FROM delivery"
# Whatever is still to be sent, or still to be written because the message goes to many endpoints.
_OPEN = Statement.same("""
    SELECT EXISTS (SELECT 1 FROM fanout WHERE message_id = $1)
           OR EXISTS (SELECT 1 FROM delivery WHERE message_id = $1 AND state <= 2) AS open""")
