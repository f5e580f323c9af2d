"""Stories of messages: from one mutation to a signed, recorded delivery."""

from __future__ import annotations

from standardwebhooks.webhooks import Webhook

from tests.receiver import Receiver
from tests.tenant import Tenant


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


async def test_a_failed_attempt_is_retried_with_the_same_id_and_a_new_timestamp(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 500, 503)

    message = await acme.message(app)

    attempts = await acme.settled(app, message)
    assert [a["status"] for a in attempts] == ["SUCCESS", "FAIL", "FAIL"]
    assert [a["responseStatusCode"] for a in attempts] == [200, 503, 500]
    assert attempts[0]["nextAttempt"] is None
    assert attempts[1]["nextAttempt"] is not None
    assert {request.headers["webhook-id"] for request in receiver.got()} == {message["id"]}
