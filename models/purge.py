"""Forgetting what was sent and what came back: of a page of an application's messages."""

from __future__ import annotations

from collections.abc import Sequence

from graphook.database import Row, Session, Statement, probing
from models import delivery
from models.cancel import NO_PAYLOAD, STOP_FAN_OUT, cancel_in

# message ids → what is open of them, held in the same order.
HOLD = Statement(
    postgresql=f"""
        SELECT d.message_id, d.endpoint_id, d.run, d.claim, d.interrupts, d.org_id, d.app_id, d.state, e.url
        FROM unnest($1::text[]) AS w(id) JOIN delivery d ON d.message_id = w.id JOIN endpoint e ON e.id = d.endpoint_id
        WHERE d.state IN (0, 1, 2) AND {probing("w.id")} ORDER BY d.message_id, d.endpoint_id, d.run FOR UPDATE OF d""",
    sqlite="""
        SELECT d.message_id, d.endpoint_id, d.run, d.claim, d.interrupts, d.org_id, d.app_id, d.state, e.url
        FROM delivery d JOIN endpoint e ON e.id = d.endpoint_id
        WHERE d.message_id IN (SELECT value FROM json_each(?1)) AND d.state IN (0, 1, 2)""",
)
# (message id, expires at)
FORGET_CONTENTS = Statement(
    postgresql=f"""
        DELETE FROM message_content c USING unnest($1::text[], $2::bigint[]) AS w(message_id, expires_at)
        WHERE c.message_id = w.message_id AND c.expires_at = w.expires_at AND {probing("w.message_id")} RETURNING c.message_id""",
    sqlite="DELETE FROM message_content WHERE message_id IN (SELECT value ->> 0 FROM json_each(?1)) RETURNING message_id",
)
FORGET_RESPONSES = Statement(
    postgresql=f"""
        UPDATE attempt a SET response = ''::bytea, expunged = true FROM unnest($1::text[]) AS w(id)
        WHERE a.message_id = w.id AND NOT a.expunged AND {probing("w.id")} RETURNING a.id""",
    sqlite="""
        UPDATE attempt SET response = x'', expunged = 1
        WHERE message_id IN (SELECT value FROM json_each(?1)) AND NOT expunged RETURNING id""",
)


async def forget(session: Session, rows: Sequence[Row]) -> tuple[int, int]:
    """Forget payloads and responses of messages and cancel what is still to be sent; answers with how many payloads and responses there were.

    The answer to a request that is out finds its place taken by an attempt whose response is forgotten already.
    """
    message_ids = [row["id"] for row in rows]
    contents = await session.fetch_rows(FORGET_CONTENTS, [(row["id"], row["expires_at"]) for row in rows])
    # Before the deliveries are held, not only when all is canceled: what a page that is under way adds is waited for, and held with the others.
    await session.fetch(STOP_FAN_OUT, message_ids)
    out = [row for row in await session.fetch(HOLD, message_ids) if row["state"] == delivery.State.LEASED]
    await delivery.interrupted(session, out)
    await cancel_in(session, message_ids, None, NO_PAYLOAD)
    return len(contents), len(await session.fetch(FORGET_RESPONSES, message_ids)) - len(out)
