"""Page a message out to an application's many endpoints, a thousand deliveries a transaction."""

from __future__ import annotations

from graphook import database
from graphook.database import Statement
from models import message_sql as sql

PAGE = 1000

_PAGE_END = Statement.same("""
    SELECT max(id) AS id FROM (
        SELECT id FROM endpoint WHERE app_id = $1 AND id > $2 AND deleted_at IS NULL ORDER BY id LIMIT $3) page""")
_ADVANCE = Statement.same("UPDATE fanout SET after_endpoint = $2 WHERE message_id = $1")
_FINISH = Statement.same("DELETE FROM fanout WHERE message_id = $1")


async def fan_out_page() -> list[str] | None:
    """Write the next page of the oldest waiting fan-out; answers with its endpoints, or None when there is none to do.

    The position moves in the transaction that writes the page, so a crash repeats nothing.
    """
    async with database.transaction() as session:
        waiting = await session.fetch(sql.NEXT_FANOUT)
        if not waiting:
            return None
        row = waiting[0]
        end = (await session.fetch(_PAGE_END, row["app_id"], row["after_endpoint"], PAGE))[0]["id"]
        if end is None:
            await session.fetch(_FINISH, row["message_id"])
            return []
        written = await session.fetch(
            sql.FAN_OUT_PAGE,
            row["message_id"],
            row["app_id"],
            row["event_type"],
            row["channels"],
            row["created_at"] if row["deliver_at"] is None else row["deliver_at"],
            row["after_endpoint"],
            end,
            0 if row["deliver_at"] is None else 1,
        )
        await session.fetch(_ADVANCE, row["message_id"], end)
        return sorted({delivery["endpoint_id"] for delivery in written if not delivery["state"]})
