"""Stories of operational webhooks: what an organisation is told about its own deliveries, endpoints and tasks, once and as documented."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from graphook import database
from graphook.signing import parse_secret, sign
from models.operational_type import OperationalType
from tests.conftest import Backend, mint, organisation_of
from tests.contract import COMPONENTS
from tests.deployment import Deployment, deployed
from tests.documents import ROOT
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant
from tests.waiting import until

GUIDE = ROOT / "docs" / "guide" / "operational-webhooks.md"
OPS = "/operations"
# Six attempts in all: the fourth is the one that is told, with two left.
SCHEDULE = "0.05,0.05,0.05,0.05,0.05"


@pytest.fixture(scope="module")
def patient(backend: Backend) -> Iterator[Deployment]:
    """A service with as many retries as these stories need."""
    with deployed(asyncio.run(backend.fresh_database()), backend.fresh_redis(), GRAPHOOK_RETRY_SCHEDULE=SCHEDULE) as running:
        yield running


@pytest.fixture
async def org(patient: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(patient.graphql, await mint(patient)) as tenant:
        yield tenant


@pytest.fixture
async def other(patient: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(patient.graphql, await mint(patient)) as tenant:
        yield tenant


async def listening(tenant: Tenant, receiver: Receiver, **values: Any) -> Any:
    return await tenant.do("OperationalEndpointCreate", input={"url": receiver.url(OPS), **values})


def told(receiver: Receiver) -> list[Any]:
    return [json.loads(request.body) for request in receiver.got(OPS)]


async def heard(receiver: Receiver, *types: str) -> list[Any]:
    """The data of exactly these messages, in this order of types, once they have come."""
    await receiver.wait_for(len(types), OPS)
    found = sorted(told(receiver), key=lambda message: types.index(message["type"]) if message["type"] in types else -1)
    assert [message["type"] for message in found] == sorted(types, key=types.index)
    return [message["data"] for message in found]


async def nothing_more(tenant: Tenant, receiver: Receiver, known: int) -> None:
    """Nothing else was told: what is caused now is told next."""
    app = await tenant.application()
    last = await tenant.endpoint(app, "https://example.com/")
    await receiver.wait_for(known + 1, OPS)
    assert [m["data"]["endpointId"] for m in told(receiver)[known:]] == [last["id"]]


async def test_a_message_that_keeps_failing_is_told_at_its_fourth_failure_and_at_its_last(org: Tenant, receiver: Receiver) -> None:
    app = await org.application(uid="customer-1")
    endpoint = await org.endpoint(app, receiver.url())
    await listening(org, receiver)
    receiver.answers("/hook", *[500] * 6)

    message = await org.message(app, eventId="invoice-1")
    attempts = await org.settled(app, message, "FAIL")

    failing, exhausted = await heard(receiver, "message.attempt.failing", "message.attempt.exhausted")
    ids = {"appId": app["id"], "appUid": "customer-1", "msgId": message["id"], "msgEventId": "invoice-1", "endpointId": endpoint["id"]}
    fourth, last = attempts[2], attempts[0]
    assert len(attempts) == 6
    assert failing == {**ids, "lastAttempt": {"id": fourth["id"], "responseStatusCode": 500, "timestamp": fourth["timestamp"]}}
    assert exhausted == {**ids, "lastAttempt": {"id": last["id"], "responseStatusCode": 500, "timestamp": last["timestamp"]}}
    # A resend by hand that fails is nobody's surprise.
    receiver.answers("/hook", 500)
    await org.run("MessageAttemptResend", appId=app["id"], messageId=message["id"], endpointId=endpoint["id"])
    await receiver.wait_for(7)
    await nothing_more(org, receiver, 2)


async def test_a_success_after_it_was_told_to_be_failing_is_told(org: Tenant, receiver: Receiver) -> None:
    app = await org.application()
    await org.endpoint(app, receiver.url())
    await listening(org, receiver)
    receiver.answers("/hook", *[503] * 4)
    message = await org.message(app)
    attempts = await org.settled(app, message)

    _, recovered = await heard(receiver, "message.attempt.failing", "message.attempt.recovered")

    assert recovered["msgId"] == message["id"]
    assert (recovered["appUid"], recovered["msgEventId"]) == (None, None)
    assert recovered["lastAttempt"] == {"id": attempts[0]["id"], "responseStatusCode": 200, "timestamp": attempts[0]["timestamp"]}
    receiver.answers("/hook", *[503] * 3)
    await org.settled(app, await org.message(app))
    await nothing_more(org, receiver, 2)


async def test_what_becomes_of_an_endpoint_is_told(org: Tenant, receiver: Receiver) -> None:
    app = await org.application(uid="customer-2")
    await listening(org, receiver)

    endpoint = await org.endpoint(app, receiver.url(), uid="main")
    of_endpoint = {"appId": app["id"], "id": endpoint["id"]}
    (created,) = await heard(receiver, "endpoint.created")
    assert created == {"appId": app["id"], "appUid": "customer-2", "endpointId": endpoint["id"], "endpointUid": "main"}

    async def next_after(name: str, /, **variables: Any) -> list[tuple[str, Any]]:
        """What a change is told by, beside its ids."""
        known = len(receiver.got(OPS))
        await org.do(name, **variables)
        count = 2 if "disabled" in variables.get("input", {}) else 1
        await receiver.wait_for(known + count, OPS)
        messages = told(receiver)[known:]
        assert all({key: m["data"][key] for key in created} == created for m in messages)
        return sorted((m["type"], {k: v for k, v in m["data"].items() if k not in created}) for m in messages)

    updated: list[tuple[str, Any]] = [("endpoint.updated", {})]
    in_app = {"appId": app["id"], "endpointId": endpoint["id"]}
    assert await next_after("EndpointPatch", **of_endpoint, input={"description": "x"}) == updated
    assert await next_after("EndpointRotateSecret", **in_app, input={}) == updated
    assert await next_after("EndpointPatch", **of_endpoint, input={"secret": f"whsec_{'A' * 32}", "description": "y"}) == updated
    assert await next_after("EndpointUpdateHeaders", **in_app, input={"headers": {"X-A": "b"}}) == updated
    assert await next_after("EndpointPatch", **of_endpoint, input={"disabled": True}) == [
        ("endpoint.disabled", {"trigger": "manual", "failSince": None}),
        *updated,
    ]
    assert await next_after("EndpointPatch", **of_endpoint, input={"disabled": False}) == [
        ("endpoint.enabled", {"trigger": "manual"}),
        *updated,
    ]
    assert await next_after("EndpointDelete", **of_endpoint) == [("endpoint.deleted", {})]


async def test_an_endpoint_that_is_gone_is_told_to_be_disabled(org: Tenant, receiver: Receiver) -> None:
    app = await org.application()
    endpoint = await org.endpoint(app, receiver.url(), uid="gone")
    await listening(org, receiver)
    receiver.answers("/hook", 410)
    began = datetime.now(UTC)

    await org.settled(app, await org.message(app), "FAIL")

    exhausted, disabled = await heard(receiver, "message.attempt.exhausted", "endpoint.disabled")
    assert exhausted["lastAttempt"]["responseStatusCode"] == 410
    assert (disabled["endpointId"], disabled["endpointUid"], disabled["trigger"]) == (endpoint["id"], "gone", "automatic")
    assert abs(datetime.fromisoformat(disabled["failSince"]) - began) < timedelta(minutes=1)
    await nothing_more(org, receiver, 2)


async def test_a_background_task_that_has_ended_is_told(org: Tenant, receiver: Receiver) -> None:
    app = await org.application()
    endpoint = await org.endpoint(app, receiver.url())
    await listening(org, receiver)
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

    task = await org.do("EndpointRecover", appId=app["id"], endpointId=endpoint["id"], input={"since": since})

    (finished,) = await heard(receiver, "background_task.finished")
    assert finished == {"taskId": task["id"], "task": "endpoint.recover", "status": "finished", "data": {"messagesSent": 0}}


async def test_operational_messages_are_signed_filtered_and_carry_headers(org: Tenant, receiver: Receiver) -> None:
    endpoint = await listening(org, receiver, filterTypes=["endpoint.deleted"], headers={"X-Team": "ops"})
    app = await org.application()
    gone = await org.endpoint(app, "https://example.com/")
    await org.do("EndpointDelete", appId=app["id"], id=gone["id"])

    (request,) = await receiver.wait_for(1, OPS)

    assert json.loads(request.body)["type"] == "endpoint.deleted"
    assert request.headers["x-team"] == "ops"
    key = (await org.run("OperationalEndpointSecret", endpointId=endpoint["id"]))["key"]
    signed = sign([parse_secret(key)], request.headers["webhook-id"], int(request.headers["webhook-timestamp"]), request.body)
    assert request.headers["webhook-signature"] == signed


async def test_what_becomes_of_operational_messages_causes_no_others(org: Tenant, receiver: Receiver) -> None:
    """The receiver of operational messages fails to the end and is gone at last; nobody is told."""
    app = await org.application()
    await listening(org, receiver)
    failing = await org.do("OperationalEndpointCreate", input={"url": receiver.url("/failing")})
    gone = await org.do("OperationalEndpointCreate", input={"url": receiver.url("/gone")})
    receiver.answers("/failing", *[500] * 6)
    receiver.answers("/gone", 410)

    await org.endpoint(app, "https://example.com/")

    await receiver.wait_for(6, "/failing")

    async def is_disabled() -> bool:
        return bool((await org.run("OperationalEndpoint", id=gone["id"]))["disabled"])

    await until(is_disabled, "the endpoint that is gone to be disabled")
    await org.do("OperationalEndpointRotateSecret", endpointId=failing["id"], input={})
    await org.do("OperationalEndpointDelete", id=failing["id"])
    await heard(receiver, "endpoint.created")
    await nothing_more(org, receiver, 1)


async def test_without_an_operational_endpoint_nothing_is_written(org: Tenant, patient: Deployment, receiver: Receiver) -> None:
    """Not even what a listener that comes later, or is enabled again, could get."""
    app = await org.application()
    off = await listening(org, receiver, disabled=True)
    endpoint = await org.endpoint(app, receiver.url())
    receiver.answers("/hook", 410)
    await org.settled(app, await org.message(app), "FAIL")
    await org.do("OperationalEndpointDelete", id=off["id"])
    await org.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"description": "x"})

    org_id = await organisation_of(patient, app)
    async with database.connected(patient.database_url), database.read() as session:
        rows = await session.fetch_text(f"SELECT event_type FROM message WHERE org_id = '{org_id}'")
    assert [row["event_type"] for row in rows] == ["invoice.paid"]


async def test_operational_endpoints_are_managed_like_others(org: Tenant, other: Tenant, receiver: Receiver) -> None:
    assert (await org.run("OperationalEndpoints"))["nodes"] == []
    assert await org.run("OperationalEndpoint", id="main") is None
    made = await listening(org, receiver, uid="main")
    again = [await org.run("OperationalEndpointCreate", input={"url": receiver.url(OPS)}, idempotencyKey="k") for _ in range(2)]
    assert [payload["created"] for payload in again] == [True, False]
    assert again[0]["endpoint"]["id"] == again[1]["endpoint"]["id"]
    assert await org.fault("OperationalEndpointCreate", input={"url": receiver.url(OPS), "uid": "main"}) == (
        "CONFLICT",
        ["input", "uid"],
    )
    page = await org.run("OperationalEndpoints", first=1)
    assert [node["id"] for node in page["nodes"]] == [again[0]["endpoint"]["id"]]
    payload = await org.run("OperationalEndpointUpdate", id="second", input={"url": receiver.url(OPS), "uid": "second"})
    assert payload["created"]
    patched = await org.do("OperationalEndpointPatch", id="main", input={"description": "d", "filterTypes": ["endpoint.created"]})
    assert (patched["id"], patched["description"], patched["filterTypes"]) == (made["id"], "d", ["endpoint.created"])
    headers = [{"name": "X-B", "value": "c"}]
    await org.do("OperationalEndpointUpdateHeaders", endpointId="main", input={"headers": {"X-A": "b"}})
    with_headers = await org.do("OperationalEndpointPatchHeaders", endpointId="main", input={"headers": headers})
    assert {h["name"]: h["value"] for h in with_headers["headers"]["headers"]} == {"X-A": "b", "X-B": "c"}
    secret = (await org.run("OperationalEndpointSecret", endpointId="main"))["key"]
    await org.do("OperationalEndpointRotateSecret", endpointId="main", input={})
    assert (await org.run("OperationalEndpointSecret", endpointId="main"))["key"] != secret

    assert (await other.run("OperationalEndpoints"))["nodes"] == []
    assert await other.run("OperationalEndpoint", id=made["id"]) is None
    assert await other.run("Node", id=made["id"]) is None
    assert await other.fault("OperationalEndpointDelete", id=made["id"]) == ("NOT_FOUND", ["id"])
    assert (await org.run("OperationalEndpoint", id="main"))["id"] == made["id"]


async def test_bad_values_of_an_operational_endpoint_are_refused_and_leave_nothing(org: Tenant) -> None:
    url = "https://example.com/"
    for given, path in [
        ({"url": "ftp://example.com/"}, ["input", "url"]),
        ({"url": url, "filterTypes": ["endpoint.created", "no.such"]}, ["input", "filterTypes", "1"]),
        ({"url": url, "channels": ["c"]}, ["input", "channels"]),
        ({"url": url, "secret": f"whsec_{'A' * 31}="}, ["input", "secret"]),
        ({"url": url, "headers": {"Host": "x"}}, ["input", "headers", "Host"]),
    ]:
        assert await org.fault("OperationalEndpointCreate", input=given) == ("BAD_USER_INPUT", path)
    assert (await org.run("OperationalEndpoints"))["nodes"] == []


async def test_the_organisations_own_application_is_not_one_of_its_applications(
    org: Tenant, patient: Deployment, receiver: Receiver
) -> None:
    """It is in no list, and neither its id nor anything else lets anybody send to it or read it."""
    app = await org.application()
    endpoint = await listening(org, receiver)
    org_id = await organisation_of(patient, app)
    hidden = org_id.replace("org_", "app_")

    assert [node["id"] for node in (await org.run("Applications"))["nodes"]] == [app["id"]]
    assert await org.run("Application", id=hidden) is None
    assert await org.run("Node", id=hidden) is None
    assert await org.fault("ApplicationDelete", id=hidden) == ("NOT_FOUND", ["id"])
    assert await org.fault("EndpointDelete", appId=hidden, id=endpoint["id"]) == ("NOT_FOUND", ["appId"])
    assert await org.fault("EndpointDelete", appId=app["id"], id=endpoint["id"]) == ("NOT_FOUND", ["id"])
    assert await org.fault("MessageCreate", appId=hidden, input={"eventType": "endpoint.created", "payload": {}}) == (
        "NOT_FOUND",
        ["appId"],
    )


async def test_operational_messages_are_no_part_of_the_organisations_stream(org: Tenant, receiver: Receiver) -> None:
    await listening(org, receiver)
    app = await org.application()
    await org.endpoint(app, receiver.url())
    await until(lambda: any(r.path == OPS for r in receiver.requests), "endpoint.created")
    message = await org.message(app)

    async def streamed() -> bool:
        return bool((await org.run("OrganisationMessageStream"))["data"])

    await until(streamed, "the message in the stream")
    stream = await org.run("OrganisationMessageStream")
    assert [m["id"] for m in stream["data"]] == [message["id"]]


async def test_a_token_of_one_application_does_not_reach_operational_endpoints(
    org: Tenant, patient: Deployment, receiver: Receiver
) -> None:
    app = await org.application()
    endpoint = await listening(org, receiver)
    org_id = await organisation_of(patient, app)
    async with Tenant(patient.graphql, await mint(patient, kind="app", org_id=org_id, app_id=app["id"])) as portal:
        reads: dict[str, dict[str, Any]] = {
            "OperationalEndpoints": {},
            "OperationalEndpoint": {"id": endpoint["id"]},
            "OperationalEndpointSecret": {"endpointId": endpoint["id"]},
            "OperationalEventTypes": {},
        }
        for name, variables in reads.items():
            with pytest.raises(Refused) as refused:
                await portal.run(name, **variables)
            assert refused.value.code == "FORBIDDEN"
        writes: dict[str, dict[str, Any]] = {
            "OperationalEndpointCreate": {"input": {"url": "https://example.com/"}},
            "OperationalEndpointUpdate": {"id": "x", "input": {"url": "https://example.com/"}},
            "OperationalEndpointPatch": {"id": endpoint["id"], "input": {"disabled": True}},
            "OperationalEndpointDelete": {"id": endpoint["id"]},
            "OperationalEndpointUpdateHeaders": {"endpointId": endpoint["id"], "input": {"headers": {}}},
            "OperationalEndpointPatchHeaders": {"endpointId": endpoint["id"], "input": {"headers": []}},
            "OperationalEndpointRotateSecret": {"endpointId": endpoint["id"], "input": {}},
        }
        for name, variables in writes.items():
            assert (await portal.fault(name, **variables))[0] == "FORBIDDEN"
        assert await portal.run("Node", id=endpoint["id"]) is None


async def test_of_two_that_disable_an_endpoint_at_once_one_does_and_it_is_told_once(org: Tenant, receiver: Receiver) -> None:
    app = await org.application()
    endpoint = await org.endpoint(app, receiver.url())
    await listening(org, receiver, filterTypes=["endpoint.disabled", "endpoint.created"])

    await asyncio.gather(*(org.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"disabled": True}) for _ in range(5)))

    await heard(receiver, "endpoint.disabled")
    await nothing_more(org, receiver, 1)


# What is documented


def documented() -> dict[str, tuple[Any, Any]]:
    """Type → the example and the schema that the guide gives for it."""
    found = {}
    text = GUIDE.read_text("utf-8")
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    for section in sections:
        name = section.partition("\n")[0].strip("`")
        example, schema = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
        found[name] = (json.loads(example), json.loads(schema))
    return found


def shape(value: Any) -> Any:
    """Names and kinds of a value, without what it says."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return (
        re.sub(r"(?<=_)\w{27}$|\d", "0", value)
        if isinstance(value, str) and value.startswith(("app_", "ep_", "msg_", "atmpt_"))
        else type(value)
    )


