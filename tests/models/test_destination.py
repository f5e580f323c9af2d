"""How a message stands with its destinations."""

from __future__ import annotations

import pytest

from graphook import database
from models import message_sql
from models.destination import Destination
from tests.models import make
from workers.fanout import FanOuts

pytestmark = pytest.mark.usefixtures("db")


async def test_a_message_is_not_final_while_its_destinations_are_still_being_written() -> None:
    app = await make.application()
    message_id = await make.message(app)
    assert await Destination.are_final(message_id)

    async with database.transaction() as session:
        await session.write_rows(message_sql.INSERT_FANOUTS, [(message_id, app.id)])
    assert not await Destination.are_final(message_id)

    await make.endpoint(app)
    while await FanOuts().page() is not None:
        pass
    assert not await Destination.are_final(message_id)
