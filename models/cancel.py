"""Canceling what is still to be sent: of one message, or of a page of an application's messages."""

from __future__ import annotations

from collections.abc import Sequence

from graphook import database
from graphook.database import Row, Session, Statement, probing

BY_REQUEST = "canceled by request"
NO_PAYLOAD = "the payload has expired or was expunged"
CLOSED = "the endpoint is disabled or deleted"

# message ids, endpoint id or null, reason: what is open is canceled, what is being sent too. If it succeeds all the same, that counts.
CANCEL = Statement(
    postgresql=f"""
        UPDATE delivery SET state = 5, reason = $3, leased_by = NULL, lease_until = NULL WHERE (message_id, endpoint_id, run) IN (
            SELECT d.message_id, d.endpoint_id, d.run FROM unnest($1::text[]) AS w(id) JOIN delivery d ON d.message_id = w.id
            WHERE d.state IN (0, 1, 2) AND ($2::text IS NULL OR d.endpoint_id = $2) AND {probing("w.id")}
            ORDER BY d.message_id, d.endpoint_id, d.run FOR UPDATE OF d)
        RETURNING message_id""",
    sqlite="""
        UPDATE delivery SET state = 5, reason = ?3, leased_by = NULL, lease_until = NULL
        WHERE message_id IN (SELECT value FROM json_each(?1)) AND state IN (0, 1, 2) AND (?2 IS NULL OR endpoint_id = ?2)
        RETURNING message_id""",
)
# A message whose endpoints are still being paged through gets no further deliveries …
STOP_FAN_OUT = Statement.same("DELETE FROM fanout WHERE message_id = ANY($1::text[]) RETURNING message_id")
# … or none to one endpoint: message ids, endpoint id, reason. The delivery that is there already is not written again.
SKIP_IN_FAN_OUT = Statement.same("""
    INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at, reason)
    SELECT m.id, $2, 0, m.org_id, m.app_id, 5, m.created_at, $3 FROM fanout f JOIN message m ON m.id = f.message_id
    WHERE f.message_id = ANY($1::text[]) AND (f.last_endpoint IS NULL OR $2 <= f.last_endpoint) ORDER BY m.id ON CONFLICT DO NOTHING RETURNING message_id""")
# application id, after, up to, limit
PAGE = Statement.same("""
    SELECT id, event_type, expires_at FROM message WHERE app_id = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4""")
NEWEST = Statement.same("SELECT max(id) AS id FROM message WHERE app_id = $1")


async def cancel_pending(message_id: str, endpoint_id: str | None) -> int:
    """Cancel what is still to be sent of a message, to one endpoint or to all; answers with how many deliveries there were."""
    async with database.transaction() as session:
        return await cancel_in(session, [message_id], endpoint_id, BY_REQUEST)


async def cancel_in(session: Session, message_ids: Sequence[str], endpoint_id: str | None, reason: str) -> int:
    """The same for several messages, within a transaction of the caller's."""
    if endpoint_id is None:
        await session.fetch(STOP_FAN_OUT, message_ids)
        return len(await session.fetch(CANCEL, message_ids, None, reason))
    skipped = await session.fetch(SKIP_IN_FAN_OUT, message_ids, endpoint_id, reason)
    return len(skipped) + len(await session.fetch(CANCEL, message_ids, endpoint_id, reason))


async def newest_message(app_id: str) -> str | None:
    """The highest id of an application's messages."""
    async with database.read() as session:
        found: str | None = (await session.fetch(NEWEST, app_id))[0]["id"]
    return found


async def messages_between(session: Session, app_id: str, after: str, last: str, limit: int) -> Sequence[Row]:
    """The next messages of an application in a range of ids: id, event type and expiry."""
    return await session.fetch(PAGE, app_id, after, last, limit)
