"""Stories of messages that are delivered later, and of what is canceled or forgotten before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graphook import database
from resolvers.new_message import SOONEST
from tests.deployment import Deployment
from tests.receiver import Receiver
from tests.stories.test_replay import finished
from tests.tenant import Tenant
from tests.waiting import until


def ahead(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


async def test_a_create_is_repeated_with_its_key_although_it_could_not_be_made_now(acme: Tenant) -> None:
    """What a client does that was told UNAVAILABLE, a little later."""
    app = await acme.application()
    soon = datetime.now(UTC) + SOONEST + timedelta(seconds=1.5)
    one = {"appId": app["id"], "input": {"eventType": "a", "payload": {}, "deliverAt": soon.isoformat()}, "idempotencyKey": "one"}
    several = {"appId": app["id"], "inputs": [one["input"]], "idempotencyKey": "several"}
    sent = await acme.do("MessageCreate", **one)
    (of_several,) = (await acme.run("MessageCreateBatch", **several))["results"]
    await until(lambda: soon - datetime.now(UTC) < SOONEST, "it to be too late")

    again = await acme.run("MessageCreate", **one)
    (again_of_several,) = (await acme.run("MessageCreateBatch", **several))["results"]

    assert (again["message"]["id"], again["created"]) == (sent["id"], False)
    assert (again_of_several["message"]["id"], again_of_several["created"]) == (of_several["message"]["id"], False)
    assert await acme.fault("MessageCreate", **one | {"idempotencyKey": "new"}) == ("BAD_USER_INPUT", ["input", "deliverAt"])
    reused = one | {"input": {**one["input"], "eventType": "b"}}
    assert (await acme.fault("MessageCreate", **reused))[0] == "IDEMPOTENCY_KEY_REUSED"


async def make_due(deployment: Deployment, message: Any) -> None:
    """As if the time had come."""
    async with database.connected(deployment.database_url), database.transaction() as session:
        await session.fetch_text(f"UPDATE delivery SET due_at = 1 WHERE message_id = '{message['id']}' AND state = 1")


async def standing(tenant: Tenant, app: Any, message: Any) -> list[tuple[str, bool]]:
    nodes = (await tenant.run("MessageDestinations", appId=app["id"], messageId=message["id"]))["nodes"]
    return [(node["status"], node["nextAttempt"] is not None) for node in nodes]


async def test_what_waits_for_a_payload_that_is_expunged_is_canceled_at_once(acme: Tenant) -> None:
    app = await acme.application()
    await acme.endpoint(app, "https://example.com/")
    message = await acme.message(app, deliverAt=ahead(hours=1))
    assert await standing(acme, app, message) == [("PENDING", True)]

    await acme.do("MessageExpungeContent", appId=app["id"], messageId=message["id"])

    assert await standing(acme, app, message) == [("CANCELED", False)]


async def test_a_message_waits_for_its_time(deployment: Deployment, acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    later = await acme.message(app, deliverAt=ahead(hours=2))
    prompt = await acme.message(app)
    await acme.settled(app, prompt)

    assert [r.headers["webhook-id"] for r in receiver.got()] == [prompt["id"]]
    assert datetime.fromisoformat(later["deliverAt"]) > datetime.now(UTC) + timedelta(minutes=119)
    (node,) = (await acme.run("MessageDestinations", appId=app["id"], messageId=later["id"]))["nodes"]
    assert (node["status"], node["nextAttempt"]) == ("PENDING", later["deliverAt"])
    listed = await acme.run("EndpointMessages", appId=app["id"], endpointId=endpoint["id"], filter={"status": "PENDING"})
    assert [(n["message"]["id"], n["nextAttempt"]) for n in listed["nodes"]] == [(later["id"], later["deliverAt"])]
    assert await acme.run("Message", appId=app["id"], id=later["id"]) == later

    await make_due(deployment, later)
    (attempt,) = await acme.settled(app, later)
    assert attempt["triggerType"] == "SCHEDULED"


@pytest.mark.parametrize("time", [{"seconds": 50}, {"hours": 24, "minutes": 1}, {"days": -1}, {"seconds": 0}])
async def test_a_time_too_near_or_too_far_is_refused(acme: Tenant, time: dict[str, float]) -> None:
    app = await acme.application()

    fault = await acme.fault("MessageCreate", appId=app["id"], input={"eventType": "a", "payload": {}, "deliverAt": ahead(**time)})

    assert fault == ("BAD_USER_INPUT", ["input", "deliverAt"])
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == []
    for edge in ({"minutes": 1}, {"hours": 24}):
        assert await acme.message(app, deliverAt=ahead(**edge))


async def test_what_is_pending_of_a_message_is_canceled_for_one_endpoint_or_all(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoints = [await acme.endpoint(app, receiver.url()) for _ in range(3)]
    message = await acme.message(app, deliverAt=ahead(hours=1))
    arguments = {"appId": app["id"], "messageId": message["id"]}

    one = await acme.run("MessageCancel", **arguments, endpointId=endpoints[0]["id"])
    assert (one["errors"], one["canceled"], one["message"]["id"]) == ([], 1, message["id"])
    destinations = await acme.destinations(app, message)
    assert sorted(destinations.values()) == ["CANCELED", "PENDING", "PENDING"]
    assert destinations[endpoints[0]["id"]] == "CANCELED"
    assert (await acme.run("MessageCancel", **arguments))["canceled"] == 2
    assert (await acme.run("MessageCancel", **arguments))["canceled"] == 0
    assert await standing(acme, app, message) == [("CANCELED", False)] * 3


@pytest.mark.parametrize(("status", "stands"), [(200, "SUCCESS"), (500, "CANCELED")])
async def test_a_request_that_is_out_when_its_delivery_is_canceled_counts_if_it_succeeds_and_is_not_retried_if_it_fails(
    acme: Tenant, receiver: Receiver, status: int, stands: str
) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    gate = receiver.hold("/hook")
    receiver.answers("/hook", status)
    message = await acme.message(app)
    await receiver.wait_for(1)

    assert (await acme.run("MessageCancel", appId=app["id"], messageId=message["id"]))["canceled"] == 1
    gate.set()

    await until(lambda: recorded(acme, app, message), "the attempt to be recorded")
    (attempt,) = await acme.settled(app, message, stands)
    assert attempt["responseStatusCode"] == status


async def recorded(tenant: Tenant, app: Any, message: Any) -> bool:
    return len(await tenant.attempts(app, message)) == 1


async def test_many_messages_are_canceled_by_a_task(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint, other = await acme.endpoint(app, receiver.url()), await acme.endpoint(app, receiver.url())
    messages = [await acme.message(app, eventType=kind, deliverAt=ahead(hours=1)) for kind in ("a", "b", "a")]
    whole = {"createdBefore": ahead(hours=1)}

    async def cancel(**more: Any) -> Any:
        done = await finished(acme, await acme.do("MessagesCancel", appId=app["id"], input={**whole, **more}))
        return done["status"], done["task"], done["data"]["deliveriesCanceled"]

    kind = "APPLICATION_CANCEL_MESSAGES"
    assert await cancel(createdBefore=messages[0]["timestamp"]) == ("FINISHED", kind, 0)
    assert await cancel(eventTypes=["a"], endpointId=endpoint["id"]) == ("FINISHED", kind, 2)
    assert await cancel(endpointId=other["id"]) == ("FINISHED", kind, 3)
    assert await acme.destinations(app, messages[1]) == {endpoint["id"]: "PENDING", other["id"]: "CANCELED"}
    assert await cancel() == ("FINISHED", kind, 1)
    late = await acme.message(app, deliverAt=ahead(hours=1))
    assert set((await acme.destinations(app, late)).values()) == {"PENDING"}


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"createdBefore": "2026-01-01T00:00:00Z", "createdAfter": "2026-02-01T00:00:00Z"}, ["input", "createdAfter"]),
        ({"createdBefore": "2026-01-01T00:00:00Z", "eventTypes": []}, ["input", "eventTypes"]),
    ],
)
async def test_a_cancellation_that_makes_no_sense_is_refused(acme: Tenant, values: dict[str, Any], path: list[str]) -> None:
    app = await acme.application()

    assert await acme.fault("MessagesCancel", appId=app["id"], input=values) == ("BAD_USER_INPUT", path)
    unknown = {"createdBefore": "2026-01-01T00:00:00Z", "endpointId": "unknown"}
    assert await acme.fault("MessagesCancel", appId=app["id"], input=unknown) == ("NOT_FOUND", ["input", "endpointId"])
    assert (await acme.run("BackgroundTasks"))["nodes"] == []


async def test_all_contents_of_an_application_are_forgotten_and_nothing_else(acme: Tenant, receiver: Receiver) -> None:
    app, other = await acme.application(), await acme.application()
    for each in (app, other):
        await acme.endpoint(each, receiver.url())
    sent, kept = await acme.message(app), await acme.message(other)
    for each, message in ((app, sent), (other, kept)):
        await acme.settled(each, message)
    waiting = await acme.message(app, deliverAt=ahead(hours=1))

    done = await finished(acme, await acme.do("ApplicationPurgeContent", appId=app["id"]))

    assert (done["status"], done["task"]) == ("FINISHED", "APPLICATION_PURGE_CONTENT")
    assert done["data"] == {"payloadsExpunged": 2, "responsesExpunged": 1}
    for message in (sent, waiting):
        gone = await acme.run("Message", appId=app["id"], id=message["id"])
        assert (gone["payload"], gone["rawPayload"]) == ({"expired": True}, None)
    assert (await acme.attempts(app, sent))[0]["response"] == "EXPUNGED"
    assert await standing(acme, app, waiting) == [("CANCELED", False)]
    assert (await acme.run("Message", appId=other["id"], id=kept["id"]))["payload"] == kept["payload"]
    assert (await acme.attempts(other, kept))[0]["response"] == "ok"
    assert (await acme.message(app))["payload"] is not None
