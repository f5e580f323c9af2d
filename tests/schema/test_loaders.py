"""What loaders remember, and for how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from graphook.auth import ALL_SCOPES, Caller
from graphook.feed import Feed
from graphook.seats import Seats
from models.cursor import Cursors
from models.feeds import MESSAGES
from schema.api import schema
from schema.context import Context
from tests.models import make
from tests.operations import operations


async def test_a_subscription_remembers_only_what_its_last_event_showed(db: str) -> None:
    app = await make.application()
    sent = [await make.message(app) for _ in range(5)]
    services = SimpleNamespace(
        messages=Feed(MESSAGES), cursors=await Cursors.of_database(7), subscriptions=Seats(1, "subscriptions"), settings=None
    )
    context = Context(Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES)), cast(Any, services), {})
    held: list[list[str]] = []

    events: Any = await schema.subscribe(
        operations()["WatchMessages"], {"appId": app.id, "since": "2026-01-01T00:00:00Z"}, context_value=context
    )
    for message_id in sent:
        event = await anext(events)
        assert event.errors is None
        assert event.data["messages"]["message"]["id"] == message_id
        held.append(list(cast(Any, context.loaders.contents.cache_map).cache_map))
    await events.aclose()

    assert held == [[message_id] for message_id in sent]
