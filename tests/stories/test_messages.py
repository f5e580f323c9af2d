"""Stories of messages: from one mutation to a signed, recorded delivery."""

from __future__ import annotations

import asyncio
import json

import pytest
from standardwebhooks.webhooks import Webhook

from graphook import database
from tests.deployment import Deployment
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant


async def test_a_message_is_delivered_signed_and_recorded(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    secret = (await acme.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"]))["key"]

    message = await acme.message(app, payload={"amount": 1299, "currency": "EUR"})

    (attempt,) = await acme.settled(app, message)
    (request,) = receiver.got()
    assert Webhook(secret).verify(request.body, request.headers) == {"amount": 1299, "currency": "EUR"}
    assert request.headers["webhook-id"] == message["id"]
    assert request.headers["content-type"] == "application/json"
    assert request.body == b'{"amount":1299,"currency":"EUR"}'
    assert attempt["status"] == "SUCCESS"
    assert attempt["responseStatusCode"] == 200
    assert attempt["response"] == "ok"
    assert attempt["triggerType"] == "SCHEDULED"
    assert attempt["url"] == receiver.url()


async def test_a_message_is_read_back_whole_by_id_and_by_event_id(acme: Tenant) -> None:
    app = await acme.application()
    values = {"eventId": "evt-1", "channels": ["red"], "tags": ["eu"], "payload": {"deep": [1, {"x": None}], "text": "ü"}}
    message = await acme.message(app, **values)

    assert {key: message[key] for key in values} == values
    assert message["rawPayload"] == '{"deep":[1,{"x":null}],"text":"ü"}'
    assert await acme.run("Message", appId=app["id"], id=message["id"]) == message
    assert await acme.run("Message", appId=app["id"], id="evt-1") == message
    assert await acme.run("Message", appId=app["id"], id="evt-2") is None


async def test_a_raw_payload_goes_out_byte_for_byte(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    raw = '{ "price": 1.10,  "big": 12345678901234567890123 }'

    message = await acme.message(app, rawPayload=raw)

    await acme.settled(app, message)
    assert receiver.got()[0].body.decode() == raw
    assert message["rawPayload"] == raw
    assert message["payload"] is None, "a number in it does not fit; rawPayload has it"


async def test_an_event_id_is_accepted_once(acme: Tenant) -> None:
    app, other = await acme.application(), await acme.application()
    await acme.message(app, eventId="e")

    fault = await acme.fault("MessageCreate", appId=app["id"], input={"eventType": "a", "payload": {}, "eventId": "e"})
    assert fault == ("CONFLICT", ["input", "eventId"])
    await acme.message(other, eventId="e")
    assert len((await acme.run("Messages", appId=app["id"]))["nodes"]) == 1


async def test_repeating_with_an_idempotency_key_sends_once(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    values = {"appId": app["id"], "input": {"eventType": "a", "payload": {"n": 1}}, "idempotencyKey": "order-1"}

    payloads = await asyncio.gather(*(acme.run("MessageCreate", **values) for _ in range(20)))

    (message_id,) = {payload["message"]["id"] for payload in payloads}
    assert sum(payload["created"] for payload in payloads) == 1
    assert payloads[0]["message"] == payloads[1]["message"]
    await acme.settled(app, {"id": message_id})
    assert len(receiver.got()) == 1
    changed = {**values, "input": {"eventType": "a", "payload": {"n": 2}}}
    assert (await acme.fault("MessageCreate", **changed))[0] == "IDEMPOTENCY_KEY_REUSED"


async def test_an_idempotency_key_whose_message_is_past_its_retention_is_told_as_such(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    one = {"appId": app["id"], "input": {"eventType": "a", "payload": {"n": 1}}, "idempotencyKey": "order-1"}
    many = {"appId": app["id"], "inputs": [{"eventType": "a", "payload": {"n": n}} for n in range(3)], "idempotencyKey": "b"}
    ids = [(await acme.do("MessageCreate", **one))["id"]]
    ids += [result["message"]["id"] for result in (await acme.run("MessageCreateBatch", **many))["results"]]

    async with database.connected(deployment.database_url), database.transaction() as session:
        await session.fetch_text(f"DELETE FROM message WHERE id IN ('{ids[0]}', '{ids[2]}')")

    assert await acme.fault("MessageCreate", **one) == ("NOT_FOUND", ["idempotencyKey"])
    results = (await acme.run("MessageCreateBatch", **many))["results"]
    assert [result["message"] and result["message"]["id"] for result in results] == [ids[1], None, ids[3]]
    assert [error["code"] for error in results[1]["errors"]] == ["NOT_FOUND"]


async def test_a_batch_has_a_result_per_message_and_one_failure_fails_no_other(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    inputs = [{"eventType": "tick", "payload": {"n": n}, "eventId": f"e{n % 4}"} for n in range(5)]
    inputs.append({"eventType": "bad type", "payload": {}})

    results = (await acme.run("MessageCreateBatch", appId=app["id"], inputs=inputs))["results"]

    assert [result["message"] and result["message"]["payload"]["n"] for result in results] == [0, 1, 2, 3, None, None]
    assert results[4]["errors"][0]["code"] == "CONFLICT"
    assert results[4]["errors"][0]["path"] == ["inputs", "4", "eventId"]
    assert results[5]["errors"][0]["path"] == ["inputs", "5", "eventType"]
    requests = await receiver.wait_for(4)
    assert sorted(json.loads(request.body)["n"] for request in requests) == [0, 1, 2, 3]


async def test_five_hundred_messages_go_in_one_batch_and_one_more_is_refused(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    inputs = [{"eventType": "tick", "payload": {"n": n}} for n in range(501)]

    code, path = await acme.fault("MessageCreateBatch", appId=app["id"], inputs=inputs)
    assert (code, path) == ("BAD_USER_INPUT", ["inputs"])

    results = (await acme.run("MessageCreateBatch", appId=app["id"], inputs=inputs[:500], idempotencyKey="b"))["results"]
    again = (await acme.run("MessageCreateBatch", appId=app["id"], inputs=inputs[:500], idempotencyKey="b"))["results"]
    assert [result["message"]["id"] for result in results] == [result["message"]["id"] for result in again]
    requests = await receiver.wait_for(500)
    assert sorted(json.loads(request.body)["n"] for request in requests) == list(range(500))


async def test_the_application_is_created_alongside_when_there_is_none(acme: Tenant, receiver: Receiver) -> None:
    alongside = {"eventType": "a", "payload": {}, "application": {"name": "New", "uid": "new-app", "metadata": {"k": "v"}}}

    message = await acme.do("MessageCreate", appId="new-app", input=alongside)

    app = await acme.run("Application", id="new-app")
    assert (app["name"], app["metadata"]) == ("New", {"k": "v"})
    assert (await acme.run("Message", appId="new-app", id=message["id"]))["id"] == message["id"]
    await acme.do("MessageCreate", appId="new-app", input={**alongside, "application": {"name": "Other", "uid": "new-app"}})
    assert (await acme.run("Application", id="new-app"))["name"] == "New"
    fault = await acme.fault("MessageCreate", appId="elsewhere", input=alongside)
    assert fault == ("BAD_USER_INPUT", ["input", "application", "uid"])
    assert await acme.fault("MessageCreate", appId="nowhere", input={"eventType": "a", "payload": {}}) == ("NOT_FOUND", ["appId"])


async def test_messages_are_listed_newest_first_and_filtered(acme: Tenant) -> None:
    app = await acme.application()
    first = await acme.message(app, eventType="a", channels=["red", "blue"], tags=["t1"])
    second = await acme.message(app, eventType="b", channels=["blue"])
    third = await acme.message(app, eventType="c", tags=["t1", "t2"])

    async def listed(**filter: object) -> list[str]:
        return [node["id"] for node in (await acme.run("Messages", appId=app["id"], filter=filter))["nodes"]]

    assert await listed() == [third["id"], second["id"], first["id"]]
    assert await listed(channel="red") == [first["id"]]
    assert await listed(channel="blue") == [second["id"], first["id"]]
    assert await listed(tag="t1") == [third["id"], first["id"]]
    assert await listed(eventTypes=["a", "b"]) == [second["id"], first["id"]]
    assert await listed(eventTypes=["b", "c"], tag="t2") == [third["id"]]
    assert await listed(createdBefore=first["timestamp"]) == []
    assert await listed(createdAfter="2099-01-01T00:00:00Z") == []
    assert await listed(createdAfter="2020-01-01T00:00:00+02:00", createdBefore="2099-01-01T00:00:00Z") == await listed()


async def test_an_expunged_payload_is_gone_and_cannot_be_sent_again(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    message = await acme.message(app)
    await acme.settled(app, message)

    expunged = await acme.do("MessageExpungeContent", appId=app["id"], messageId=message["id"])

    assert (expunged["payload"], expunged["rawPayload"]) == ({"expired": True}, None)
    arguments = {"appId": app["id"], "messageId": message["id"], "endpointId": endpoint["id"]}
    assert await acme.fault("MessageAttemptResend", **arguments) == ("MISSING_PAYLOAD", ["messageId"])
    assert len(await acme.attempts(app, message)) == 1


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, ["input", "payload"]),
        ({"payload": {}, "rawPayload": "{}"}, ["input", "payload"]),
        ({"payload": [1]}, ["input", "payload"]),
        ({"payload": "text"}, ["input", "payload"]),
        ({"rawPayload": ""}, ["input", "rawPayload"]),
        ({"rawPayload": "x" * (1024 * 1024 + 1)}, ["input", "rawPayload"]),
        ({"payload": {"x": "y" * (1024 * 1024)}}, ["input", "payload"]),
        ({"payload": {}, "payloadRetentionPeriod": 4}, ["input", "payloadRetentionPeriod"]),
        ({"payload": {}, "payloadRetentionPeriod": 91}, ["input", "payloadRetentionPeriod"]),
        ({"payload": {}, "channels": []}, ["input", "channels"]),
        ({"payload": {}, "channels": list("abcdef")}, ["input", "channels"]),
        ({"payload": {}, "tags": ["a", "a"]}, ["input", "tags", "1"]),
        ({"payload": {}, "eventId": "msg_x"}, ["input", "eventId"]),
        ({"payload": {}, "eventId": "a\n"}, ["input", "eventId"]),
        ({"payload": {}, "application": {"name": "", "uid": "x"}}, ["input", "application", "name"]),
    ],
)
async def test_a_bad_message_is_refused_with_its_path_and_nothing_is_written(
    acme: Tenant, values: dict[str, object], path: list[str]
) -> None:
    app = await acme.application()

    assert (await acme.fault("MessageCreate", appId=app["id"], input={"eventType": "a", **values}))[1] == path

    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == []


async def test_a_payload_of_one_mebibyte_and_sixty_four_levels_is_taken(acme: Tenant) -> None:
    app = await acme.application()
    deep: dict[str, object] = {}
    for _ in range(63):
        deep = {"d": deep}

    await acme.message(app, payload=deep)
    code, path = await acme.fault("MessageCreate", appId=app["id"], input={"eventType": "a", "payload": {"d": deep}})
    assert (code, path) == ("BAD_USER_INPUT", ["input", "payload"])
    await acme.message(app, rawPayload="x" * (1024 * 1024))


async def test_listing_in_a_foreign_application_is_not_found(acme: Tenant, rival: Tenant) -> None:
    app = await rival.application()

    for name, more in (("Messages", {}), ("Endpoints", {}), ("MessageAttempts", {"messageId": "m"})):
        with pytest.raises(Refused) as refused:
            await acme.run(name, appId=app["id"], **more)
        assert (refused.value.code, refused.value.path) == ("NOT_FOUND", ["appId"])
