"""Stories of access: who is let in, and how far."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from graphook import database
from graphook.clock import format_rfc3339, now
from graphql import OperationDefinitionNode, parse
from models.token import Token
from tests.cases import required
from tests.client import http_client
from tests.conftest import mint, organisation_of
from tests.deployment import Deployment
from tests.operations import operations
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant

QUERY = {"query": "{ applications { nodes { id } } }"}


async def test_a_request_without_a_valid_token_is_401_before_its_body_is_read(deployment: Deployment) -> None:
    expired = await mint(deployment, expires_at=now() - timedelta(seconds=1))
    async with http_client() as client:
        for authorization in (None, "Bearer", "Bearer nonsense", "Basic abc", "Bearer orgsk_" + "0" * 43, f"Bearer {expired}"):
            headers = {} if authorization is None else {"Authorization": authorization}
            response = await client.post(deployment.graphql, content=b"this is no JSON", headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_revoked_token_is_refused_at_once(deployment: Deployment) -> None:
    plain = await mint(deployment)
    async with Tenant(deployment.graphql, plain) as tenant:
        await tenant.application()
        async with database.connected(deployment.database_url):
            token = await Token.authenticate(f"Bearer {plain}")
            await (await Token.get(id=token.token_id)).revoke()
        with pytest.raises(Refused) as refused:
            await tenant.application()

    assert (refused.value.status, refused.value.code) == (401, "UNAUTHENTICATED")


async def test_a_socket_with_a_bad_token_is_closed_with_4403(deployment: Deployment) -> None:
    async with connect(deployment.graphql.replace("http", "ws", 1), subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": "Bearer nonsense"}}))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_a_token_does_only_what_its_scopes_allow(deployment: Deployment, acme: Tenant) -> None:
    app = await acme.application()
    org_id = await organisation_of(deployment, app)
    async with (
        Tenant(deployment.graphql, await mint(deployment, org_id=org_id, scopes=["read"])) as reader,
        Tenant(deployment.graphql, await mint(deployment, org_id=org_id, scopes=["send"])) as sender,
    ):
        assert (await reader.run("Application", id=app["id"]))["id"] == app["id"]
        for name, variables in {
            "ApplicationCreate": {"input": {"name": "x"}},
            "EndpointCreate": {"appId": app["id"], "input": {"url": "https://example.com/"}},
            "MessageCreate": {"appId": app["id"], "input": {"eventType": "a", "payload": {}}},
        }.items():
            assert (await reader.fault(name, **variables))[0] == "FORBIDDEN"
        assert (await sender.message(app))["eventType"] == "invoice.paid"
        with pytest.raises(Refused) as refused:
            await sender.run("Application", id=app["id"])
        assert refused.value.code == "FORBIDDEN"
        endpoint = await acme.endpoint(app, "https://example.com/")
        with pytest.raises(Refused) as refused:
            await reader.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"])
        assert refused.value.code == "FORBIDDEN"


async def test_an_applications_token_sees_and_changes_only_its_application(
    deployment: Deployment, acme: Tenant, receiver: Receiver
) -> None:
    app, other = await acme.application(), await acme.application()
    foreign = await acme.endpoint(other, "https://example.com/")
    org_id = await organisation_of(deployment, app)
    async with Tenant(deployment.graphql, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"])) as portal:
        endpoint = await portal.endpoint(app, receiver.url())
        message = await acme.message(app)
        await portal.settled(app, message)
        assert await portal.run("MessageAttemptResend", appId=app["id"], messageId=message["id"], endpointId=endpoint["id"])
        assert (await portal.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"]))["key"].startswith("whsec_")
        assert [node["id"] for node in (await portal.run("Applications"))["nodes"]] == [app["id"]]

        assert await portal.run("Application", id=other["id"]) is None
        assert await portal.run("Node", id=foreign["id"]) is None
        assert (await portal.fault("EndpointDelete", appId=other["id"], id=foreign["id"])) == ("NOT_FOUND", ["appId"])
        assert (await portal.fault("EndpointDelete", appId=app["id"], id=foreign["id"])) == ("NOT_FOUND", ["id"])
        for name, variables in {
            "ApplicationCreate": {"input": {"name": "x"}},
            "ApplicationPatch": {"id": app["id"], "input": {"name": "x"}},
            "EventTypeCreate": {"input": {"name": "x", "description": ""}},
            "MessageCreate": {"appId": app["id"], "input": {"eventType": "a", "payload": {}}},
            "MessageExpungeContent": {"appId": app["id"], "messageId": message["id"]},
        }.items():
            assert (await portal.fault(name, **variables))[0] == "FORBIDDEN"
        await acme.do("ApplicationDelete", id=app["id"])
        with pytest.raises(Refused) as refused:
            await portal.run("Applications")
        assert refused.value.status == 401


async def foreign_things(tenant: Tenant, receiver: Receiver) -> dict[str, Any]:
    """One of everything, by the names of the arguments that take it."""
    app = await tenant.application(uid="their-uid")
    endpoint = await tenant.endpoint(app, receiver.url())
    message = await tenant.message(app, eventId="their-event")
    (attempt,) = await tenant.settled(app, message)
    operational = await tenant.do(
        "OperationalEndpointCreate", input={"url": receiver.url("/operations"), "filterTypes": ["endpoint.enabled"]}
    )
    integration = await tenant.do("IntegrationCreate", appId=app["id"], input={"name": "theirs"})
    template = await tenant.do("TemplateCreate", input=required("TemplateIn"))
    return {
        "app": app,
        "endpoint": endpoint,
        "message": message,
        "attempt": attempt,
        "integration": integration,
        "template": template,
        "operational": operational,
    }


async def test_no_operation_that_takes_an_id_tells_or_changes_anything_of_another_organisation(
    acme: Tenant, rival: Tenant, receiver: Receiver
) -> None:
    theirs = await foreign_things(rival, receiver)
    inputs: dict[str, Any] = {
        "ApplicationUpdate": {"name": "x"},
        "ApplicationPatch": {"name": "x"},
        "EndpointCreate": {"url": "https://example.com/"},
        "EndpointUpdate": {"url": "https://example.com/"},
        "EndpointPatch": {"description": "x"},
        "EndpointUpdateHeaders": {"headers": {}},
        "EndpointPatchHeaders": {"headers": []},
        "EndpointRotateSecret": {},
        "EndpointPatchTransformation": {"code": None},
        "EndpointSimulateTransformation": {"code": "function handler(w) { return w }", "eventType": "a", "payload": {}},
        "EndpointSendExample": {"eventType": "a.b"},
        "OperationalEndpointUpdate": {"url": "https://example.com/"},
        "OperationalEndpointPatch": {"description": "x"},
        "OperationalEndpointUpdateHeaders": {"headers": {}},
        "OperationalEndpointPatchHeaders": {"headers": []},
        "OperationalEndpointRotateSecret": {},
        "MessageCreate": {"eventType": "a", "payload": {}},
        "InboundUpdate": {"scheme": "NONE"},
        "IntegrationCreate": {"name": "x"},
        "IntegrationUpdate": {"name": "x"},
        "TemplateUpdate": required("TemplateUpdate"),
        "TemplatePatch": {"name": "x"},
        "TemplateInstantiate": {"url": "https://example.com/"},
        "TemplateOauthInstantiate": {"provider": "SLACK", "code": "c", "redirectUri": "https://example.com/oauth"},
        "TemplateGenerate": {"prompt": "x"},
        **{key: {} for key in ("AppPortalAccessCreate", "AppTokensExpireAll")},
        "MessageDryRun": {"eventType": "a", "payload": {}},
        "MessageTestAttempt": {"eventType": "a", "payload": {}},
        "MessagesCancel": {"createdBefore": format_rfc3339(now())},
        **{key: {"since": format_rfc3339(now())} for key in ("EndpointRecover", "EndpointReplayMissing", "EndpointBulkReplay")},
    }
    # What there is not they create, for themselves.
    tried = 0
    for name, document in operations().items():
        operation = next(d for d in parse(document).definitions if isinstance(d, OperationDefinitionNode))
        names = {definition.variable.name.value for definition in operation.variable_definitions or ()}
        if operation.operation.value == "subscription" or not names & {"appId", "id", "endpointId"} or name == "Node":
            continue
        kind = (
            "app"
            if name.startswith("Application")
            else "attempt"
            if "Attempt" in name
            else "message"
            if "Message" in name
            else "integration"
            if "Integration" in name
            else "template"
            if name.startswith("Template")
            else "endpoint"
        )
        variables: dict[str, Any] = {"appId": theirs["app"]["id"], "id": theirs[kind]["id"], "messageId": theirs["message"]["id"]}
        variables["templateId"] = theirs["template"]["id"]
        variables["integrationId"] = theirs["integration"]["id"]
        variables |= {"endpointId": theirs["endpoint"]["id"], "eventType": "a"}
        if "Stream" in name:
            variables |= {"consumerId": "theirs", "iterator": (await acme.run("OrganisationMessageStream"))["iterator"]}
        if name.startswith("Operational"):
            variables["id"] = variables["endpointId"] = theirs["operational"]["id"]
        variables |= {"input": inputs.get(name), "inputs": [inputs["MessageCreate"]]}
        if name.endswith("Stats"):
            variables |= {"since": format_rfc3339(now() - timedelta(hours=1)), "until": format_rfc3339(now())}
        if name == "MessageAttempts":
            variables.pop("endpointId")
        tried += 1
        try:
            answer = await acme.run(name, **{key: value for key, value in variables.items() if key in names})
        except Refused as refused:
            assert refused.code == "NOT_FOUND", name
            continue
        found = [answer, *(answer.get("results") or [])] if answer is not None else []
        assert answer is None or all(
            payload["errors"] and {error["code"] for error in payload["errors"]} == {"NOT_FOUND"}
            for payload in (found[1:] if answer.get("results") else found)
        ), name
    assert tried >= 28
    assert await rival.run("OperationalEndpoint", id=theirs["operational"]["id"]) == theirs["operational"]
    assert await rival.run("Application", id=theirs["app"]["id"]) == theirs["app"]
    assert await rival.run("Template", id=theirs["template"]["id"]) == theirs["template"]
    assert await rival.run("Endpoint", appId=theirs["app"]["id"], id=theirs["endpoint"]["id"]) == theirs["endpoint"]
