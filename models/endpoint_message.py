"""The messages of one endpoint: how each stands with it, newest first."""

from __future__ import annotations

from graphook import database
from graphook.database import Statement
from models.attempt import MessageStatus
from models.delivery import State
from models.destination import ENDED, HAS_STATUS, OPEN, STANDING, Destination
from models.page import Page, PageRequest
from models.where import Where, page_where

# The states of which one of its runs has one, by how a message stands: the runs of the others are not looked at.
_STATES = {
    MessageStatus.SUCCESS: f"({State.SUCCEEDED:d})",
    MessageStatus.PENDING: OPEN,
    MessageStatus.SENDING: f"({State.READY:d}, {State.WAITING:d}, {State.LEASED:d})",
    MessageStatus.FAIL: ENDED,
    MessageStatus.CANCELED: f"({State.CANCELED:d})",
}
# All runs of the message of each delivery, and the message, are looked up by its key: a join would be free to read those of every endpoint and
# application, and to sort them before it shows a few.
_DELIVERIES = f"""
        SELECT d.message_id, max(d.endpoint_id) AS endpoint_id, {STANDING}
        FROM (SELECT message_id, endpoint_id, state AS one_state FROM delivery) d"""
_SELECT = Statement(
    postgresql=f"""{_DELIVERIES}
        CROSS JOIN LATERAL (
            SELECT run, state, claim, due_at FROM delivery WHERE message_id = d.message_id AND endpoint_id = d.endpoint_id OFFSET 0) r
        CROSS JOIN LATERAL (SELECT event_type, channels, tags FROM message WHERE id = d.message_id OFFSET 0) m""",
    sqlite=f"""{_DELIVERIES}
        CROSS JOIN delivery r ON r.message_id = d.message_id AND r.endpoint_id = d.endpoint_id CROSS JOIN message m ON m.id = d.message_id""",
)


async def page_of_endpoint(endpoint_id: str, where: Where, request: PageRequest, status: MessageStatus | None) -> Page[Destination]:
    """A page of an endpoint's messages. Conditions name the message's columns with `m.`."""
    chosen = where.copy().equal("d.endpoint_id", endpoint_id)
    if status is not None:
        chosen.raw(f"d.one_state IN {_STATES[status]}")
    # Grouped in the order of the index, which SQLite would not see behind a second column.
    page = await page_where(
        _SELECT.text(database.dialect()),
        chosen,
        request,
        descending=True,
        key="d.message_id",
        group_by="d.message_id",
        having="" if status is None else HAS_STATUS[status],
    )
    return page.map(Destination.of)
