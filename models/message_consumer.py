"""A consumer of an application's message stream: its remembered place, and the batch that it has leased."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from graphook import database
from graphook.clock import from_us
from graphook.database import Row, Session, Statement
from graphook.errors import Conflict, LimitExceeded, NotFound
from graphook.feed import Position
from models.cursor import Cursors
from models.feeds import MESSAGE
from models.message_stream import StreamPage, Wanted, read_page

MAX_CONSUMERS = 100
# A consumer that was not heard of for so long makes room for a new one.
IDLE_US = 90 * 86_400 * 1_000_000

FIND = Statement.same("""
    SELECT position, leased, lease_until, COALESCE(lease_until > graphook_now(), false) AS held
    FROM message_consumer WHERE app_id = $1 AND name = $2 FOR UPDATE""")
# app id, name, position
ADD = Statement.same("""
    INSERT INTO message_consumer (app_id, name, position, seen_at) VALUES ($1, $2, $3, graphook_now()) ON CONFLICT DO NOTHING""")
FORGET_IDLE = Statement.same("DELETE FROM message_consumer WHERE app_id = $1 AND seen_at < graphook_now() - $2::bigint")
COUNT = Statement.same("SELECT count(*) AS count FROM message_consumer WHERE app_id = $1")
# app id, name, end of the batch, lease in µs
LEASE = Statement.same("""
    UPDATE message_consumer SET leased = $3, lease_until = graphook_now() + $4::bigint, seen_at = graphook_now()
    WHERE app_id = $1 AND name = $2 RETURNING lease_until""")
# app id, name, position: nothing is leased any more.
MOVE = Statement.same("""
    UPDATE message_consumer SET position = $3, leased = NULL, lease_until = NULL, seen_at = graphook_now() WHERE app_id = $1 AND name = $2""")
# app id, name, position: the rest of the batch stays leased.
ADVANCE = Statement.same("UPDATE message_consumer SET position = $3, seen_at = graphook_now() WHERE app_id = $1 AND name = $2")


@dataclass(frozen=True, slots=True)
class Batch:
    """What a poll got. `leased_until` is None when it got nothing."""

    page: StreamPage
    leased_until: datetime | None


async def poll(cursors: Cursors, app_id: str, name: str, begin: Position, wanted: Wanted, *, limit: int, lease_us: int) -> Batch:
    """Lease the messages behind the consumer's place to the caller; a consumer that is new begins at `begin`.

    Raises `Conflict` (BATCH_LEASED) while another batch is out. A batch that is not committed before its lease ends is given out again.
    """
    async with database.transaction() as session:
        row = await _found_or_added(session, app_id, name, cursors.write(begin, MESSAGE))
        if row["held"]:
            until = from_us(row["lease_until"]).isoformat(timespec="seconds")
            raise Conflict(
                f"A batch of the consumer {name!r} is out until {until}; commit it, or wait.", ("consumerId",), code="BATCH_LEASED"
            )
        place = await cursors.read(session, row["position"], MESSAGE, ("consumerId",))
        page = await read_page(session, app_id, place, limit, wanted)
        end = cursors.write(page.position, MESSAGE)
        if page.messages:
            leased = await session.fetch(LEASE, app_id, name, end, lease_us)
            return Batch(page, from_us(leased[0]["lease_until"]))
        await session.fetch(MOVE, app_id, name, end)
    return Batch(page, None)


async def commit(cursors: Cursors, app_id: str, name: str, cursor: str) -> None:
    """Move the consumer's place to a cursor of the batch that is out; its end sets the consumer free for the next poll.

    Repeating does nothing. Raises `NotFound` for a consumer that never polled, and `Conflict` (BATCH_NOT_LEASED) for a place beyond the batch.
    """
    async with database.transaction() as session:
        place = await cursors.read(session, cursor, MESSAGE, ("iterator",))
        rows = await session.fetch(FIND, app_id, name)
        if not rows:
            raise NotFound(f"There is no consumer {name!r} of this application.", ("consumerId",))
        if place <= await cursors.read(session, rows[0]["position"], MESSAGE, ("consumerId",)):
            return
        leased = rows[0]["leased"]
        end = None if leased is None else await cursors.read(session, leased, MESSAGE, ("consumerId",))
        if end is None or place > end:
            raise Conflict("The iterator is not of the batch that is out; poll, or seek.", ("iterator",), code="BATCH_NOT_LEASED")
        await session.fetch(MOVE if place == end else ADVANCE, app_id, name, cursor)


async def seek(cursors: Cursors, app_id: str, name: str, place: Position) -> str:
    """Put the consumer at a place, whatever is leased; answers with the cursor."""
    cursor = cursors.write(place, MESSAGE)
    async with database.transaction() as session:
        await _found_or_added(session, app_id, name, cursor)
        await session.fetch(MOVE, app_id, name, cursor)
    return cursor


async def _found_or_added(session: Session, app_id: str, name: str, begin: str) -> Row:
    """The consumer's row, locked. Raises `LimitExceeded` for a new one when there are enough."""
    rows = await session.fetch(FIND, app_id, name)
    if not rows:
        await session.fetch(FORGET_IDLE, app_id, IDLE_US)
        if (await session.fetch(COUNT, app_id))[0]["count"] >= MAX_CONSUMERS:
            raise LimitExceeded(f"An application's stream has at most {MAX_CONSUMERS} consumers.", ("consumerId",))
        await session.fetch(ADD, app_id, name, begin)
        rows = await session.fetch(FIND, app_id, name)
    return rows[0]
