"""The messages of one endpoint: how each stands with it, newest first."""

from __future__ import annotations

from graphook import database
from graphook.database import Statement
from models.attempt import MessageStatus
from models.delivery import State
from models.destination import CLAIM, STANDING, STATE, SUCCEEDED, Destination
from models.page import Page, PageRequest
from models.where import Where, page_where

_OPEN = f"({State.READY:d}, {State.WAITING:d})"
_ENDED = f"({State.FAILED:d}, {State.QUARANTINED:d})"
# What `Destination.of` says, as a condition on all runs of a message.
_HAS_STATUS = {
    MessageStatus.SUCCESS: f"{SUCCEEDED} = 1",
    MessageStatus.PENDING: f"{SUCCEEDED} = 0 AND {STATE} IN {_OPEN} AND {CLAIM} = 0",
    MessageStatus.SENDING: f"{SUCCEEDED} = 0 AND ({STATE} = {State.LEASED:d} OR ({STATE} IN {_OPEN} AND {CLAIM} > 0))",
    MessageStatus.FAIL: f"{SUCCEEDED} = 0 AND {STATE} IN {_ENDED}",
    MessageStatus.CANCELED: f"{SUCCEEDED} = 0 AND {STATE} = {State.CANCELED:d}",
}
# The message of each delivery is looked up by its key: a join would be free to read every message of every application.
_SELECT = Statement(
    postgresql=f"""
        SELECT d.message_id, d.endpoint_id, {STANDING} FROM delivery d
        CROSS JOIN LATERAL (SELECT event_type, channels, tags FROM message WHERE id = d.message_id OFFSET 0) m""",
    sqlite=f"SELECT d.message_id, d.endpoint_id, {STANDING} FROM delivery d CROSS JOIN message m ON m.id = d.message_id",
)


async def page_of_endpoint(endpoint_id: str, where: Where, request: PageRequest, status: MessageStatus | None) -> Page[Destination]:
    """A page of an endpoint's messages. Conditions name the message's columns with `m.`."""
    page = await page_where(
        _SELECT.text(database.dialect()),
        where.copy().equal("d.endpoint_id", endpoint_id),
        request,
        descending=True,
        key="d.message_id",
        group_by="d.message_id, d.endpoint_id",
        having="" if status is None else _HAS_STATUS[status],
    )
    return Page([Destination.of(row) for row in page.items], page.keys, page.has_next, page.has_previous, page.backwards)
