"""How a message stands with its destinations."""

from __future__ import annotations

import pytest

from graphook import database
from models import delivery, message_sql
from models.attempt import MessageStatus
from models.delivery import State
from models.destination import Destination
from models.message import Message
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


async def test_where_nothing_was_scheduled_the_latest_resend_says_how_a_message_stands() -> None:
    app = await make.application()
    message_id = await make.message(app)
    endpoint = await make.endpoint(app)
    message = await Message.load(app, message_id)
    await delivery.resend(message, endpoint)
    await endpoint.change({"disabled": True})
    assert await make.claims(endpoint) == []
    assert await make.standing(message_id) is MessageStatus.CANCELED

    await endpoint.change({"disabled": False})
    await delivery.resend(message, endpoint)
    assert await make.standing(message_id) is MessageStatus.PENDING
    (claim,) = await make.claims(endpoint)
    await delivery.settle([make.result(claim, State.FAILED, status=500)])
    assert await make.standing(message_id) is MessageStatus.FAIL

    await delivery.resend(message, endpoint)
    assert await make.standing(message_id) is MessageStatus.SENDING
