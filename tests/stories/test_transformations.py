"""Stories of transformations: what receivers get instead of the message, what becomes of code that fails, and who may write it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from graphook import database
from tests.deployment import Deployment
from tests.receiver import Receiver
from tests.stories.test_access import grant
from tests.tenant import Refused, Tenant

TO_CHAT = """
function handler(webhook) {
  webhook.payload = {text: webhook.payload.name + " has signed up", kind: webhook.eventType};
  return webhook;
}"""
THROWS = "function handler(webhook) {\n  throw new Error(webhook.payload.name + ' is not welcome');\n}"
CANCELS = "function handler(webhook) { webhook.cancel = true; return webhook }"
ADA = {"eventType": "user.signup", "payload": {"name": "Ada"}}


async def transform(acme: Tenant, app: Any, endpoint: Any, code: str | None = TO_CHAT, **values: Any) -> Any:
    """Switch a transformation on."""
    given = {"code": code, "enabled": True, **values}
    return await acme.do("EndpointPatchTransformation", appId=app["id"], endpointId=endpoint["id"], input=given)


async def simulate(acme: Tenant, app: Any, endpoint: Any, code: str = TO_CHAT, **values: Any) -> Any:
    given = {"code": code, **ADA, **values}
    return await acme.do("EndpointSimulateTransformation", appId=app["id"], endpointId=endpoint["id"], input=given)


async def test_a_receiver_gets_what_the_transformation_makes_signed_as_it_is(acme: Tenant, receiver: Receiver) -> None:
    """And another endpoint of the same application gets the message itself."""
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url("/chat"))
    await acme.endpoint(app, receiver.url("/plain"))
    secret = (await acme.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"]))["key"]
    await transform(acme, app, endpoint)

    message = await acme.message(app, **ADA)
    await acme.settled(app, message)

    (chat,), (plain,) = receiver.got("/chat"), receiver.got("/plain")
    assert Webhook(secret).verify(chat.body, chat.headers) == {"text": "Ada has signed up", "kind": "user.signup"}
    assert chat.headers["webhook-id"] == plain.headers["webhook-id"] == message["id"]
    assert json.loads(plain.body) == {"name": "Ada"}
    assert (await acme.run("Message", appId=app["id"], id=message["id"]))["payload"] == {"name": "Ada"}


async def test_method_url_headers_variables_channels_and_params_reach_the_receiver(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), headers={"X-Team": "red", "X-Own": "kept"})
    code = """
        const handler = async (webhook) => ({
          method: "PUT", url: webhook.url.replace("/hook", "/other"), headers: {"x-team": webhook.env.TEAM},
          payload: [webhook.channels, webhook.transformationsParams, webhook.headers],
        });"""
    await transform(acme, app, endpoint, code, variables={"TEAM": "blue"})

    message = await acme.message(app, **ADA, channels=["a"], transformationsParams={"locale": "de"})
    (attempt,) = await acme.settled(app, message)

    (request,) = receiver.requests
    assert (request.method, request.path) == ("PUT", "/other")
    assert (request.headers["x-team"], request.headers["x-own"]) == ("blue", "kept")
    assert json.loads(request.body) == [["a"], {"locale": "de"}, {}]
    assert attempt["url"] == receiver.url("/other")
    shown = await acme.run("MessageAttempt", appId=app["id"], messageId=message["id"], id=attempt["id"])
    sent = {header["name"]: header["value"] for header in shown["headers"]["sentHeaders"]}
    assert sent["x-team"] == "blue"
    assert "X-Team" not in sent
    assert sent["webhook-signature"] == request.headers["webhook-signature"]


async def test_secret_headers_of_the_endpoint_stay_behind_when_it_sends_to_another_host(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    async with Receiver() as other:
        endpoint = await acme.endpoint(app, receiver.url(), headers={"Authorization": "s3cret", "X-Own": "kept"})
        await transform(acme, app, endpoint, f"function handler(w) {{ w.url = '{other.url()}'; return w }}")

        await acme.settled(app, await acme.message(app, **ADA))

        (request,) = other.requests
    assert "authorization" not in request.headers
    assert request.headers["x-own"] == "kept"
    assert receiver.requests == []


async def test_a_transformation_that_fails_is_a_failed_attempt_and_sends_nothing(acme: Tenant, receiver: Receiver) -> None:
    """It is retried as failures are, and passes once the code is mended."""
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), deliveryPolicy={"retrySchedule": [1, 1, 1, 1, 1, 1, 1, 1]})
    await transform(acme, app, endpoint, THROWS)

    message = await acme.message(app, **ADA)
    failed = await acme.settled(app, message, "SENDING")
    while not failed:
        failed = await acme.attempts(app, message)
    assert failed[-1]["errorCode"] == "transformation_threw"
    assert failed[-1]["response"] == "Error: Ada is not welcome (line 2)."
    assert (failed[-1]["status"], failed[-1]["responseStatusCode"]) == ("FAIL", 0)
    assert failed[-1]["nextAttempt"] is not None
    assert receiver.requests == []

    await transform(acme, app, endpoint)
    await acme.settled(app, message)
    (request,) = receiver.requests
    assert json.loads(request.body)["text"] == "Ada has signed up"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("function handler(w){while(true){}}", "transformation_timeout"),
        ("function handler(w){let a=[];for(;;)a.push(new Array(100000).fill(1))}", "transformation_memory"),
        ("function handler(w){return 1}", "transformation_bad_output"),
        ("function handler(w){w.url='file:///etc/passwd';return w}", "transformation_bad_output"),
        ("function handler(w){w.url='http://10.0.0.1/';return w}", "transformation_bad_output"),
        ("function handler(w){w.method='CONNECT';return w}", "transformation_bad_output"),
        ("function handler(w){w.headers={'x':'a\\r\\nb: c'};return w}", "transformation_bad_output"),
        ("function handler(w){w.headers={'webhook-signature':'v1,x'};return w}", "transformation_bad_output"),
        ("function handler(w){w.payload={s:'x'.repeat(2e6)};return w}", "transformation_too_large"),
    ],
)
async def test_what_cannot_be_sent_is_not_sent(acme: Tenant, receiver: Receiver, code: str, error: str) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), deliveryPolicy={"retrySchedule": []})
    await transform(acme, app, endpoint, code)

    message = await acme.message(app, **ADA)
    (attempt,) = await acme.settled(app, message, "FAIL")

    assert attempt["errorCode"] == error
    assert receiver.requests == []
    await transform(acme, app, endpoint)
    await acme.settled(app, await acme.message(app, **ADA))  # the worker works on


async def test_code_without_end_holds_up_nobody_else(acme: Tenant, rival: Tenant, receiver: Receiver) -> None:
    busy, other = await acme.application(), await rival.application()
    looping = await acme.endpoint(busy, receiver.url("/loop"), deliveryPolicy={"retrySchedule": []})
    await transform(acme, busy, looping, "function handler(w){for(;;);}")
    await transform(rival, other, await rival.endpoint(other, receiver.url("/made")))
    await acme.endpoint(busy, receiver.url("/plain"))

    messages = [await acme.message(busy, **ADA) for _ in range(12)]
    await rival.settled(other, await rival.message(other, **ADA))
    await receiver.wait_for(12, "/plain")

    standing = [(await acme.destinations(busy, message))[looping["id"]] for message in messages]
    assert "FAIL" not in standing[6:]
    assert receiver.got("/loop") == []


async def test_a_canceled_delivery_has_succeeded_without_a_request(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    await transform(acme, app, endpoint, CANCELS)

    message = await acme.message(app, **ADA)
    (attempt,) = await acme.settled(app, message)

    assert (attempt["status"], attempt["responseStatusCode"], attempt["errorCode"], attempt["nextAttempt"]) == ("SUCCESS", 0, None, None)
    assert attempt["response"] == "The transformation canceled it: nothing was sent."
    assert receiver.requests == []


async def test_a_canceled_delivery_says_nothing_of_the_health_of_the_receiver(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), deliveryPolicy={"retrySchedule": []})
    receiver.answers("/hook", 500)
    await acme.settled(app, await acme.message(app, **ADA), "FAIL")
    await transform(acme, app, endpoint, CANCELS)

    await acme.settled(app, await acme.message(app, **ADA))

    assert (await acme.run("Endpoint", appId=app["id"], id=endpoint["id"]))["health"]["state"] == "FAILING"


async def test_resends_and_test_attempts_pass_the_transformation_too(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    message = await acme.message(app, **ADA, transformationsParams={"n": 1})
    await acme.settled(app, message)
    await transform(acme, app, endpoint, "function handler(w) { return {payload: w.transformationsParams} }")

    await acme.do("MessageAttemptResend", appId=app["id"], messageId=message["id"], endpointId=endpoint["id"])
    (_, resent) = await receiver.wait_for(2)
    assert json.loads(resent.body) == {"n": 1}

    tried = {**ADA, "transformationsParams": {"n": 2}}
    attempt = await acme.do("MessageTestAttempt", appId=app["id"], endpointId=endpoint["id"], input=tried)
    assert attempt["status"] == "SUCCESS"
    assert json.loads(receiver.requests[-1].body) == {"n": 2}

    await transform(acme, app, endpoint, THROWS)
    attempt = await acme.do("MessageTestAttempt", appId=app["id"], endpointId=endpoint["id"], input=tried)
    assert (attempt["status"], attempt["errorCode"]) == ("FAIL", "transformation_threw")


async def test_a_disabled_transformation_changes_nothing(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    await transform(acme, app, endpoint, enabled=False)
    await acme.settled(app, await acme.message(app, **ADA))
    assert json.loads(receiver.requests[0].body) == {"name": "Ada"}


async def test_a_transformation_is_patched_in_parts(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    of_endpoint = {"appId": app["id"], "endpointId": endpoint["id"]}

    async def patch(**values: Any) -> Any:
        found = await acme.do("EndpointPatchTransformation", **of_endpoint, input=values)
        assert found == await acme.run("EndpointTransformation", **of_endpoint)
        return {name: found[name] for name in ("code", "enabled", "variables")}

    assert (await acme.run("EndpointTransformation", **of_endpoint))["code"] is None
    assert await patch() == {"code": None, "enabled": False, "variables": []}
    assert await patch(code=TO_CHAT) == {"code": TO_CHAT, "enabled": False, "variables": []}
    assert await patch(enabled=True, variables={"b": "2", "a": "1"}) == {"code": TO_CHAT, "enabled": True, "variables": ["a", "b"]}
    assert await patch(variables={"c": "3"}) == {"code": TO_CHAT, "enabled": True, "variables": ["c"]}
    assert await patch(variables=None) == {"code": TO_CHAT, "enabled": True, "variables": []}
    assert await patch(code=None) == {"code": None, "enabled": False, "variables": []}


async def test_variables_are_kept_encrypted(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    await transform(acme, app, endpoint, variables={"KEY": "in clear nowhere"})
    async with database.connected(deployment.database_url), database.read() as session:
        (row,) = await session.fetch_text(f"SELECT variables FROM transformation WHERE endpoint_id = '{endpoint['id']}'")
    assert "nowhere" not in row["variables"]


@pytest.mark.parametrize(
    ("values", "path", "code"),
    [
        ({"code": "too short"}, ["input", "code"], "BAD_USER_INPUT"),
        ({"code": "x" * 51_201}, ["input", "code"], "BAD_USER_INPUT"),
        ({"code": "function handler(w) {"}, ["input", "code"], "TRANSFORMATION_FAILED"),
        ({"code": "function handle(w) {}"}, ["input", "code"], "TRANSFORMATION_FAILED"),
        ({"enabled": None}, ["input", "enabled"], "BAD_USER_INPUT"),
        ({"enabled": True}, ["input", "enabled"], "BAD_USER_INPUT"),
        ({"variables": {"a": "x" * 20_000}}, ["input", "variables"], "BAD_USER_INPUT"),
    ],
)
async def test_a_bad_transformation_is_not_saved(acme: Tenant, values: dict[str, Any], path: list[str], code: str) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    of_endpoint = {"appId": app["id"], "endpointId": endpoint["id"]}
    before = await acme.run("EndpointTransformation", **of_endpoint)

    assert await acme.fault("EndpointPatchTransformation", **of_endpoint, input=values) == (code, path)
    assert await acme.run("EndpointTransformation", **of_endpoint) == before


async def test_a_simulation_shows_what_would_be_sent_and_sends_nothing(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), headers={"Authorization": "s3cret"})
    await transform(acme, app, endpoint, THROWS, variables={"stored": "s3cret"})

    made = await simulate(acme, app, endpoint)
    assert made == {
        "method": "POST", "url": receiver.url(), "headers": {}, "cancel": False,
        "payload": '{"text":"Ada has signed up","kind":"user.signup"}',
    }  # fmt: skip
    given = "function handler(w) { return {payload: [w.env, w.channels, w.transformationsParams, w.headers], headers: {'x-a': 'b'}} }"
    made = await simulate(acme, app, endpoint, given, variables={"k": "v"}, channels=["c"], transformationsParams={"n": 1})
    assert (json.loads(made["payload"]), made["headers"]) == ([{"k": "v"}, ["c"], {"n": 1}, {}], {"x-a": "b"})
    assert (await simulate(acme, app, endpoint, CANCELS))["cancel"] is True
    for channels in ([], [f"c{number}" for number in range(11)]):
        made = await simulate(acme, app, endpoint, "function handler(w) { return {payload: w.channels} }", channels=channels)
        assert json.loads(made["payload"]) == channels, "the contract has no limit here"
    assert receiver.requests == []
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == []


@pytest.mark.parametrize(
    ("values", "path", "code", "message"),
    [
        ({"code": THROWS}, ["input", "code"], "TRANSFORMATION_FAILED", "Error: Ada is not welcome (line 2)."),
        ({"code": "function handler(w){for(;;);}"}, ["input", "code"], "TRANSFORMATION_FAILED", "The code ran for too long."),
        ({"code": "too short"}, ["input", "code"], "BAD_USER_INPUT", None),
        ({"eventType": "a b"}, ["input", "eventType"], "BAD_USER_INPUT", None),
        ({"payload": [1]}, ["input", "payload"], "BAD_USER_INPUT", "payload is a JSON object."),
        ({"channels": ["a", "a"]}, ["input", "channels", "1"], "BAD_USER_INPUT", None),
        ({"transformationsParams": 1}, ["input", "transformationsParams"], "BAD_USER_INPUT", None),
    ],
)
async def test_a_simulation_that_fails_says_why(acme: Tenant, values: Any, path: list[str], code: str, message: str | None) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    given = {"code": TO_CHAT, **ADA, **values}
    payload = await acme.run("EndpointSimulateTransformation", appId=app["id"], endpointId=endpoint["id"], input=given)
    (error,) = payload["errors"]
    assert (error["code"], error["path"]) == (code, path)
    assert message in (None, error["message"])


@pytest.mark.parametrize("params", [1, [1], "a", {"a": "x" * 70_000}])
async def test_a_message_with_bad_params_is_refused(acme: Tenant, params: Any) -> None:
    app = await acme.application()
    fault = await acme.fault("MessageCreate", appId=app["id"], input={**ADA, "transformationsParams": params})
    assert fault == ("BAD_USER_INPUT", ["input", "transformationsParams"])
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == []


async def test_a_dry_run_shows_what_transformations_make(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoints = {
        name: await acme.endpoint(app, receiver.url(f"/{name}"), description=name) for name in ("plain", "made", "throws", "cancels")
    }
    await transform(acme, app, endpoints["made"])
    await transform(acme, app, endpoints["throws"], THROWS)
    await transform(acme, app, endpoints["cancels"], CANCELS)

    nodes = {
        node["endpoint"]["url"].rpartition("/")[2]: node for node in (await acme.run("MessageDryRun", appId=app["id"], input=ADA))["nodes"]
    }

    assert {name: node["wouldSend"] for name, node in nodes.items()} == {"plain": True, "made": True, "throws": False, "cancels": False}
    assert nodes["plain"]["transformed"] is None
    assert json.loads(nodes["made"]["transformed"]["payload"])["text"] == "Ada has signed up"
    assert nodes["throws"]["transformationError"] == "Error: Ada is not welcome (line 2)."
    assert nodes["cancels"]["transformed"]["cancel"] is True
    assert receiver.requests == []


async def test_dry_runs_that_run_transformations_are_limited_and_others_are_not(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")

    async def dry_runs() -> list[BaseException]:
        found = await asyncio.gather(*(acme.run("MessageDryRun", appId=app["id"], input=ADA) for _ in range(90)), return_exceptions=True)
        return [one for one in found if isinstance(one, BaseException)]

    assert await dry_runs() == []
    await transform(acme, app, endpoint)
    refused = await dry_runs()
    assert 0 < len(refused) <= 30
    assert {one.code for one in refused if isinstance(one, Refused)} == {"LIMIT_EXCEEDED"}


async def test_customers_write_transformations_where_the_organisation_offers_them(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    arguments: Any = {"appId": app["id"], "endpointId": endpoint["id"], "input": {"code": TO_CHAT}}
    access = await grant(acme, app, capabilities=["MANAGE_TRANSFORMATIONS"])
    async with Tenant(acme.url, access["token"]) as portal:
        assert (await portal.fault("EndpointPatchTransformation", **arguments))[0] == "FORBIDDEN"
        await acme.do("EnvironmentUpdateSettings", input={"enableTransformations": True, "enforceHttps": False})
        assert (await portal.do("EndpointPatchTransformation", **arguments))["code"] == TO_CHAT
        assert (await simulate(portal, app, endpoint))["method"] == "POST"
    access = await grant(acme, app, capabilities=["MANAGE_ENDPOINT"])
    async with Tenant(acme.url, access["token"]) as portal:
        assert (await portal.fault("EndpointPatchTransformation", **arguments))[0] == "FORBIDDEN"


async def test_nobody_elses_endpoint_is_transformed_or_shown(acme: Tenant, rival: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    await transform(acme, app, endpoint)
    of_endpoint: Any = {"appId": app["id"], "endpointId": endpoint["id"]}

    with pytest.raises(Refused) as refused:
        await rival.run("EndpointTransformation", **of_endpoint)
    assert refused.value.code == "NOT_FOUND"
    assert (await rival.fault("EndpointPatchTransformation", **of_endpoint, input={"code": None}))[0] == "NOT_FOUND"
    assert (await rival.fault("EndpointSimulateTransformation", **of_endpoint, input={"code": TO_CHAT, **ADA}))[0] == "NOT_FOUND"
    assert (await acme.run("EndpointTransformation", **of_endpoint))["enabled"] is True
