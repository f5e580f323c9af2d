"""Conditions say the same to a database and of a row at hand, so that a filter watches what it lists; and models are read by them whole."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graphook.auth import Caller
from models import delivery
from models.application import Application
from models.attempt import Attempt, MessageStatus
from models.delivery import State
from models.endpoint import Endpoint
from models.event_type import EventType
from models.message import Message, NewMessage
from models.page import PageRequest
from models.where import Where
from resolvers import attempt as attempts
from resolvers import message as messages
from schema.types.attempt import MessageAttemptFilter, StatusCodeClass
from schema.types.message import MessageFilter
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LABELS: list[list[str] | None] = [None, ["one"], ["one", "two"], ["two"]]
ALL = PageRequest(limit=250)
FILTERS: dict[str, list[Any]] = {
    "channel": [None, "one"],
    "tag": [None, "two"],
    "event_types": [None, ["a", "b"]],
    "created_after": [None, BEGIN + timedelta(seconds=4.5)],
    "created_before": [None, BEGIN + timedelta(seconds=29.5)],
}


def filters(**values: list[Any]) -> list[dict[str, Any]]:
    """Every combination of these values, by name."""
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


async def accepted(app: Any) -> list[Message]:
    """Messages with every combination of labels and event types, a second apart."""
    kinds = itertools.product(LABELS, LABELS, "abc")
    batch = [
        NewMessage(
            app.org_id,
            app.id,
            kind,
            b"{}",
            f"event-{n}",
            channels=channels,
            tags=tags,
            created_at=BEGIN + timedelta(seconds=n),
        )
        for n, (channels, tags, kind) in enumerate(kinds)
    ]
    await Message.accept(batch)
    return list((await Message.load_many(app.id, [message.id for message in batch])).values())


async def test_a_filter_lists_the_messages_that_it_watches() -> None:
    app = await make.application()
    every = await accepted(app)
    numbers = set()

    for values in filters(**FILTERS, event_id=[None, "event-7", "event-99"]):
        listed, watched = Where().equal("app_id", app.id), Where()
        messages.choose(listed, MessageFilter(**values), app.id, "id")
        messages.choose(watched, MessageFilter(**values), app.id, "id")

        found = {row.id for row in (await Message.page(listed, ALL)).items}
        assert found == {row.id for row in every if watched.holds(row)}, values
        numbers.add(len(found))

    assert {0, 1, len(every)} < numbers


async def test_a_filter_lists_the_attempts_that_it_watches() -> None:
    app = await make.application()
    endpoints = [await make.endpoint(app, uid=uid) for uid in ("first", "second")]
    every = {message.id: message for message in await accepted(app)}
    claims = await make.claims(*endpoints, each=48)
    begin = int(BEGIN.timestamp() * 1_000_000)
    states = itertools.cycle([(State.SUCCEEDED, 200), (State.WAITING, 0), (State.FAILED, 404)])
    for n, (claim, (state, status)) in enumerate(zip(claims, states, strict=False)):
        await delivery.settle([make.result(claim, state, status=status, delay=1000, at=begin + n * 500_000 + 250_000)])
    recorded = (await Attempt.page(Where().equal("a.app_id", app.id), ALL)).items
    numbers = set()

    more: dict[str, list[Any]] = {
        "tag": [None],
        "status": [None, MessageStatus.SUCCESS],
        "status_code_class": [None, StatusCodeClass.CODE_NONE, StatusCodeClass.CODE_4XX],
        "endpoint_id": [None, "second"],
    }
    for values in filters(**FILTERS | more):
        filter = MessageAttemptFilter(**values)
        listed, own, of_message = Where().equal("a.app_id", app.id), Where(), Where()
        messages.narrow(listed, filter, "m.")
        await attempts._narrow(listed, app, filter)
        await attempts._narrow(own, app, filter)
        messages.narrow(of_message, filter)

        found = {row.id for row in (await Attempt.page(listed, ALL)).items}
        assert found == {row.id for row in recorded if own.holds(row) and of_message.holds(every[row.message_id])}, values
        numbers.add(len(found))

    assert {0, len(recorded)} < numbers


async def test_a_condition_that_only_a_query_can_be_asked_is_not_asked_of_a_row() -> None:
    with pytest.raises(TypeError, match="for queries only"):
        Where().raw("1 = 1").holds(None)


async def test_the_rows_of_a_model_are_those_that_tortoise_reads() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await EventType.add(
        Caller("tok_test", app.org_id, None, frozenset()), {"name": "a.b", "description": "", "schemas": {"1": {"a": [1, None]}}}
    )

    for model, row_id in ((Application, app.id), (Endpoint, endpoint.id), (EventType, None)):
        theirs = await model.filter(org_id=app.org_id, **({} if row_id is None else {"id": row_id}))
        ours = await Where().any_of("id", [row.id for row in theirs]).load(model)
        assert [[getattr(row, name) for name in model._meta.fields_map] for row in ours] == [
            [getattr(row, name) for name in model._meta.fields_map] for row in theirs
        ]
        assert len(ours) == 1


async def test_a_column_that_is_left_out_is_not_taken_for_an_empty_one() -> None:
    app = await make.application()
    (row,) = await Where().equal("id", app.id).load(Application, without=("metadata",))
    assert (row.name, hasattr(row, "metadata")) == (app.name, False)
