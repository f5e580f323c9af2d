"""Stories of trying a message out before it is sent in earnest."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from graphook import database
from tests.conftest import mint, organisation_of
from tests.deployment import Deployment
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant

MESSAGE = {"eventType": "a", "payload": {"n": 1}}


async def test_a_test_attempt_sends_to_one_endpoint_and_answers_with_what_is_recorded(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.event_type("other")
    endpoint = await acme.endpoint(app, receiver.url(), filterTypes=["other"], headers={"X-A": "b"})
    await acme.endpoint(app, receiver.url("/everything"))
    secret = (await acme.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"]))["key"]

    attempt = await acme.do("MessageTestAttempt", appId=app["id"], endpointId=endpoint["id"], input={**MESSAGE, "eventId": "try-1"})

    (request,) = receiver.requests
    assert (request.path, request.headers["x-a"], request.headers["webhook-id"]) == ("/hook", "b", attempt["msgId"])
    assert Webhook(secret).verify(request.body, request.headers) == {"n": 1}
    assert (attempt["status"], attempt["triggerType"], attempt["response"]) == ("SUCCESS", "MANUAL", "ok")
    message = await acme.run("Message", appId=app["id"], id="try-1")
    assert message["id"] == attempt["msgId"]
    assert await acme.attempts(app, message) == [attempt]
    assert await acme.destinations(app, message) == {endpoint["id"]: "SUCCESS"}


async def test_a_test_attempt_that_fails_is_not_tried_again(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 503)

    attempt = await acme.do("MessageTestAttempt", appId=app["id"], endpointId=endpoint["id"], input=MESSAGE)

    assert (attempt["status"], attempt["responseStatusCode"], attempt["nextAttempt"]) == ("FAIL", 503, None)
    assert await acme.destinations(app, {"id": attempt["msgId"]}) == {endpoint["id"]: "FAIL"}


async def test_a_receiver_that_hangs_ends_a_test_attempt_at_the_time_limit(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    gate = receiver.hold("/hook")

    attempt = await acme.do("MessageTestAttempt", appId=app["id"], endpointId=endpoint["id"], input=MESSAGE)
    gate.set()

    assert (attempt["status"], attempt["errorCode"]) == ("FAIL", "timeout")


async def test_repeating_a_test_attempt_with_its_key_sends_once(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    arguments = {"appId": app["id"], "endpointId": endpoint["id"], "input": MESSAGE, "idempotencyKey": "k"}

    first = await acme.do("MessageTestAttempt", **arguments)

    assert await acme.do("MessageTestAttempt", **arguments) == first
    assert len(receiver.requests) == 1
    changed = {**arguments, "input": {**MESSAGE, "payload": {"n": 2}}}
    assert (await acme.fault("MessageTestAttempt", **changed))[0] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_test_attempt_that_was_made_is_named_by_its_key_also_once_its_endpoint_is_disabled(
    acme: Tenant, receiver: Receiver
) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    arguments = {"appId": app["id"], "endpointId": endpoint["id"], "input": MESSAGE, "idempotencyKey": "k"}
    first = await acme.do("MessageTestAttempt", **arguments)
    await acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"disabled": True})

    assert await acme.do("MessageTestAttempt", **arguments) == first
    assert await acme.fault("MessageTestAttempt", **{**arguments, "idempotencyKey": "another"}) == ("ENDPOINT_DISABLED", ["endpointId"])
    assert len(receiver.requests) == 1


async def test_repeating_a_test_attempt_whose_process_died_before_it_could_send_sends_it(
    deployment: Deployment, acme: Tenant, receiver: Receiver
) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    arguments = {"appId": app["id"], "endpointId": endpoint["id"], "input": MESSAGE, "idempotencyKey": "k"}
    first = await acme.do("MessageTestAttempt", **arguments)
    async with database.connected(deployment.database_url), database.transaction() as session:
        for table in ("delivery", "attempt"):
            await session.fetch_text(f"DELETE FROM {table} WHERE message_id = '{first['msgId']}'")

    second = await acme.do("MessageTestAttempt", **arguments)

    assert (second["msgId"], second["status"]) == (first["msgId"], "SUCCESS")
    assert [request.headers["webhook-id"] for request in receiver.requests] == [first["msgId"]] * 2
    assert await acme.do("MessageTestAttempt", **arguments) == second
    assert len(receiver.requests) == 2


async def test_test_attempts_are_limited_for_each_organisation(acme: Tenant, rival: Tenant, receiver: Receiver) -> None:
    app, theirs = await acme.application(), await rival.application()
    endpoint, other = await acme.endpoint(app, receiver.url()), await rival.endpoint(theirs, receiver.url())

    payloads = await asyncio.gather(
        *(acme.run("MessageTestAttempt", appId=app["id"], endpointId=endpoint["id"], input=MESSAGE) for _ in range(90))
    )

    codes = [error["code"] for payload in payloads for error in payload["errors"]]
    assert set(codes) == {"LIMIT_EXCEEDED"}
    assert 60 <= len(payloads) - len(codes) == len(receiver.requests) < 90
    assert await rival.do("MessageTestAttempt", appId=theirs["id"], endpointId=other["id"], input=MESSAGE)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"payload": None}, ["input", "payload"]),
        ({"eventType": "a b"}, ["input", "eventType"]),
        ({"channels": []}, ["input", "channels"]),
        ({"deliverAt": "2026-01-01T00:00:00Z"}, ["input", "deliverAt"]),
        ({"eventType": "ordered", "payload": {"total": "5"}}, ["input", "payload", "total"]),
        ({"eventType": "ordered", "payload": None, "rawPayload": "no JSON"}, ["input", "rawPayload"]),
    ],
)
async def test_a_bad_message_is_neither_tried_nor_shown(acme: Tenant, receiver: Receiver, values: dict[str, Any], path: list[str]) -> None:
    app = await acme.application()
    await acme.event_type("ordered", schemas={"1": {"properties": {"total": {"type": "integer"}}}}, validatePayload=True)
    endpoint = await acme.endpoint(app, receiver.url())
    arguments = {"appId": app["id"], "input": {**MESSAGE, **values}}

    assert await acme.fault("MessageTestAttempt", endpointId=endpoint["id"], **arguments) == ("BAD_USER_INPUT", path)
    with pytest.raises(Refused) as refused:
        await acme.run("MessageDryRun", **arguments)
    assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", path)
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == receiver.requests == []


async def test_a_test_attempt_keeps_to_https_where_the_organisation_wants_it(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    await acme.do("EnvironmentUpdateSettings", input={"enforceHttps": True})

    attempt = await acme.do("MessageTestAttempt", appId=app["id"], endpointId=endpoint["id"], input=MESSAGE)

    assert (attempt["status"], attempt["errorCode"], receiver.requests) == ("FAIL", "https_required", [])


async def test_a_disabled_endpoint_is_not_tried(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), disabled=True)

    fault = await acme.fault("MessageTestAttempt", appId=app["id"], endpointId=endpoint["id"], input=MESSAGE)

    assert fault == ("ENDPOINT_DISABLED", ["endpointId"])
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == []


@pytest.mark.parametrize(("event_type", "channels"), [("a", None), ("b", ["red"]), ("a", ["blue"]), ("b", None)])
async def test_a_dry_run_says_who_gets_a_message_and_why_others_do_not(
    acme: Tenant, receiver: Receiver, event_type: str, channels: list[str] | None
) -> None:
    app = await acme.application()
    await acme.event_type("a")
    filters: list[dict[str, Any]] = [{}, {"disabled": True}, {"filterTypes": ["a"]}, {"channels": ["red"]}]
    endpoints = [await acme.endpoint(app, receiver.url(), **values) for values in filters]
    message: dict[str, Any] = {"eventType": event_type, "payload": {}, "channels": channels}

    nodes = (await acme.run("MessageDryRun", appId=app["id"], input=message))["nodes"]

    assert [node["endpoint"]["id"] for node in nodes] == [endpoint["id"] for endpoint in endpoints]
    reasons = [None, "DISABLED", None if event_type == "a" else "FILTER_TYPES", None if channels == ["red"] else "CHANNELS"]
    assert [node["reason"] for node in nodes] == reasons
    assert [node["wouldSend"] for node in nodes] == [reason is None for reason in reasons]
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == [], "nothing is written"
    sent = await acme.message(app, **message)
    assert set(await acme.destinations(app, sent)) == {node["endpoint"]["id"] for node in nodes if node["wouldSend"]}


async def test_a_dry_run_shows_what_would_be_sent_and_signs_only_for_who_may_have_the_secret(
    deployment: Deployment, acme: Tenant, receiver: Receiver
) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), headers={"X-A": "b", "Authorization": "Bearer x"})
    secret = (await acme.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"]))["key"]

    (node,) = (await acme.run("MessageDryRun", appId=app["id"], input=MESSAGE))["nodes"]
    headers = {header["name"].lower(): header["value"] for header in node["headers"]}

    assert (headers["x-a"], headers["content-type"], headers["authorization"]) == ("b", "application/json", None)
    assert Webhook(secret).verify(json.dumps(MESSAGE["payload"], separators=(",", ":")), headers) == {"n": 1}
    org_id = await organisation_of(deployment, app)
    async with Tenant(deployment.graphql, await mint(deployment, org_id=org_id, scopes=["read"])) as reader:
        (node,) = (await reader.run("MessageDryRun", appId=app["id"], input=MESSAGE))["nodes"]
    (signature,) = [header for header in node["headers"] if header["name"] == "webhook-signature"]
    assert (signature["value"], signature["masked"]) == (None, True)


async def test_a_precheck_says_whether_anybody_listens(acme: Tenant, rival: Tenant) -> None:
    app = await acme.application()
    await acme.event_type("a")

    async def active(event_type: str, channels: list[str] | None = None) -> bool:
        return bool((await acme.run("MessagePrecheck", appId=app["id"], eventType=event_type, channels=channels))["active"])

    assert not await active("a")
    endpoint = await acme.endpoint(app, "https://example.com/", filterTypes=["a"], channels=["red"])
    assert await active("a", ["blue", "red"])
    assert not await active("a")
    assert not await active("b", ["red"])
    await acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"disabled": True})
    assert not await active("a", ["red"])
    for arguments, path in (({"eventType": ""}, ["eventType"]), ({"eventType": "a", "channels": []}, ["channels"])):
        with pytest.raises(Refused) as refused:
            await acme.run("MessagePrecheck", appId=app["id"], **arguments)
        assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", path)
    with pytest.raises(Refused) as refused:
        await rival.run("MessagePrecheck", appId=app["id"], eventType="a")
    assert refused.value.code == "NOT_FOUND"
