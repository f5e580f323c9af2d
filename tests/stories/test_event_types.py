"""Stories of event types: the catalogue and who sees what of it."""

from __future__ import annotations

import time

import pytest

from tests.conftest import mint, organisation_of
from tests.deployment import Deployment
from tests.receiver import Receiver
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


async def test_names_that_begin_with_a_dash_are_paged_to_their_end_and_back(acme: Tenant) -> None:
    names = ["--", "-a", "-b", "a", "b"]
    for name in names:
        await acme.event_type(name)
    found: list[str] = []
    page = await acme.run("EventTypes", limit=1)
    while len(found) < len(names):
        found += [node["name"] for node in page["nodes"]]
        last, page = page, await acme.run("EventTypes", limit=1, iterator=page["iterator"])

    assert found == names
    assert (page["nodes"], page["done"]) == ([], True)
    back = await acme.run("EventTypes", limit=3, iterator=last["prevIterator"])
    assert [node["name"] for node in back["nodes"]] == ["-a", "-b", "a"]
    again = await acme.run("EventTypes", last=3, before=back["pageInfo"]["startCursor"])
    assert [node["name"] for node in again["nodes"]] == ["--"]
    on = await acme.run("EventTypes", first=1, after=again["pageInfo"]["endCursor"])
    assert [node["name"] for node in on["nodes"]] == ["-a"]


async def test_updating_an_unknown_event_type_creates_it(acme: Tenant) -> None:
    payload = await acme.run("EventTypeUpdate", name="new.one", input={"description": "d", "archived": True})

    assert (payload["created"], payload["eventType"]["name"], payload["eventType"]["archived"]) == (True, "new.one", True)


async def test_an_application_sees_a_flagged_event_type_only_with_the_flag(acme: Tenant, deployment: Deployment) -> None:
    await acme.event_type("open")
    flagged = await acme.event_type("hidden", featureFlag="beta")
    app = await acme.application()
    org_id = await organisation_of(deployment, app)

    async with (
        Tenant(deployment.graphql, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"])) as plain,
        Tenant(deployment.graphql, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"], feature_flags=["beta"])) as beta,
    ):
        assert [node["name"] for node in (await plain.run("EventTypes"))["nodes"]] == ["open"]
        assert await plain.run("EventType", name="hidden") is None
        assert await plain.run("Node", id=flagged["id"]) is None
        assert [node["name"] for node in (await beta.run("EventTypes"))["nodes"]] == ["hidden", "open"]


@pytest.mark.parametrize(
    ("schemas", "path"),
    [
        ([], []),
        ({"1": 5}, ["1"]),
        ({"1": {}, "2": True}, ["2"]),
        ({"1": {}, "2": {"title": "\x00"}}, ["2"]),
        ({"1": {"type": "nonsense"}}, ["1", "type"]),
        ({"v2": {"properties": []}}, ["v2", "properties"]),
        ({"1": {"items": {"properties": {"a": True, "b": 5}}}}, ["1", "items", "properties", "b"]),
        ({"1": {"$schema": "https://json-schema.org/draft/2019-09/schema"}}, ["1", "$schema"]),
    ],
)
async def test_a_schema_that_is_none_is_refused_with_its_place(acme: Tenant, schemas: object, path: list[str]) -> None:
    fault = await acme.fault("EventTypeCreate", input={"name": "x", "description": "", "schemas": schemas})

    assert fault == ("BAD_USER_INPUT", ["input", "schemas", *path])
    assert await acme.run("EventType", name="x") is None


async def test_an_event_type_has_its_own_retry_schedule(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    await acme.event_type("never.again")
    await acme.event_type("often")
    receiver.answers("/hook", *[500] * 20)

    changed = await acme.do("EventTypeUpdateRetrySchedule", name="never.again", input={"retrySchedule": []})
    await acme.do("EventTypeUpdateRetrySchedule", name="often", input={"retrySchedule": [0, 0.01, 0, 0]})
    attempts = {}
    for name in ("never.again", "often", "unknown"):
        message = await acme.message(app, eventType=name)
        attempts[name] = len(await acme.settled(app, message, "FAIL"))

    assert changed["retrySchedule"] == []
    assert attempts == {"never.again": 1, "often": 5, "unknown": 3}, "the service's has two retries"
    assert await acme.run("EventTypeRetrySchedule", name="often") == {"retrySchedule": [0, 0.01, 0, 0]}
    assert await acme.run("EventTypeRetrySchedule", name="unknown") is None
    await acme.do("EventTypeUpdateRetrySchedule", name="never.again", input={"retrySchedule": None})
    assert await acme.run("EventTypeRetrySchedule", name="never.again") == {"retrySchedule": None}
    message = await acme.message(app, eventType="never.again")
    assert len(await acme.settled(app, message, "FAIL")) == 3


@pytest.mark.parametrize(("schedule", "path"), [([5, -1], ["1"]), ([604_801], ["0"]), ([1] * 33, [])])
async def test_a_retry_schedule_beyond_the_limits_is_refused(acme: Tenant, schedule: list[float], path: list[str]) -> None:
    await acme.event_type("a")

    fault = await acme.fault("EventTypeUpdateRetrySchedule", name="a", input={"retrySchedule": schedule})

    assert fault == ("BAD_USER_INPUT", ["input", "retrySchedule", *path])
    assert await acme.run("EventTypeRetrySchedule", name="a") == {"retrySchedule": None}


async def test_an_event_type_is_deprecated_and_grouped(acme: Tenant) -> None:
    created = await acme.event_type("a.old", deprecated=True, groupName="billing")
    assert (created["deprecated"], created["groupName"]) == (True, "billing")
    patched = await acme.do("EventTypePatch", name="a.old", input={"deprecated": False, "groupName": None})
    assert (patched["deprecated"], patched["groupName"]) == (False, None)
    assert await acme.fault("EventTypePatch", name="a.old", input={"groupName": "a b"}) == ("BAD_USER_INPUT", ["input", "groupName"])


ORDERED = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "integer"}}}}},
}


