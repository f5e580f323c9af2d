"""Stories of integrations: a key for one application that can be shown, rotated and ended."""

from __future__ import annotations

from typing import Any

import pytest

from graphook import database
from models.token import Token
from tests.conftest import mint, organisation_of
from tests.deployment import Deployment
from tests.receiver import Receiver
from tests.stories.test_access import bearer, grant, status
from tests.tenant import Refused, Tenant


async def integration(acme: Tenant, app: Any, name: str = "Zapier") -> Any:
    """An integration of the application."""
    return await acme.do("IntegrationCreate", appId=app["id"], input={"name": name})


async def key_of(acme: Tenant, app: Any, made: Any) -> str:
    """The integration's key as it is now."""
    return str((await acme.run("IntegrationKey", appId=app["id"], integrationId=made["id"]))["key"])


async def test_an_integration_is_created_renamed_listed_and_deleted(acme: Tenant) -> None:
    app = await acme.application()
    first, second = await integration(acme, app, "first"), await integration(acme, app, "second")
    assert first["id"].startswith("integ_")

    renamed = await acme.do("IntegrationUpdate", appId=app["id"], id=first["id"], input={"name": "another"})

    assert (renamed["name"], renamed["createdAt"]) == ("another", first["createdAt"])
    assert renamed["updatedAt"] > first["updatedAt"]
    page = await acme.run("Integrations", appId=app["id"], limit=1)
    assert ([node["id"] for node in page["nodes"]], page["done"]) == ([second["id"]], False)
    page = await acme.run("Integrations", appId=app["id"], limit=1, iterator=page["iterator"])
    assert ([node["name"] for node in page["nodes"]], page["done"]) == (["another"], True)
    assert (await acme.run("Integration", appId=app["id"], id=first["id"])) == renamed
    assert await acme.do("IntegrationDelete", appId=app["id"], id=first["id"]) == first["id"]
    assert await acme.run("Integration", appId=app["id"], id=first["id"]) is None
    assert await acme.fault("IntegrationDelete", appId=app["id"], id=first["id"]) == ("NOT_FOUND", ["id"])


async def test_the_key_of_an_integration_works_on_its_application_alone(acme: Tenant, receiver: Receiver) -> None:
    app, other = await acme.application(), await acme.application()
    key = await key_of(acme, app, await integration(acme, app))

    assert key.startswith("integsk_")
    async with bearer(acme, key) as zap:
        who = await zap.run("Whoami")
        assert (who["kind"], who["appId"], who["capabilities"], who["expiresAt"]) == ("INTEGRATION", app["id"], None, None)
        endpoint = await zap.endpoint(app, receiver.url())
        message = await acme.message(app)
        await zap.settled(app, message)
        assert await zap.do("EndpointDelete", appId=app["id"], id=endpoint["id"]) == endpoint["id"]
        assert await zap.fault("EndpointCreate", appId=other["id"], input={"url": receiver.url()}) == ("NOT_FOUND", ["appId"])
        assert await zap.fault("MessageCreate", appId=app["id"], input={"eventType": "a", "payload": {}}) == ("FORBIDDEN", None)
        assert await zap.fault("Logout") == ("FORBIDDEN", None)
    await acme.do("ApplicationDelete", id=app["id"])
    assert await status(acme, key) == 401


async def test_a_key_is_shown_again_and_a_rotated_one_is_dead_at_once(acme: Tenant) -> None:
    app = await acme.application()
    made = await integration(acme, app)
    old = await key_of(acme, app, made)
    assert await key_of(acme, app, made) == old
    assert await status(acme, old) == 200

    new = (await acme.do("IntegrationRotateKey", appId=app["id"], integrationId=made["id"], idempotencyKey="rotate"))["key"]

    assert [await status(acme, key) for key in (old, new)] == [401, 200]
    assert await key_of(acme, app, made) == new
    again = (await acme.do("IntegrationRotateKey", appId=app["id"], integrationId=made["id"], idempotencyKey="rotate"))["key"]
    assert again == new
    await acme.do("IntegrationDelete", appId=app["id"], id=made["id"])
    assert await status(acme, new) == 401


async def test_a_key_outlives_the_end_of_the_applications_logins(acme: Tenant) -> None:
    app = await acme.application()
    key = await key_of(acme, app, await integration(acme, app))
    await acme.do("AppTokensExpireAll", appId=app["id"], input={})
    assert await status(acme, key) == 200


async def test_keys_are_the_organisations_business(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    made = await integration(acme, app)
    keys = [(await grant(acme, app))["token"], await key_of(acme, app, made)]
    of = {"appId": app["id"]}
    for token in keys:
        async with bearer(acme, token) as customer:
            assert [node["id"] for node in (await customer.run("Integrations", **of))["nodes"]] == [made["id"]]
            with pytest.raises(Refused) as refused:
                await customer.run("IntegrationKey", **of, integrationId=made["id"])
            assert refused.value.code == "FORBIDDEN"
            for name, given in {
                "IntegrationCreate": {"input": {"name": "x"}},
                "IntegrationUpdate": {"id": made["id"], "input": {"name": "x"}},
                "IntegrationDelete": {"id": made["id"]},
                "IntegrationRotateKey": {"integrationId": made["id"]},
            }.items():
                assert await customer.fault(name, **of, **given) == ("FORBIDDEN", None)
    assert await status(acme, keys[1]) == 200


async def test_a_key_may_do_no_more_than_who_made_it_and_is_shown_to_nobody_who_may_do_less(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    org_id = await organisation_of(deployment, app)
    async with (
        Tenant(acme.url, await mint(deployment, org_id=org_id, scopes=["read", "manage"])) as manager,
        Tenant(acme.url, await mint(deployment, org_id=org_id, scopes=["read", "secrets"])) as keeper,
    ):
        narrow, wide = await integration(manager, app), await integration(acme, app)
        for made in (narrow, wide):
            with pytest.raises(Refused) as refused:
                await keeper.run("IntegrationKey", appId=app["id"], integrationId=made["id"])
            assert refused.value.code == "FORBIDDEN"
        assert await keeper.fault("IntegrationRotateKey", appId=app["id"], integrationId=wide["id"]) == ("FORBIDDEN", None)
    async with bearer(acme, await key_of(acme, app, narrow)) as zap:
        assert (await zap.run("Whoami"))["scopes"] == ["READ", "MANAGE"]


async def test_a_creation_that_is_repeated_with_its_key_makes_one_integration(acme: Tenant) -> None:
    app = await acme.application()
    payloads = [await acme.run("IntegrationCreate", appId=app["id"], input={"name": "one"}, idempotencyKey="create") for _ in range(2)]
    assert [payload["created"] for payload in payloads] == [True, False]
    assert payloads[0]["integration"] == payloads[1]["integration"]
    assert len((await acme.run("Integrations", appId=app["id"]))["nodes"]) == 1


async def test_a_key_is_sealed_in_the_database_and_bound_to_its_row(acme: Tenant, deployment: Deployment) -> None:
    app, other = await acme.application(), await acme.application()
    made, neighbour = await integration(acme, app), await integration(acme, other)
    key = await key_of(acme, app, made)
    async with database.connected(deployment.database_url):
        (row,) = await Token.filter(app_id=app["id"]).values()
        assert key.partition("_")[2] not in str(row)
        await Token.filter(app_id=other["id"]).update(sealed=row["sealed"])
    with pytest.raises(Refused) as refused:
        await acme.run("IntegrationKey", appId=other["id"], integrationId=neighbour["id"])
    assert refused.value.code == "INTERNAL_SERVER_ERROR"
    assert key.partition("_")[2] not in deployment.server.output
