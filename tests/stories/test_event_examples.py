"""Stories of examples: made from a schema, and sent to one endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from tests.receiver import Receiver
from tests.tenant import Tenant


async def test_an_example_is_made_from_a_schema(acme: Tenant) -> None:
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "format": "uuid"}, "n": {"minimum": 3}}}

    first = await acme.do("EventTypeGenerateExample", input={"schema": schema})

    assert first == {"example": {"id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "n": 3}}
    assert await acme.do("EventTypeGenerateExample", input={"schema": schema}) == first


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ([], []),
        ("text", []),
        ({"properties": {"a": {"type": "nonsense"}}}, ["properties", "a", "type"]),
        ({"not": {}}, []),
        ({"$ref": "#"}, []),
        ({"$ref": "https://example.com/"}, []),
        ({"type": "string", "minLength": 1_000_000_000}, []),
        ({"description": "a\0b"}, []),
    ],
)
async def test_a_schema_without_an_example_is_refused(acme: Tenant, schema: Any, path: list[str]) -> None:
    assert await acme.fault("EventTypeGenerateExample", input={"schema": schema}) == ("BAD_USER_INPUT", ["input", "schema", *path])


async def test_an_example_goes_to_one_endpoint_only(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.event_type("given", schemas={"1": {"examples": [{"old": 1}]}, "2": {"examples": [{"new": 2}, {"newer": 3}]}})
    await acme.event_type("made", schemas={"1": {"properties": {"ok": {"type": "boolean"}}}}, validatePayload=True)
    await acme.event_type("other")
    endpoint = await acme.endpoint(app, receiver.url(), filterTypes=["other"], channels=["x"])
    await acme.endpoint(app, receiver.url("/never"))

    for name, payload in (("given", {"new": 2}), ("made", {"ok": True})):
        sent = await acme.do("EndpointSendExample", appId=app["id"], endpointId=endpoint["id"], input={"eventType": name})
        (attempt,) = await acme.settled(app, sent)
        assert (sent["payload"], sent["eventType"], attempt["triggerType"]) == (payload, name, "SCHEDULED")
        assert await acme.destinations(app, sent) == {endpoint["id"]: "SUCCESS"}
    assert [request.path for request in receiver.requests] == ["/hook", "/hook"]

    variables = {"appId": app["id"], "endpointId": endpoint["id"], "input": {"eventType": "given"}, "idempotencyKey": "once"}
    first, again = [await acme.run("EndpointSendExample", **variables) for _ in range(2)]
    assert (first["created"], again["created"], again["message"]["id"]) == (True, False, first["message"]["id"])


async def test_an_example_that_was_sent_is_named_by_its_key_whatever_has_changed_since(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.event_type("given", schemas={"1": {"examples": [{"n": 1}]}})
    endpoint = await acme.endpoint(app, receiver.url())
    variables = {"appId": app["id"], "endpointId": endpoint["id"], "input": {"eventType": "given"}, "idempotencyKey": "once"}
    sent = await acme.do("EndpointSendExample", **variables)

    await acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"disabled": True})
    assert await acme.do("EndpointSendExample", **variables) == sent
    await acme.do("EventTypePatch", name="given", input={"schemas": None})
    assert await acme.do("EndpointSendExample", **variables) == sent
    await acme.do("EventTypeDelete", name="given", expunge=True)
    assert await acme.do("EndpointSendExample", **variables) == sent

    assert await acme.fault("EndpointSendExample", **{**variables, "input": {"eventType": "other"}}) == (
        "IDEMPOTENCY_KEY_REUSED",
        ["idempotencyKey"],
    )


async def test_an_example_is_refused_where_there_is_none_or_nobody_to_get_it(acme: Tenant, rival: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    closed = await acme.endpoint(app, "https://example.com/", disabled=True)
    await acme.event_type("bare")
    await acme.event_type("whole", schemas={"1": {"examples": [1]}})
    await acme.event_type("none", schemas={"1": {"not": {}}})

    async def fault(name: str, of: Any = endpoint, tenant: Tenant = acme) -> tuple[str, list[str] | None]:
        return await tenant.fault("EndpointSendExample", appId=app["id"], endpointId=of["id"], input={"eventType": name})

    assert await fault("bare") == ("BAD_USER_INPUT", ["input", "eventType"])
    assert await fault("none") == ("BAD_USER_INPUT", ["input", "eventType"])
    assert await fault("unknown") == ("NOT_FOUND", ["input", "eventType"])
    assert await fault("whole", closed) == ("ENDPOINT_DISABLED", ["endpointId"])
    assert await fault("whole", tenant=rival) == ("NOT_FOUND", ["appId"])
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == []
