"""Anything by its id, as many at once as there may be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import strawberry

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from models import delivery
from models.application import Application
from models.event_type import EventType
from models.integration import Integration
from models.task import Task, TaskType
from resolvers import node
from tests.models import make
from tests.statements import reads

pytestmark = pytest.mark.usefixtures("db")


@pytest.mark.sqlite_only
async def test_a_hundred_things_are_read_with_one_query_for_each_kind() -> None:
    app = await make.application()
    caller = Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES))
    info: Any = SimpleNamespace(context=SimpleNamespace(caller=caller))
    ids: list[str] = [app.id]
    for n in range(3):
        ids.append((await make.endpoint(app)).id)
        ids.append(await make.message(app))
        ids.append((await Integration.add(caller, app, f"integration {n}")).id)
        ids.append((await EventType.add(caller, {"name": f"event.{n}", "description": ""})).id)
        ids.append((await Task.start(app.org_id, TaskType.ENDPOINT_RECOVER, {}, app.id)).id)

    async with reads() as asked:
        found = await node.many(info, [strawberry.ID(wanted) for wanted in ids])

    assert [str(thing.id) for thing in found if thing is not None] == ids
    assert len(asked) == 6, asked


async def test_nothing_of_a_deleted_application_is_found_by_its_id() -> None:
    app = await make.application()
    caller = Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES))
    info: Any = SimpleNamespace(context=SimpleNamespace(caller=caller))
    endpoint = await make.endpoint(app)
    ids = [app.id, endpoint.id, await make.message(app), (await Integration.add(caller, app, "an integration")).id]
    await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    async with database.read() as session:
        ids += [row["id"] for row in await session.fetch_text("SELECT id FROM attempt")]
    before = await node.many(info, [strawberry.ID(id) for id in ids])

    await app.remove()

    assert [str(thing.id) for thing in before if thing is not None] == ids
    assert len(ids) == 5
    assert await node.many(info, [strawberry.ID(id) for id in ids]) == [None] * 5


async def test_a_token_of_one_application_finds_nothing_of_another_by_its_id_nor_does_another_organisation() -> None:
    app = await make.application()
    owner = Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES))
    neighbour = await Application.add(owner, {"name": "a neighbour", "metadata": {}})
    theirs = await make.application()
    endpoint = await make.endpoint(app)
    ids = [
        app.id,
        endpoint.id,
        await make.message(app),
        (await Integration.add(owner, app, "an integration")).id,
        (await Task.start(app.org_id, TaskType.ENDPOINT_RECOVER, {}, app.id)).id,
        (await EventType.add(owner, {"name": "an.event", "description": ""})).id,
    ]
    await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    async with database.read() as session:
        ids += [row["id"] for row in await session.fetch_text("SELECT id FROM attempt")]

    async def found(org_id: str, app_id: str | None) -> list[str]:
        info: Any = SimpleNamespace(context=SimpleNamespace(caller=Caller("tok_test", org_id, app_id, frozenset(ALL_SCOPES))))
        return [str(thing.id) for thing in await node.many(info, [strawberry.ID(id) for id in ids]) if thing is not None]

    assert len(ids) == 7
    assert await found(app.org_id, None) == await found(app.org_id, app.id) == ids
    assert await found(app.org_id, neighbour.id) == [id for id in ids if id.startswith("evtype_")]
    assert await found(theirs.org_id, None) == await found(theirs.org_id, theirs.id) == []
