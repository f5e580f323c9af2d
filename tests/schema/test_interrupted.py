"""What is answered where something else happens between two reads, or between a commit and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from graphook import database
from graphook.database import Statement
from graphook.errors import NotFound, Unavailable
from models import delivery, operational
from models.endpoint import Endpoint
from models.message import Message
from schema.api import schema
from tests.models import make
from tests.operations import operations
from tests.schema.test_loaders import context_of

FORGET = Statement.same("DELETE FROM message WHERE id = $1")


async def test_a_change_is_answered_as_done_where_only_those_who_are_told_of_it_cannot_be_read(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    context = await context_of(app)

    async def away(org_id: str) -> list[str]:
        raise Unavailable("The database is not available.")

    monkeypatch.setattr(operational, "listeners", away)
    answer = await schema.execute(operations()["EndpointDelete"], {"appId": app.id, "id": endpoint.id}, context_value=context)

    assert answer.errors is None
    assert answer.data == {"endpointDelete": {"deletedId": endpoint.id, "errors": []}}
    with pytest.raises(NotFound):
        await Endpoint.load(app, endpoint.id)


async def test_a_list_leaves_out_what_retention_takes_while_it_is_read(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    sent = [await make.message(app) for _ in range(3)]
    await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    load_many = Message.load_many

    async def late(app_id: str, message_ids: Sequence[str]) -> dict[str, Message]:
        assert sent[0] in message_ids, "the page was read before"
        async with database.transaction() as session:
            await session.fetch(FORGET, sent[0])
        return await load_many(app_id, message_ids)

    monkeypatch.setattr(Message, "load_many", late)
    variables = {"appId": app.id, "endpointId": endpoint.id, "limit": 50}
    answer: Any = await schema.execute(operations()["EndpointMessages"], variables, context_value=await context_of(app))

    assert answer.errors is None
    page = answer.data["endpointMessages"]
    assert [node["message"]["id"] for node in page["nodes"]] == [sent[2], sent[1]]
    assert (page["iterator"], page["pageInfo"]["hasNextPage"]) == (sent[1], False)
