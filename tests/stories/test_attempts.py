"""Stories of attempts: what is recorded, how it is found again, and sending once more."""

from __future__ import annotations

import base64

import pytest

from tests.receiver import Receiver
from tests.servers import free_port
from tests.tenant import Refused, Tenant
from tests.waiting import until


async def test_a_failed_attempt_is_retried_with_the_same_id(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 500, 503)

    message = await acme.message(app)

    attempts = await acme.settled(app, message)
    assert [(a["status"], a["responseStatusCode"]) for a in attempts] == [("SUCCESS", 200), ("FAIL", 503), ("FAIL", 500)]
    assert attempts[0]["nextAttempt"] is None
    assert attempts[1]["nextAttempt"] is not None
    assert {request.headers["webhook-id"] for request in receiver.got()} == {message["id"]}


async def test_a_delivery_fails_when_the_schedule_is_exhausted(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 500, 500, 500, 500)

    message = await acme.message(app)

    attempts = await acme.settled(app, message, "FAIL")
    assert len(attempts) == 3, "once at once and once per step of the schedule"
    assert attempts[0]["nextAttempt"] is None


async def test_a_redirect_is_a_failure_and_is_not_followed(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 308, 308, 308)
    receiver.extra["Location"] = receiver.url("/elsewhere")

    attempts = await acme.settled(app, await acme.message(app), "FAIL")

    assert {attempt["responseStatusCode"] for attempt in attempts} == {308}
    assert receiver.got("/elsewhere") == []


async def test_a_refused_connection_is_recorded_as_status_zero_with_a_reason(acme: Tenant) -> None:
    app = await acme.application()
    await acme.endpoint(app, f"http://127.0.0.1:{free_port()}/")

    attempts = await acme.settled(app, await acme.message(app), "FAIL")

    assert {(attempt["responseStatusCode"], attempt["errorCode"]) for attempt in attempts} == {(0, "connection")}
    assert "127.0.0.1" not in attempts[0]["response"]


