"""What a worker samples of the backlog."""

from __future__ import annotations

import pytest

from graphook import database, metrics
from graphook.database import Statement
from models.restriction_sql import OPEN
from tests.models import make
from workers.sample import look_at_backlog

pytestmark = pytest.mark.usefixtures("db")
LATE = Statement.same("UPDATE delivery SET due_at = graphook_now() - $1::bigint WHERE endpoint_id = $2")


async def test_what_endpoints_hold_back_themselves_is_told_apart_from_what_is_late() -> None:
    app, limited = await make.application(), await make.application(rate_limit=1)
    free, tripped = await make.endpoint(app), await make.endpoint(app)
    for values in ({"rate_limit": 1}, {"delivery_policy": {"max_in_flight": 1}}, {"delivery_policy": {"ordered": True}}):
        await make.endpoint(app, **values)
    unordered = await make.endpoint(app, delivery_policy={"ordered": False, "retry_schedule": [1]})
    await make.endpoint(limited)
    for one in (app, limited):
        await make.message(one)
    async with database.transaction() as session:
        await session.write_rows(OPEN, [(tripped.id, 1.0)])
        await session.fetch(Statement.same("UPDATE restriction SET open_until = graphook_now()"))
        await session.fetch(Statement.same("UPDATE delivery SET due_at = graphook_now() - 7200000000"))
        await session.fetch(LATE, 60_000_000, free.id)
        await session.fetch(LATE, 90_000_000, unordered.id)

    await look_at_backlog()

    ready, oldest, unrestricted = (
        metrics.REGISTRY.get_sample_value(f"graphook_{name}") or 0
        for name in ("ready_deliveries", "oldest_ready_seconds", "oldest_unrestricted_seconds")
    )
    assert ready == 7
    assert 7200 <= oldest < 7260
    assert 90 <= unrestricted < 150
