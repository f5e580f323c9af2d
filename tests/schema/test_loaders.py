"""What loaders remember, and for how long."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest

from graphook import strict_json
from graphook.auth import ALL_SCOPES, Caller
from graphook.feed import READS_PER_TENANT, Feed, fair_turns
from graphook.seats import Seats
from models import delivery
from models.application import Application
from models.cursor import START, Cursors
from models.event_type import EventType
from models.feeds import ATTEMPT, ATTEMPTS, MESSAGES
from models.message import Message, NewMessage
from schema.api import schema
from schema.context import Context
from tests.models import make
from tests.operations import operations
from tests.waiting import until


async def context_of(app: Application) -> Context:
    """The surroundings of the application's organisation."""
    services = SimpleNamespace(
        attempts=Feed(ATTEMPTS),
        messages=Feed(MESSAGES),
        cursors=await Cursors.of_database(),
        subscriptions=Seats(1, "subscriptions"),
        turns=fair_turns(),
        settings=None,
        wake=lambda actor_name, ids: None,
    )
    return Context(Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES)), cast(Any, services), {})


async def subscribed(context: Context, name: str, **variables: Any) -> Any:
    """The events of a named subscription."""
    return await schema.subscribe(operations()[name], variables, context_value=context)


async def test_a_subscription_remembers_only_what_its_last_event_showed(db: str) -> None:
    app = await make.application()
    sent = [await make.message(app) for _ in range(5)]
    context = await context_of(app)
    held: list[list[str]] = []

    events = await subscribed(context, "WatchMessages", appId=app.id, since="2026-01-01T00:00:00Z")
    for message_id in sent:
        event = await anext(events)
        assert event.errors is None
        assert event.data["messages"]["message"]["id"] == message_id
        held.append(list(cast(Any, context.loaders.contents.cache_map).cache_map))
    await events.aclose()

    assert held == [[message_id] for message_id in sent]


@pytest.mark.parametrize(
    ("name", "variables", "line"),
    [
        ("WatchMessages", {"since": "2026-01-01T00:00:00Z"}, "what is shown"),
        ("WatchMessageAttempts", {"filter": {"eventTypes": ["a.b"]}}, "what is chosen"),
    ],
)
async def test_what_an_event_needs_is_read_in_turn(db: str, name: str, variables: dict[str, Any], line: str) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    context = await context_of(app)
    turns = context.services.turns
    if name == "WatchMessageAttempts":
        variables = {**variables, "after": context.services.cursors.write(START, ATTEMPT)}

    events = await subscribed(context, name, appId=app.id, **variables)
    async with AsyncExitStack() as others:
        for _ in range(READS_PER_TENANT):
            await others.enter_async_context(context.turn("others"))
        event = asyncio.ensure_future(anext(events))
        await until(lambda: line in turns._waiting.get(app.org_id, {}), "its place in the line")
        assert not event.done()
    assert (await event).errors is None
    await events.aclose()


async def test_an_answer_has_so_many_bytes_of_payloads_however_they_are_asked_for(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema.loaders.MAX_CONTENTS", 100)
    app = await make.application()
    await Message.accept([NewMessage(app.org_id, app.id, "a.b", b'{"all":"of forty bytes, or nearly so"}') for _ in range(3)])
    query = """query ($app: ID!, $first: Int) { messages(appId: $app, first: $first) { nodes { id %s } } }"""

    async def asked(fields: str, first: int) -> Any:
        context = await context_of(app)
        return await schema.execute(query % fields, {"app": app.id, "first": first}, context)

    for _ in range(2):  # the second time it may be run directly
        assert (await asked("payload", 2)).errors is None
        (error,) = (await asked("rawPayload", 3)).errors
        assert (error.extensions["code"], error.path) == ("LIMIT_EXCEEDED", ["messages"])
        assert (await asked("", 3)).errors is None
        found = await asked("payload again: payload text: rawPayload", 1)
        assert {error.extensions["code"] for error in found.errors} == {"LIMIT_EXCEEDED"}
        assert ["messages", "nodes", 0, "text"] in [error.path for error in found.errors]
        assert found.data["messages"]["nodes"][0]["text"] is None


async def test_schemas_are_read_only_where_they_are_selected_and_are_counted_with_the_payloads(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schema.loaders.MAX_CONTENTS", 110)
    app = await make.application()
    schemas = {"1": {"description": "forty bytes, or nearly so"}}
    for name in ("a", "b", "c"):
        await EventType.add((await context_of(app)).caller, {"name": name, "description": "", "schemas": None if name == "c" else schemas})
    query = "{ eventTypes { nodes { name %s } } nodes(ids: %s) { ... on EventType { %s } } }"
    ids = [row.id for row in await EventType.listed(app.org_id)]

    async def asked(fields: str, ids: list[str]) -> Any:
        context = await context_of(app)
        return await schema.execute(query % (fields, json.dumps(ids), fields or "id"), {}, context)

    assert not any(hasattr(row, "schemas") for row in await EventType.listed(app.org_id))
    for _ in range(2):  # the second time it may be run directly
        assert (await asked("", ids)).errors is None
        found = await asked("schemas", [])
        assert (found.errors, strict_json.loads(strict_json.dumps(found.data))["eventTypes"]["nodes"]) == (
            None,
            [{"name": "a", "schemas": schemas}, {"name": "b", "schemas": schemas}, {"name": "c", "schemas": None}],
        )
        assert {error.extensions["code"] for error in (await asked("schemas", ids)).errors} == {"LIMIT_EXCEEDED"}
    monkeypatch.setattr("schema.loaders.MAX_CONTENTS", 60)
    found = await asked("schemas", [])
    assert {error.extensions["code"] for error in found.errors} == {"LIMIT_EXCEEDED"}
    assert [node["schemas"] for node in found.data["eventTypes"]["nodes"]] == [None, None, None]