async def test_a_receiver_that_hangs_times_out(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    receiver.hold("/hook")

    message = await acme.message(app)

    async def recorded() -> bool:
        return bool(await acme.attempts(app, message))

    await until(recorded, "the first attempt")
    attempt = (await acme.attempts(app, message))[-1]
    assert (attempt["responseStatusCode"], attempt["errorCode"], attempt["status"]) == (0, "timeout", "FAIL")
    assert attempt["responseDurationMs"] >= 4900
    assert "timed out" in attempt["response"]


async def test_a_binary_response_is_kept_as_base64_and_a_long_one_is_cut(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url("/binary"))
    await acme.endpoint(app, receiver.url("/long"))
    receiver.bodies["/binary"] = b"\xff\x00\xfe"
    receiver.bodies["/long"] = b"y" * 50_000

    attempts = {a["url"].rpartition("/")[2]: a for a in await acme.settled(app, await acme.message(app))}

    assert attempts["binary"]["responseIsBase64"] is True
    assert base64.b64decode(attempts["binary"]["response"]) == b"\xff\x00\xfe"
    assert attempts["long"]["response"] == "y" * 20_000


async def test_attempts_are_listed_by_message_and_by_endpoint_with_every_filter(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    good = await acme.endpoint(app, receiver.url("/good"), uid="good")
    bad = await acme.endpoint(app, receiver.url("/bad"))
    receiver.answers("/bad", 404, 404, 404)
    first = await acme.message(app, eventType="a", channels=["red"], tags=["t"])
    await acme.settled(app, first, "SUCCESS", "FAIL")
    second = await acme.message(app, eventType="b")
    await acme.settled(app, second)

    async def count(**arguments: object) -> int:
        return len((await acme.run("MessageAttempts", appId=app["id"], **arguments))["nodes"])

    assert await count(messageId=first["id"]) == 4
    assert await count(messageId=first["id"], filter={"status": "FAIL"}) == 3
    assert await count(messageId=first["id"], filter={"statusCodeClass": "CODE_4XX"}) == 3
    assert await count(messageId=first["id"], filter={"statusCodeClass": "CODE_5XX"}) == 0
    assert await count(messageId=first["id"], filter={"endpointId": "good"}) == 1
    assert await count(endpointId=good["id"]) == 2
    assert await count(endpointId="good", filter={"eventTypes": ["b"]}) == 1
    assert await count(endpointId=bad["id"], filter={"channel": "red"}) == 3
    assert await count(endpointId=bad["id"], filter={"tag": "t", "status": "SUCCESS"}) == 0
    assert await count(endpointId=bad["id"], filter={"createdBefore": first["timestamp"]}) == 0
    assert await count(endpointId=bad["id"], filter={"createdAfter": "2020-01-01T00:00:00Z"}) == 4

    page = await acme.run("MessageAttempts", appId=app["id"], messageId=first["id"], limit=3)
    rest = await acme.run("MessageAttempts", appId=app["id"], messageId=first["id"], limit=3, iterator=page["iterator"])
    assert (page["done"], rest["done"], len(rest["nodes"])) == (False, True, 1)
    ids = [node["id"] for node in (*page["nodes"], *rest["nodes"])]
    assert ids == sorted(ids, reverse=True)


async def test_exactly_one_of_message_and_endpoint_is_asked_for(acme: Tenant) -> None:
    app = await acme.application()

    for arguments in ({}, {"messageId": "m", "endpointId": "e"}):
        with pytest.raises(Refused) as refused:
            await acme.run("MessageAttempts", appId=app["id"], **arguments)
        assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", ["messageId"])


async def test_a_resend_is_one_more_attempt_whatever_the_filters_say(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.event_type("other")
    endpoint = await acme.endpoint(app, receiver.url(), filterTypes=["other"])
    message = await acme.message(app, eventType="this")
    assert await acme.destinations(app, message) == {}

    payload = await acme.run("MessageAttemptResend", appId=app["id"], messageId=message["id"], endpointId=endpoint["id"])

    assert payload == {"accepted": True, "errors": []}
    (attempt,) = await acme.settled(app, message)
    assert attempt["triggerType"] == "MANUAL"
    assert len(receiver.got()) == 1


async def test_a_failing_resend_does_not_cancel_the_scheduled_retries(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 500, 500, 500)
    gate = receiver.hold("/hook")
    message = await acme.message(app)
    await receiver.wait_for(1)

    await acme.run("MessageAttemptResend", appId=app["id"], messageId=message["id"], endpointId=endpoint["id"])
    await receiver.wait_for(2)
    gate.set()

    attempts = await acme.settled(app, message)
    assert sorted(a["triggerType"] for a in attempts) == ["MANUAL", "SCHEDULED", "SCHEDULED", "SCHEDULED"]
    assert [a["status"] for a in attempts if a["triggerType"] == "MANUAL"] == ["FAIL"]
    assert attempts[0]["status"] == "SUCCESS"


async def test_a_resend_to_a_disabled_endpoint_is_refused(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), disabled=True)
    message = await acme.message(app)

    fault = await acme.fault("MessageAttemptResend", appId=app["id"], messageId=message["id"], endpointId=endpoint["id"])

    assert fault == ("ENDPOINT_DISABLED", ["endpointId"])
    assert await acme.attempts(app, message) == []


async def test_an_expunged_response_reads_expunged(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    message = await acme.message(app)
    (attempt,) = await acme.settled(app, message)

    await acme.do("MessageAttemptExpungeContent", appId=app["id"], messageId=message["id"], id=attempt["id"])

    found = await acme.run("MessageAttempt", appId=app["id"], messageId=message["id"], id=attempt["id"])
    assert (found["response"], found["responseStatusCode"]) == ("EXPUNGED", 200)


async def test_destinations_say_how_the_message_stands_with_each_endpoint(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoints = [await acme.endpoint(app, receiver.url(f"/{n}")) for n in range(3)]
    receiver.answers("/1", 500, 500, 500)
    gate = receiver.hold("/2")
    message = await acme.message(app)

    async def halfway() -> bool:
        found = await acme.destinations(app, message)
        return [found[endpoint["id"]] for endpoint in endpoints] == ["SUCCESS", "FAIL", "SENDING"]

    await until(halfway, "success, failure and a delivery on its way")
    gate.set()
    await acme.settled(app, message, "SUCCESS", "FAIL")
    page = await acme.run("MessageDestinations", appId=app["id"], messageId=message["id"], first=2)
    assert [node["endpointId"] for node in page["nodes"]] == [endpoint["id"] for endpoint in endpoints[:2]]
    assert page["nodes"][0]["endpoint"]["url"] == receiver.url("/0")
    assert page["nodes"][0]["message"]["id"] == message["id"]
    assert page["done"] is False


async def test_the_destinations_of_a_message_show_an_endpoint_that_was_deleted_and_nothing_else_does(
    acme: Tenant, receiver: Receiver
) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    message = await acme.message(app)
    await acme.settled(app, message, "SUCCESS")
    await acme.do("EndpointDelete", appId=app["id"], id=endpoint["id"])

    (shown,) = (await acme.run("MessageDestinations", appId=app["id"], messageId=message["id"]))["nodes"]
    assert (shown["status"], shown["endpoint"]["url"]) == ("SUCCESS", receiver.url())
    assert await acme.run("Endpoint", appId=app["id"], id=endpoint["id"]) is None
    assert await acme.execute("query ($id: ID!) { node(id: $id) { id } }", {"id": endpoint["id"]}) is None
    assert (await acme.run("Endpoints", appId=app["id"]))["nodes"] == []