async def test_the_guide_and_the_api_give_the_same_schemas(org: Tenant) -> None:
    listed = {kind["name"]: kind for kind in await org.run("OperationalEventTypes")}

    assert list(listed) == [kind.value for kind in OperationalType] == list(documented())
    for name, (example, schema) in documented().items():
        assert schema == listed[name]["schema"]
        assert listed[name]["description"] == schema["description"]
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(example)


def test_the_schemas_are_the_contracts() -> None:
    """Every property of the components is there, with its type and whether it may be null; a trigger is an addition."""
    checked = 0
    for kind in OperationalType:
        component = "".join(part.capitalize() for part in re.split(r"[._]", kind.value)) + "Event"
        if component not in COMPONENTS:
            continue
        checked += 1
        data = kind.schema["properties"]["data"]
        facts = COMPONENTS[f"{component}Data"]["properties"]
        assert set(data["properties"]) - {"trigger"} == set(facts)
        for name, fact in facts.items():
            found = data["properties"][name]
            # Null where an endpoint that does not fail is disabled by request.
            nullable = fact.get("nullable", False) or name == "failSince"
            assert ("null" in found["type"]) == nullable, name
            assert found.get("format") == fact.get("format")
            if "ref" in fact:
                assert set(found["properties"]) == set(COMPONENTS[fact["ref"]]["properties"])
    assert checked == 7


