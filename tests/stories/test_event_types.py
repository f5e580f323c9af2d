"""Stories of event types: the catalogue and who sees what of it."""

from __future__ import annotations

import pytest

from tests.conftest import mint
from tests.deployment import Deployment
from tests.tenant import Tenant

SCHEMAS = {"1": {"type": "object", "properties": {"amount": {"type": "integer"}}, "examples": [{"amount": 1}]}}


async def test_an_event_type_is_created_changed_archived_and_brought_back(acme: Tenant) -> None:
    created = await acme.event_type("invoice.paid", schemas=SCHEMAS, featureFlag="beta")
    assert created["schemas"] == SCHEMAS
    assert await acme.run("EventType", name="invoice.paid") == created
    assert await acme.fault("EventTypeCreate", input={"name": "invoice.paid", "description": "x"}) == ("CONFLICT", ["input", "name"])

    patched = await acme.do("EventTypePatch", name="invoice.paid", input={"featureFlag": None})
    assert (patched["featureFlag"], patched["schemas"]) == (None, SCHEMAS)
    await acme.do("EventTypeDelete", name="invoice.paid")
    assert (await acme.run("EventTypes"))["nodes"] == []
    assert [node["archived"] for node in (await acme.run("EventTypes", includeArchived=True))["nodes"]] == [True]

    back = await acme.event_type("invoice.paid", description="again")
    assert (back["id"], back["archived"], back["description"]) == (created["id"], False, "again")
    await acme.do("EventTypeDelete", name="invoice.paid", expunge=True)
    assert await acme.run("EventType", name="invoice.paid") is None


async def test_event_types_are_listed_and_paged_by_name(acme: Tenant) -> None:
    for name in ("b", "c.d", "a-1", "A"):
        await acme.event_type(name)

    page = await acme.run("EventTypes", limit=3)
    assert [node["name"] for node in page["nodes"]] == ["A", "a-1", "b"]
    rest = await acme.run("EventTypes", iterator=page["iterator"])
    assert ([node["name"] for node in rest["nodes"]], rest["done"]) == (["c.d"], True)


async def test_updating_an_unknown_event_type_creates_it(acme: Tenant) -> None:
    payload = await acme.run("EventTypeUpdate", name="new.one", input={"description": "d", "archived": True})

    assert (payload["created"], payload["eventType"]["name"], payload["eventType"]["archived"]) == (True, "new.one", True)


async def test_an_application_sees_a_flagged_event_type_only_with_the_flag(acme: Tenant, deployment: Deployment) -> None:
    await acme.event_type("open")
    flagged = await acme.event_type("hidden", featureFlag="beta")
    app = await acme.application()
    org_id = await acme_organisation(acme, deployment, app)

    async with (
        Tenant(deployment.graphql, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"])) as plain,
        Tenant(deployment.graphql, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"], feature_flags=["beta"])) as beta,
    ):
        assert [node["name"] for node in (await plain.run("EventTypes"))["nodes"]] == ["open"]
        assert await plain.run("EventType", name="hidden") is None
        assert await plain.run("Node", id=flagged["id"]) is None
        assert [node["name"] for node in (await beta.run("EventTypes"))["nodes"]] == ["hidden", "open"]


async def acme_organisation(acme: Tenant, deployment: Deployment, app: dict[str, str]) -> str:
    """The organisation that an application belongs to."""
    from graphook import database
    from models.application import Application

    await database.connect(deployment.database_url)
    try:
        return str((await Application.get(id=app["id"])).org_id)
    finally:
        await database.disconnect()


@pytest.mark.parametrize(
    ("schemas", "path"),
    [([], []), ({"1": 5}, []), ({"1": {"type": "nonsense"}}, ["1", "type"]), ({"v2": {"properties": []}}, ["v2", "properties"])],
)
async def test_a_schema_that_is_none_is_refused_with_its_place(acme: Tenant, schemas: object, path: list[str]) -> None:
    fault = await acme.fault("EventTypeCreate", input={"name": "x", "description": "", "schemas": schemas})

    assert fault == ("BAD_USER_INPUT", ["input", "schemas", *path])
    assert await acme.run("EventType", name="x") is None
