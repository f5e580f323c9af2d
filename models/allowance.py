"""How often an organisation may do something costly: a token bucket in the database, for all processes."""

from __future__ import annotations

from graphook import database
from graphook.database import Statement
from graphook.errors import LimitExceeded

# id, tokens of a full bucket. A clock that was set back must not have whoever asks wait until it is where it was.
OPEN = Statement.same("""
    INSERT INTO allowance (id, tokens, refilled_at) VALUES ($1, $2, graphook_now())
    ON CONFLICT (id) DO UPDATE SET refilled_at = excluded.refilled_at WHERE allowance.refilled_at > excluded.refilled_at""")
_DRAW = """
    UPDATE allowance SET tokens = {least}({size}, tokens + (graphook_now() - refilled_at) / 1e6 * {rate}) - 1, refilled_at = graphook_now()
    WHERE id = {id} AND {least}({size}, tokens + (graphook_now() - refilled_at) / 1e6 * {rate}) >= 1 RETURNING tokens"""
# id, tokens of a full bucket, tokens a second
DRAW = Statement(
    postgresql=_DRAW.format(least="LEAST", id="$1", size="$2::float8", rate="$3::float8"),
    sqlite=_DRAW.format(least="MIN", id="?1", size="?2", rate="?3"),
)


async def ready(key: str, per_minute: int) -> None:
    """Have a bucket that is not ahead of the clock. Before a draw in a transaction: its refusal would undo that there."""
    async with database.transaction() as session:
        await session.fetch(OPEN, key, float(per_minute))


async def draw(key: str, per_minute: int, what: str) -> None:
    """Use up one of `per_minute`. Raises `LimitExceeded` when there is none left; they come back evenly."""
    async with database.transaction() as session:
        await session.fetch(OPEN, key, float(per_minute))
        drawn = await session.fetch(DRAW, key, float(per_minute), per_minute / 60)
    # Not within: that would undo what was mended of the clock.
    if not drawn:
        raise LimitExceeded(f"At most {per_minute} {what} a minute are made for an organisation; wait a little.")
