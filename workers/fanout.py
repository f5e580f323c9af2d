"""Page messages out to an application's many endpoints, a thousand deliveries a transaction, the applications in turn."""

from __future__ import annotations

from graphook import database
from graphook.database import Row, Session, Statement
from models import message_sql as sql

PAGE = 1000

_PAGE_END = Statement.same("""
    SELECT max(id) AS id FROM (
        SELECT id FROM endpoint WHERE app_id = $1 AND id > $2 AND ($3 = '' OR id <= $3) AND deleted_at IS NULL ORDER BY id LIMIT $4) page""")
_ADVANCE = Statement.same("UPDATE fanout SET after_endpoint = $2 WHERE message_id = $1")
_FINISH = Statement.same("DELETE FROM fanout WHERE message_id = $1")


class FanOuts:
    """Whose turn it is: one page of an application's oldest message, then one of the next application's."""

    def __init__(self) -> None:
        self._after = ""

    async def page(self) -> list[str] | None:
        """Write the next page; answers with the endpoints that have something to send, or None when there is none to write."""
        async with database.transaction() as session:
            waiting = await session.fetch(sql.NEXT_FANOUT, self._after) or await session.fetch(sql.NEXT_FANOUT, "")
            if not waiting:
                return None
            self._after = waiting[0]["app_id"]
            return await _write(session, waiting[0])


async def _write(session: Session, row: Row) -> list[str]:
    # The position moves in the transaction that writes the page, so a crash repeats nothing.
    end = (await session.fetch(_PAGE_END, row["app_id"], row["after_endpoint"], row["last_endpoint"], PAGE))[0]["id"]
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
