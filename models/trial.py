"""Trying a message out: whether anybody listens, and a delivery to one endpoint that this process sends itself."""

from __future__ import annotations

import time
from collections.abc import Sequence

from graphook import database
from graphook.database import Statement
from models import listening_sql as listening
from models.claim import Claim, claimed_endpoint
from models.claiming_sql import ENDPOINTS
from models.endpoint import Endpoint
from models.fields import dump_json
from models.message import Message

# application id, event type, channels
_LISTENS = "SELECT 1 FROM endpoint e WHERE e.app_id = {}1 AND e.deleted_at IS NULL AND NOT e.disabled AND {} LIMIT 1"
LISTENS = Statement(
    postgresql=_LISTENS.format("$", listening.on_postgresql("$2", "$3::text::jsonb")),
    sqlite=_LISTENS.format("?", listening.on_sqlite("?2", "?3")),
)
# message id, endpoint id, org id, app id, leased by, lease in µs: the manual run of a message that nobody else was sent.
LEASE = Statement.same("""
    INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at, claim, leased_by, lease_until)
    VALUES ($1, $2, 1, $3, $4, 2, graphook_now(), 1, $5, graphook_now() + $6::bigint) ON CONFLICT DO NOTHING RETURNING run""")


async def is_listened_to(app_id: str, event_type: str, channels: Sequence[str] | None) -> bool:
    """Whether any endpoint of the application would get such a message."""
    async with database.read() as session:
        return bool(await session.fetch(LISTENS, app_id, event_type, dump_json(list(channels or ()))))


async def lease(
    message: Message, endpoint: Endpoint, body: bytes, leased_by: str, lease_us: int, params: str | None = None
) -> Claim | None:
    """Add a delivery of a message that has none, already claimed; None when it has one. When its process dies, an engine takes it over as it does any."""
    lease_until = time.monotonic() + lease_us / 1_000_000
    async with database.transaction() as session:
        (row,) = await session.fetch(ENDPOINTS, [endpoint.id])
        leased = await session.fetch(LEASE, message.id, endpoint.id, message.org_id, message.app_id, leased_by, lease_us)
    if not leased:
        return None
    return Claim(
        message.id,
        claimed_endpoint(row, breaker=False),
        1,
        1,
        message.org_id,
        message.app_id,
        0,
        message.event_type,
        body,
        channels=message.channels,
        params=params,
        lease_until=lease_until,
    )