async def test_a_payload_that_does_not_fit_is_refused_at_its_place_and_nothing_is_written(acme: Tenant) -> None:
    app = await acme.application()
    await acme.event_type("ordered", schemas={"9": {}, "10": ORDERED}, validatePayload=True)
    bad = {"eventType": "ordered", "payload": {"items": [{"price": "1"}]}}

    assert await acme.fault("MessageCreate", appId=app["id"], input=bad, idempotencyKey="one") == (
        "BAD_USER_INPUT",
        ["input", "payload", "items", "0", "price"],
    )
    raw = {"eventType": "ordered", "rawPayload": '{"items": [{}, {"price": 1.5}]}'}
    assert (await acme.fault("MessageCreate", appId=app["id"], input=raw))[1] == ["input", "rawPayload", "items", "1", "price"]
    for text, reason in (
        ("no JSON", "The text is not valid JSON: "),
        ("[" * 200 + "]" * 200, "The JSON is nested more than 128 levels deep."),
    ):
        (error,) = (await acme.run("MessageCreate", appId=app["id"], input={**raw, "rawPayload": text}))["errors"]
        assert error["path"] == ["input", "rawPayload"]
        assert error["message"].startswith(f"The payload does not fit the schema of ordered: it cannot be read. {reason}")
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == []
    new = {"application": {"uid": "made.alongside", "name": "n"}}
    assert (await acme.fault("MessageCreate", appId="made.alongside", input={**bad, **new}))[0] == "BAD_USER_INPUT"
    assert await acme.run("Application", id="made.alongside") is None
    good = await acme.run("MessageCreate", appId=app["id"], input={**bad, "payload": {"items": [{"price": 1}]}}, idempotencyKey="one")
    assert (good["created"], good["errors"]) == (True, []), "what was refused did not take the key"


async def test_each_message_of_a_batch_is_held_against_its_schema(acme: Tenant) -> None:
    app = await acme.application()
    await acme.event_type("ordered", schemas={"1": ORDERED}, validatePayload=True)
    payloads = [{"items": []}, {}, {"items": [{"price": True}]}, {"items": [{"price": 3}]}]
    inputs = [{"eventType": "ordered", "payload": payload} for payload in payloads] + [{"eventType": "other", "payload": {}}]

    results = (await acme.run("MessageCreateBatch", appId=app["id"], inputs=inputs))["results"]

    paths = [[error["path"] for error in result["errors"]] for result in results]
    assert paths == [[], [["inputs", "1", "payload"]], [["inputs", "2", "payload", "items", "0", "price"]], [], []]
    assert len((await acme.run("Messages", appId=app["id"]))["nodes"]) == 3


async def test_a_changed_schema_counts_at_once(acme: Tenant) -> None:
    app = await acme.application()
    await acme.event_type("ordered", schemas={"1": ORDERED}, validatePayload=True)
    message = {"eventType": "ordered", "payload": {"total": 5}}

    for kind, fits in (("integer", True), ("string", False), ("integer", True)):
        schema = {"required": ["total"], "properties": {"total": {"type": kind}}}
        await acme.do("EventTypePatch", name="ordered", input={"schemas": {"1": schema}})
        errors = (await acme.run("MessageCreate", appId=app["id"], input=message))["errors"]
        assert [error["path"] for error in errors] == ([] if fits else [["input", "payload", "total"]])

    await acme.do("EventTypePatch", name="ordered", input={"validatePayload": False, "schemas": {"1": ORDERED}})
    await acme.message(app, **message)
    await acme.do("EventTypePatch", name="ordered", input={"validatePayload": True})
    assert (await acme.fault("MessageCreate", appId=app["id"], input=message))[1] == ["input", "payload"]
    await acme.do("EventTypeDelete", name="ordered")
    await acme.message(app, **message)


async def test_a_pattern_of_an_organisation_cannot_hold_up_the_service(acme: Tenant) -> None:
    app = await acme.application()
    await acme.event_type("evil", schemas={"1": {"properties": {"a": {"pattern": "(a+)+$"}}}}, validatePayload=True)
    began = time.monotonic()

    fault = await acme.fault("MessageCreate", appId=app["id"], input={"eventType": "evil", "payload": {"a": "a" * 50_000 + "b"}})

    assert fault == ("BAD_USER_INPUT", ["input", "payload", "a"])
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": {"pattern": "(?=a)"}}}, ["properties", "a", "pattern"]),
        ({"$ref": "https://example.com/schema.json"}, ["$ref"]),
        ({"$ref": "#"}, ["$ref"]),
    ],
)
async def test_payloads_are_not_held_against_what_they_cannot_be(acme: Tenant, schema: object, path: list[str]) -> None:
    values = {"name": "a", "description": "", "schemas": {"1": schema}}
    fault = await acme.fault("EventTypeCreate", input={**values, "validatePayload": True})
    assert fault == ("BAD_USER_INPUT", ["input", "schemas", "1", *path])
    assert await acme.run("EventType", name="a") is None

    await acme.do("EventTypeCreate", input=values)
    fault = await acme.fault("EventTypePatch", name="a", input={"validatePayload": True})
    assert fault == ("BAD_USER_INPUT", ["input", "validatePayload"])
    assert (await acme.run("EventType", name="a"))["validatePayload"] is False
