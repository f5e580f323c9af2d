"""Stories of too much: what cannot be held is refused before it is accepted, and says when to come back."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.client import http_client
from tests.conftest import Backend, mint
from tests.deployment import deployed
from tests.operations import operations
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant
from tests.waiting import until


async def test_a_full_backlog_is_answered_with_429_until_it_is_sent_and_nothing_refused_is_kept(
    backend: Backend, receiver: Receiver
) -> None:
    gate = receiver.hold("/hook")
    settings = {"GRAPHOOK_BACKLOG_LIMIT": "3", "GRAPHOOK_ENDPOINT_SLOTS": "1", "GRAPHOOK_REQUEST_TIMEOUT": "30"}
    with deployed(await backend.fresh_database(), backend.fresh_redis(), **settings) as running:
        async with Tenant(running.graphql, await mint(running)) as acme, Tenant(running.graphql, await mint(running)) as rival:
            app = await acme.application()
            await acme.endpoint(app, receiver.url())
            accepted: list[str] = []

            async def refused() -> bool:
                try:
                    accepted.append((await acme.message(app))["id"])
                except Refused as refusal:
                    assert (refusal.status, refusal.code) == (429, "BACKLOG_FULL")
                    return True
                return False

            await until(refused, "the backlog to be full")
            variables = {"appId": app["id"], "inputs": [{"eventType": "a.b", "payload": {}}] * 2}
            async with http_client(headers={"Authorization": f"Bearer {acme.token}"}) as client:
                answer = await client.post(running.graphql, json={"query": operations()["MessageCreateBatch"], "variables": variables})
                assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
                url = urlsplit((await acme.do("InboundRotateUrl", appId=app["id"]))["url"])
                answer = await client.post(running.graphql.removesuffix("/graphql") + url.path, content=b"{}")
            assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "BACKLOG_FULL", "5")
            await rival.message(await rival.application())

            gate.set()

            async def accepted_again() -> bool:
                return not await refused()

            await until(accepted_again, "messages to be accepted again")
            got = await receiver.wait_for(len(accepted))

    assert {request.headers["webhook-id"] for request in got} == set(accepted)


async def test_an_application_has_so_many_endpoints_and_no_more_however_they_are_made(backend: Backend) -> None:
    input, full = {"url": "https://example.com/"}, ("LIMIT_EXCEEDED", None)
    with deployed(await backend.fresh_database(), backend.fresh_redis(), GRAPHOOK_ENDPOINTS_PER_APPLICATION="2") as running:
        async with Tenant(running.graphql, await mint(running)) as acme:
            app, other = await acme.application(), await acme.application()
            given = {"appId": app["id"], "input": input, "idempotencyKey": "one"}
            first = await acme.run("EndpointCreate", **given)
            second = await acme.do("EndpointUpdate", appId=app["id"], id="mine", input=input)

            assert await acme.fault("EndpointCreate", appId=app["id"], input=input) == full
            assert await acme.fault("EndpointUpdate", appId=app["id"], id="another", input=input) == full
            unknown = await acme.fault("EndpointUpdate", appId=app["id"], id="ep_" + "0" * 27, input=input)
            assert unknown[0] == "NOT_FOUND"
            template = (await acme.run("Templates"))["nodes"][0]
            assert await acme.fault("TemplateInstantiate", appId=app["id"], templateId=template["id"], input=input) == full

            assert await acme.run("EndpointCreate", **given) == {**first, "created": False}
            await acme.do("EndpointUpdate", appId=app["id"], id="mine", input=input)
            await acme.endpoint(other, "https://example.com/")
            await acme.do("EndpointDelete", appId=app["id"], id=second["id"])
            await acme.endpoint(app, "https://example.com/")
