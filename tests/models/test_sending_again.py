"""What is sent once more: only what can still be sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from graphook import database
from models import replay_sql
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")


async def test_a_payload_that_has_expired_is_not_sent_again() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    kept = await make.message(app)
    expired = await make.message(app, retention=timedelta(seconds=-1))

    async with database.transaction() as session:
        added = await session.fetch_rows(replay_sql.ADD_RUNS, [(kept, endpoint.id), (expired, endpoint.id)])

    assert [row["message_id"] for row in added] == [kept]
