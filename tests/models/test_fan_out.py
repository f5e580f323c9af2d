"""Who gets a message is the same whether its deliveries are written at once, in pages, or later because they are missing."""

from __future__ import annotations

from typing import Any

import pytest

from graphook import database
from graphook.database import Statement
from models.endpoint import Refusal
from models.message import Accepted, Message, NewMessage
from models.replay_sql import LISTENED
from tests.models import make
from workers.fanout import FanOuts

pytestmark = pytest.mark.usefixtures("db")

WROTE = Statement.same("SELECT endpoint_id FROM delivery WHERE message_id = $1")
FORGET = Statement.same("DELETE FROM delivery WHERE message_id = $1")
PAGE_OUT = Statement.same("INSERT INTO fanout (message_id, app_id, after_endpoint) VALUES ($1, $2, '')")

LISTENING: dict[str, dict[str, Any]] = {
    "all": {},
    "typed": {"filter_types": ["a.b", "e.f"]},
    "red": {"channels": ["red", "blue"]},
    "typed and red": {"filter_types": ["a.b"], "channels": ["red"]},
}


@pytest.mark.parametrize(
    ("event_type", "channels", "expected"),
    [
        ("a.b", None, {"all", "typed"}),
        ("a.b", ["green", "red"], {"all", "typed", "red", "typed and red"}),
        ("c.d", None, {"all"}),
        ("c.d", ["red"], {"all", "red"}),
    ],
)
async def test_a_message_goes_to_whoever_listens_however_its_deliveries_are_written(
    event_type: str, channels: list[str] | None, expected: set[str]
) -> None:
    app, elsewhere = await make.application(), await make.application()
    endpoints = {name: await make.endpoint(app, **values) for name, values in LISTENING.items()}
    # Its id is behind those of all others, so that a page of endpoints has them all.
    await make.copies(endpoints["all"], 1)
    names = {endpoint.id: name for name, endpoint in endpoints.items()} | {"ep_many1": "all"}
    await make.endpoint(app, disabled=True)
    await (await make.endpoint(app)).remove()
    await make.endpoint(elsewhere)

    (outcome,) = (await Message.accept([NewMessage(app.org_id, app.id, event_type, b"{}", channels=channels)])).outcomes
    assert isinstance(outcome, Accepted)
    message_id = outcome.message_id

    async def written() -> set[str]:
        async with database.read() as session:
            return {names.get(row["endpoint_id"], "another") for row in await session.fetch(WROTE, message_id)}

    assert await written() == expected, "at once"
    async with database.transaction() as session:
        await session.fetch(FORGET, message_id)
        await session.fetch(PAGE_OUT, message_id, app.id)
    while await FanOuts().page() is not None:
        pass
    assert await written() == expected, "in pages"
    async with database.read() as session:
        found = {name: await session.fetch(LISTENED, app.id, "", message_id, 10, endpoint.id) for name, endpoint in endpoints.items()}
        assert await session.fetch(LISTENED, elsewhere.id, "", message_id, 10, endpoints["all"].id) == []
    assert {name for name, (row,) in found.items() if row["wanted"]} == expected, "what is missing"
    assert {name for name, (row,) in found.items() if row["had"]} == expected
    assert {name for name, endpoint in endpoints.items() if endpoint.refusal(event_type, channels) is None} == expected, "as it is said"


@pytest.mark.parametrize("paged", [False, True])
async def test_a_message_goes_to_the_endpoints_that_there_were_when_it_was_accepted(paged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.message.INLINE_ENDPOINTS", 2 if paged else 500)
    monkeypatch.setattr("workers.fanout.PAGE", 2)
    app = await make.application()
    endpoints = [(await make.endpoint(app)).id for _ in range(4)]
    first = await make.message(app)
    made_before_it_is_paged = await make.endpoint(app)
    second = await make.message(app)
    await FanOuts().page()
    made_meanwhile = await make.endpoint(app)
    while await FanOuts().page() is not None:
        pass

    async def written(message_id: str) -> list[str]:
        async with database.read() as session:
            return sorted(row["endpoint_id"] for row in await session.fetch(WROTE, message_id))

    assert await written(first) == sorted(endpoints)
    assert await written(second) == sorted([*endpoints, made_before_it_is_paged.id])
    third = await make.message(app)
    while await FanOuts().page() is not None:
        pass
    assert await written(third) == sorted([*endpoints, made_before_it_is_paged.id, made_meanwhile.id])


@pytest.mark.parametrize("how", ["disabled", "deleted", "with its application"])
async def test_what_is_ready_for_an_endpoint_that_is_gone_is_canceled_and_not_sent(how: str) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    if how == "disabled":
        await endpoint.change({"disabled": True})
        assert endpoint.refusal("a.b", None) is Refusal.DISABLED
    else:
        await (endpoint.remove() if how == "deleted" else app.remove())

    assert await make.claims(endpoint) == []

    async with database.read() as session:
        (row,) = await session.fetch(Statement.same("SELECT state, reason FROM delivery WHERE message_id = $1"), message_id)
    assert (row["state"], row["reason"]) == (5, "the endpoint is disabled or deleted")
