"""What becomes of messages that are accepted in one batch."""

from __future__ import annotations

import pytest

from graphook.errors import Conflict
from models.idempotency import IdempotencyKey
from models.message import Message, NewMessage
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")


async def test_two_requests_with_one_key_in_one_batch_are_both_refused_for_a_taken_event_id() -> None:
    app = await make.application()
    await make.message(app, event_id="taken")
    key = IdempotencyKey.of(app.org_id, "messageCreate", "k", {})

    batch = [NewMessage(app.org_id, app.id, "a.b", b"{}", "taken", key=key) for _ in range(2)]
    outcomes = (await Message.accept(batch)).outcomes

    assert [type(outcome) for outcome in outcomes] == [Conflict, Conflict]