async def test_every_type_is_sent_as_documented(org: Tenant, receiver: Receiver) -> None:
    app = await org.application(uid="customer-1")
    endpoint = await org.endpoint(app, receiver.url("/failing"), uid="main")
    await listening(org, receiver)
    receiver.answers("/failing", *[500] * 6, *[500] * 4, 200, 410)
    for event_id, status in (("one", "FAIL"), ("two", "SUCCESS"), ("three", "FAIL")):
        await org.settled(app, await org.message(app, eventId=event_id), status)
    in_app = {"appId": app["id"], "id": endpoint["id"]}
    kinds = [kind.value for kind in OperationalType]

    async def is_disabled() -> bool:
        return bool((await org.run("Endpoint", **in_app))["disabled"])

    await until(is_disabled, "the endpoint that is gone to be disabled")
    await org.do("EndpointPatch", **in_app, input={"disabled": False})
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    await org.do("EndpointReplayMissing", appId=app["id"], endpointId=endpoint["id"], input={"since": since})
    another = await org.endpoint(app, "https://example.com/", uid="another")
    await org.do("EndpointDelete", appId=app["id"], id=another["id"])

    await until(lambda: {m["type"] for m in told(receiver)} == set(kinds), lambda: f"all types: {[m['type'] for m in told(receiver)]}")

    for message in told(receiver):
        example, schema = documented()[message["type"]]
        Draft202012Validator(schema).validate(message)
        assert shape(message) == shape(example), message["type"]
