"""Stories of finding messages: by what they carry, and by how they stand with an endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from tests.receiver import Receiver
from tests.tenant import Refused, Tenant


async def test_a_message_is_found_by_its_event_id_together_with_other_filters(acme: Tenant) -> None:
    app, other = await acme.application(), await acme.application()
    message = await acme.message(app, eventId="order-1", eventType="a", tags=["t"])
    await acme.message(app, eventId="order-2", eventType="a", tags=["t"])
    await acme.message(other, eventId="order-1")

    async def listed(**filter: Any) -> list[str]:
        return [node["id"] for node in (await acme.run("Messages", appId=app["id"], filter=filter))["nodes"]]

    assert await listed(eventId="order-1") == [message["id"]]
    assert await listed(eventId="order-1", tag="t", eventTypes=["a"], createdAfter="2020-01-01T00:00:00Z") == [message["id"]]
    assert await listed(eventId="order-1", tag="u") == []
    assert await listed(eventId="order-3") == []
    for event_id in ("", "a b", "x" * 257):
        with pytest.raises(Refused) as refused:
            await listed(eventId=event_id)
        assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", ["filter", "eventId"])


async def test_the_messages_of_an_endpoint_are_listed_with_how_they_stand(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    other = await acme.endpoint(app, receiver.url("/other"), channels=["other"])
    good = await acme.message(app, eventType="a", tags=["t"], eventId="e-1")
    await acme.settled(app, good)
    receiver.answers("/hook", *[500] * 3)
    bad = await acme.message(app, eventType="b")
    await acme.settled(app, bad, "FAIL")
    gate = receiver.hold("/hook")
    going = await acme.message(app, eventType="b", channels=["c"])
    await receiver.wait_for(5)

    async def listed(**filter: Any) -> dict[str, str]:
        page = await acme.run("EndpointMessages", appId=app["id"], endpointId=endpoint["id"], filter=filter)
        return {node["message"]["id"]: node["status"] for node in page["nodes"]}

    every = {going["id"]: "SENDING", bad["id"]: "FAIL", good["id"]: "SUCCESS"}
    assert list((await listed()).items()) == list(every.items()), "newest first"
    for message_id, status in every.items():
        assert await listed(status=status) == {message_id: status}
    assert await listed(status="PENDING") == await listed(status="CANCELED") == {}
    assert await listed(eventTypes=["b"], status="FAIL") == {bad["id"]: "FAIL"}
    assert await listed(tag="t") == await listed(eventId="e-1") == await listed(createdBefore=bad["timestamp"]) == {good["id"]: "SUCCESS"}
    assert await listed(channel="c") == {going["id"]: "SENDING"}
    first = await acme.run("EndpointMessages", appId=app["id"], endpointId=endpoint["id"], limit=2)
    assert (len(first["nodes"]), first["done"], first["iterator"]) == (2, False, bad["id"])
    assert first["nodes"][1]["message"] == bad
    rest = await acme.run("EndpointMessages", appId=app["id"], endpointId=endpoint["id"], limit=2, iterator=first["iterator"])
    assert [node["message"]["id"] for node in rest["nodes"]] == [good["id"]]
    assert (await acme.run("EndpointMessages", appId=app["id"], endpointId=other["id"]))["nodes"] == []
    gate.set()
    await acme.settled(app, going)


async def test_a_message_that_failed_and_was_resent_stands_as_its_best_run(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", *[500] * 3)
    message = await acme.message(app)
    await acme.settled(app, message, "FAIL")
    await acme.run("MessageAttemptResend", appId=app["id"], messageId=message["id"], endpointId=endpoint["id"])
    await acme.settled(app, message)

    async def count(status: str) -> int:
        page = await acme.run("EndpointMessages", appId=app["id"], endpointId=endpoint["id"], filter={"status": status})
        return len(page["nodes"])

    assert (await count("SUCCESS"), await count("FAIL")) == (1, 0)


async def test_the_messages_of_a_foreign_endpoint_are_not_found(acme: Tenant, rival: Tenant) -> None:
    app, theirs = await acme.application(), await rival.application()
    endpoint = await rival.endpoint(theirs, "https://example.com/")

    for app_id, path in ((theirs["id"], "appId"), (app["id"], "endpointId")):
        with pytest.raises(Refused) as refused:
            await acme.run("EndpointMessages", appId=app_id, endpointId=endpoint["id"])
        assert (refused.value.code, refused.value.path) == ("NOT_FOUND", [path])
