"""Stories of endpoints: what they get, with which headers, signed by which secrets."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.receiver import Receiver
from tests.tenant import Tenant
from tests.waiting import until

VERIFIABLE = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_an_endpoint_is_created_read_changed_and_deleted(acme: Tenant) -> None:
    app = await acme.application()
    await acme.event_type("a.b")
    values = {"uid": "ep-1", "description": "d", "channels": ["c"], "filterTypes": ["a.b"], "rateLimit": 3, "metadata": {"k": "v"}}
    endpoint = await acme.endpoint(app, "https://example.com/hook", **values)

    assert {key: endpoint[key] for key in values} == values
    assert await acme.run("Endpoint", appId=app["id"], id="ep-1") == endpoint
    patched = await acme.do("EndpointPatch", appId=app["id"], id="ep-1", input={"channels": None, "disabled": True})
    assert (patched["channels"], patched["disabled"], patched["filterTypes"]) == (None, True, ["a.b"])
    assert patched["disabledReason"] is not None
    updated = await acme.do("EndpointUpdate", appId=app["id"], id="ep-1", input={"url": "https://example.com/2"})
    assert (updated["url"], updated["uid"], updated["description"], updated["disabled"]) == ("https://example.com/2", "ep-1", "", False)
    assert await acme.do("EndpointDelete", appId=app["id"], id=endpoint["id"]) == endpoint["id"]
    assert await acme.run("Endpoint", appId=app["id"], id=endpoint["id"]) is None


@pytest.mark.parametrize("body", [{}, {"uid": None}, {"uid": "not-there"}])
async def test_updating_an_unknown_uid_creates_the_endpoint_once(acme: Tenant, body: dict[str, Any]) -> None:
    key = {"appId": (await acme.application())["id"], "id": "not-there"}
    first = await acme.run("EndpointUpdate", **key, input={"url": "https://example.com/1", **body})
    again = await acme.run("EndpointUpdate", **key, input={"url": "https://example.com/2", **body})

    assert (first["created"], again["created"]) == (True, False)
    assert first["endpoint"]["uid"] == again["endpoint"]["uid"] == "not-there"
    assert (again["endpoint"]["id"], again["endpoint"]["url"]) == (first["endpoint"]["id"], "https://example.com/2")


@pytest.mark.parametrize(
    ("reference", "uid", "fault"),
    [
        ("ep_000000000000000000000000000", None, ("NOT_FOUND", ["id"])),
        ("app_1", None, ("INVALID_UID_PREFIX", ["id"])),
        ("not a uid", None, ("BAD_USER_INPUT", ["id"])),
        ("not-there", "elsewhere", ("BAD_USER_INPUT", ["input", "uid"])),
    ],
)
async def test_an_update_creates_no_endpoint_under_another_id(
    acme: Tenant, reference: str, uid: str | None, fault: tuple[str, list[str]]
) -> None:
    app = await acme.application()
    written = {"url": "https://example.com/", "uid": uid}
    assert await acme.fault("EndpointUpdate", appId=app["id"], id=reference, input=written) == fault
    assert (await acme.run("Endpoints", appId=app["id"]))["nodes"] == []


async def test_an_endpoint_is_named_by_its_key_also_where_it_could_not_be_created_any_more(acme: Tenant) -> None:
    app = await acme.application()
    arguments = {"appId": app["id"], "input": {"url": "http://example.com/"}, "idempotencyKey": "k"}
    created = await acme.do("EndpointCreate", **arguments)
    await acme.do("EnvironmentUpdateSettings", input={"enforceHttps": True})

    assert await acme.do("EndpointCreate", **arguments) == created
    assert await acme.fault("EndpointCreate", **{**arguments, "idempotencyKey": "another"}) == ("BAD_USER_INPUT", ["input", "url"])


async def test_a_uid_belongs_to_one_endpoint_of_an_application(acme: Tenant) -> None:
    app, other = await acme.application(), await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/", uid="u")

    fault = await acme.fault("EndpointCreate", appId=app["id"], input={"url": "https://example.com/", "uid": "u"})
    assert fault == ("CONFLICT", ["input", "uid"])
    await acme.endpoint(other, "https://example.com/", uid="u")
    await acme.do("EndpointDelete", appId=app["id"], id=endpoint["id"])
    assert (await acme.endpoint(app, "https://example.com/", uid="u"))["id"] != endpoint["id"]


async def test_endpoints_are_listed_newest_first(acme: Tenant) -> None:
    app = await acme.application()
    ids = [(await acme.endpoint(app, "https://example.com/"))["id"] for _ in range(3)]

    assert [node["id"] for node in (await acme.run("Endpoints", appId=app["id"]))["nodes"]] == ids[::-1]
    ascending = await acme.run("Endpoints", appId=app["id"], order="ASCENDING")
    assert [node["id"] for node in ascending["nodes"]] == ids


async def test_filters_decide_which_endpoint_gets_a_message(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    for name in ("order.paid", "order.sent"):
        await acme.event_type(name)
    endpoints: dict[str, dict[str, Any]] = {
        "/all": {},
        "/paid": {"filterTypes": ["order.paid"]},
        "/red": {"channels": ["red", "blue"]},
        "/paid-red": {"filterTypes": ["order.paid"], "channels": ["red"]},
        "/off": {"disabled": True},
    }
    for path, values in endpoints.items():
        await acme.endpoint(app, receiver.url(path), **values)

    async def reached(**values: object) -> set[str]:
        receiver.requests.clear()
        await acme.settled(app, await acme.message(app, **values))
        return {request.path for request in receiver.requests}

    assert await reached(eventType="order.paid") == {"/all", "/paid"}
    assert await reached(eventType="order.sent") == {"/all"}
    assert await reached(eventType="order.sent", channels=["red"]) == {"/all", "/red"}
    assert await reached(eventType="order.paid", channels=["red", "green"]) == {"/all", "/paid", "/red", "/paid-red"}


@pytest.mark.parametrize("expunge", [False, True])
async def test_what_an_endpoint_or_a_template_filters_already_stays_whatever_becomes_of_its_event_type(acme: Tenant, expunge: bool) -> None:
    app = await acme.application()
    for name in ("old", "live", "gone"):
        await acme.event_type(name)
    endpoint = await acme.endpoint(app, "https://example.com/", filterTypes=["old"])
    draft = {"name": "t", "logo": "https://example.com/logo.png", "transformation": "function handler(webhook) { return webhook; }"}
    template = await acme.do("TemplateCreate", input={**draft, "filterTypes": ["old"]})
    for name in ("old", "gone"):
        await acme.do("EventTypeDelete", name=name, expunge=expunge)

    of_endpoint = {"appId": app["id"], "id": endpoint["id"]}
    for operation, arguments, values in (
        ("EndpointUpdate", of_endpoint, {"url": "https://example.com/"}),
        ("EndpointPatch", of_endpoint, {}),
        ("TemplateUpdate", {"id": template["id"]}, draft),
        ("TemplatePatch", {"id": template["id"]}, {}),
    ):
        assert await acme.fault(operation, **arguments, input={**values, "filterTypes": ["old", "gone"]}) == (
            "BAD_USER_INPUT",
            ["input", "filterTypes", "1"],
        )
        changed = await acme.do(operation, **arguments, input={**values, "filterTypes": ["old", "live"]})
        assert changed["filterTypes"] == ["old", "live"]


async def test_filter_types_must_exist(acme: Tenant) -> None:
    app = await acme.application()
    await acme.event_type("known")
    await acme.event_type("old", archived=True)
    given = {"url": "https://example.com/", "filterTypes": ["known", "nope", "old"]}

    payload = await acme.run("EndpointCreate", appId=app["id"], input=given)

    (error,) = payload["errors"]
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["input", "filterTypes", "1"])
    assert error["message"] == "These event types do not exist or are archived: nope, old."
    assert (await acme.run("Endpoints", appId=app["id"]))["nodes"] == []


async def test_custom_headers_reach_the_receiver_in_their_case_and_a_change_acts_at_once(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), headers={"X-Tenant": "one", "X-API-Key": "s3cret"})
    shown = {header["name"]: (header["value"], header["masked"]) for header in endpoint["headers"]["headers"]}
    assert shown == {"X-Tenant": ("one", False), "X-API-Key": (None, True)}
    assert endpoint["headers"]["sensitive"] == ["X-API-Key"]

    message = await acme.message(app)
    (attempt,) = await acme.settled(app, message)
    (request,) = receiver.got()
    assert (request.headers["x-tenant"], request.headers["x-api-key"]) == ("one", "s3cret")
    assert "X-API-Key" in request.raw_names
    found = await acme.run("MessageAttempt", appId=app["id"], messageId=message["id"], id=attempt["id"])
    sent = {header["name"]: header["value"] for header in found["headers"]["sentHeaders"]}
    assert (sent["X-Tenant"], sent["X-API-Key"]) == ("one", None)
    assert found["headers"]["sensitive"] == ["X-API-Key"]

    patch = {"headers": [{"name": "x-tenant", "value": "two"}, {"name": "X-API-Key", "value": None}]}
    await acme.do("EndpointPatchHeaders", appId=app["id"], endpointId=endpoint["id"], input=patch)
    await acme.settled(app, await acme.message(app))
    assert receiver.got()[-1].headers["x-tenant"] == "two"
    assert "x-api-key" not in receiver.got()[-1].headers

    await acme.do("EndpointUpdateHeaders", appId=app["id"], endpointId=endpoint["id"], input={"headers": {"X-Only": "this"}})
    await acme.settled(app, await acme.message(app))
    assert receiver.got()[-1].headers["x-only"] == "this"
    assert "x-tenant" not in receiver.got()[-1].headers


@pytest.mark.parametrize(
    ("name", "value"),
    [("Host", "x"), ("content-length", "1"), ("webhook-signature", "x"), ("bad name", "x"), ("X-A", "a\r\nb"), ("X-A", "é"), ("X-A", " a")],
)
async def test_a_header_that_would_change_the_request_is_refused_when_saved(acme: Tenant, name: str, value: str) -> None:
    app = await acme.application()

    fault = await acme.fault("EndpointCreate", appId=app["id"], input={"url": "https://example.com/", "headers": {name: value}})

    assert fault == ("BAD_USER_INPUT", ["input", "headers", name])


async def test_a_rotated_secret_signs_first_and_the_old_one_signs_on(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), secret=VERIFIABLE)
    await acme.do("EndpointRotateSecret", appId=app["id"], endpointId=endpoint["id"], input={})
    current = (await acme.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"]))["key"]
    assert current != VERIFIABLE

    await acme.settled(app, await acme.message(app))

    (request,) = receiver.got()
    for secret in (current, VERIFIABLE):
        Webhook(secret).verify(request.body, request.headers)
    first, second = request.headers["webhook-signature"].split(" ")
    Webhook(current).verify(request.body, {**request.headers, "webhook-signature": first})
    Webhook(VERIFIABLE).verify(request.body, {**request.headers, "webhook-signature": second})

    await acme.do("EndpointRotateSecret", appId=app["id"], endpointId=endpoint["id"], input={"gracePeriodSeconds": 0})
    await acme.settled(app, await acme.message(app))
    signatures = receiver.got()[-1].headers["webhook-signature"].split(" ")
    assert len(signatures) == 2, "the one that was replaced without grace does not sign"


async def test_at_most_ten_old_secrets_sign_on(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    for _ in range(10):
        await acme.do("EndpointRotateSecret", appId=app["id"], endpointId=endpoint["id"], input={})

    code, _ = await acme.fault("EndpointRotateSecret", appId=app["id"], endpointId=endpoint["id"], input={})

    assert code == "LIMIT_EXCEEDED"


async def test_a_patch_whose_secret_is_refused_leaves_all_as_it_was(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    for _ in range(10):
        await acme.do("EndpointRotateSecret", appId=app["id"], endpointId=endpoint["id"], input={})

    code, _ = await acme.fault("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"description": "changed", "secret": VERIFIABLE})

    assert code == "LIMIT_EXCEEDED"
    assert (await acme.run("Endpoint", appId=app["id"], id=endpoint["id"]))["description"] == endpoint["description"]


async def test_parts_that_are_patched_at_the_same_time_are_all_kept(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    key = {"appId": app["id"], "endpointId": endpoint["id"]}
    names = [f"X-{number}" for number in range(12)]

    await asyncio.gather(
        *(acme.do("EndpointPatchHeaders", **key, input={"headers": [{"name": name, "value": "v"}]}) for name in names),
        acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"deliveryPolicy": {"maxInFlight": 3}}),
        acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"deliveryPolicy": {"ordered": True}}),
        acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"deliveryPolicy": {"breaker": True}}),
    )

    found = await acme.run("Endpoint", appId=app["id"], id=endpoint["id"])
    assert sorted(header["name"] for header in found["headers"]["headers"]) == sorted(names)
    assert [found["deliveryPolicy"][name] for name in ("maxInFlight", "ordered", "breaker")] == [3, True, True]


async def test_an_asymmetric_secret_signs_v1a_and_only_its_public_half_is_shown(acme: Tenant, receiver: Receiver) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    secret = "whsk_" + base64.b64encode(private.private_bytes_raw() + public).decode()
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), secret=secret)

    shown = (await acme.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"]))["key"]
    await acme.settled(app, await acme.message(app))

    assert shown == "whpk_" + base64.b64encode(public).decode()
    (request,) = receiver.got()
    version, _, signature = request.headers["webhook-signature"].partition(",")
    assert version == "v1a"
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    Ed25519PublicKey.from_public_bytes(base64.b64decode(shown[5:])).verify(base64.b64decode(signature), content)


@pytest.mark.parametrize("secret", ["whsec_short", "whsec_" + "A" * 101, "not base64 at all, not base64 at all", "whsec_" + "A" * 31])
async def test_a_bad_secret_is_refused_without_being_repeated(acme: Tenant, secret: str) -> None:
    app = await acme.application()

    payload = await acme.run("EndpointCreate", appId=app["id"], input={"url": "https://example.com/", "secret": secret})

    (error,) = payload["errors"]
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["input", "secret"])
    assert secret not in json.dumps(payload)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "http://10.0.0.1/", "http://169.254.169.254/", "https://localhost/", "https://u:p@example.com/", "nonsense", ""],
)
async def test_a_url_into_an_inside_network_is_refused_when_saved(acme: Tenant, url: str) -> None:
    app = await acme.application()

    payload = await acme.run("EndpointCreate", appId=app["id"], input={"url": url})

    assert {(e["code"], tuple(e["path"])) for e in payload["errors"]} == {("BAD_USER_INPUT", ("input", "url"))}


async def sent_at(tenant: Tenant, app: Any, endpoint: Any, count: int) -> list[float]:
    """When the attempts at an endpoint began, once there are so many: by the clock of the sender, since the receiver may be held up."""
    attempts: list[Any] = []

    async def recorded() -> bool:
        nonlocal attempts
        attempts = (await tenant.run("MessageAttempts", appId=app["id"], endpointId=endpoint["id"], first=count + 1))["nodes"]
        return len(attempts) >= count

    await until(recorded, lambda: f"{len(attempts)} of {count} attempts")
    return sorted(datetime.fromisoformat(attempt["timestamp"]).timestamp() for attempt in attempts)


async def test_a_rate_limit_is_kept_by_delaying_not_by_dropping(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    limited = await acme.endpoint(app, receiver.url("/limited"), rateLimit=10)
    await acme.endpoint(app, receiver.url("/free"))

    inputs = [{"eventType": "tick", "payload": {"n": n}} for n in range(20)]
    payload = await acme.run("MessageCreateBatch", appId=app["id"], inputs=inputs)
    assert all(result["errors"] == [] for result in payload["results"])
    await receiver.wait_for(20, "/limited")

    times = await sent_at(acme, app, limited, 20)
    assert len(receiver.got("/limited")) == len(times) == 20
    assert times[-1] - times[0] >= 1.5, "twenty at ten a second take about two seconds"
    busiest = max(sum(1 for later in times if start <= later < start + 1) for start in times)
    assert busiest <= 13, f"{busiest} within one second"
    assert len(receiver.got("/free")) == 20


async def test_an_applications_rate_limit_is_the_default_of_its_endpoints(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application(rateLimit=5)
    endpoint = await acme.endpoint(app, receiver.url("/slow"))

    inputs = [{"eventType": "tick", "payload": {"n": n}} for n in range(6)]
    await acme.run("MessageCreateBatch", appId=app["id"], inputs=inputs)
    await receiver.wait_for(6, "/slow")

    times = await sent_at(acme, app, endpoint, 6)
    assert times[-1] - times[0] >= 0.7


async def test_an_endpoint_that_answers_410_is_disabled(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 410)

    message = await acme.message(app)
    await acme.settled(app, message, "FAIL")

    async def disabled() -> bool:
        return bool((await acme.run("Endpoint", appId=app["id"], id=endpoint["id"]))["disabled"])

    await until(disabled, "the endpoint to be disabled")
    assert len(receiver.got()) == 1


async def test_what_waits_for_a_deleted_endpoint_is_canceled(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 500, 500, 500)
    gate = receiver.hold("/hook")

    message = await acme.message(app)
    await receiver.wait_for(1)
    await acme.do("EndpointDelete", appId=app["id"], id=endpoint["id"])
    gate.set()

    await acme.settled(app, message, "CANCELED")
    assert len(receiver.got()) == 1


async def test_a_patch_whose_secret_is_refused_changes_nothing_else(acme: Tenant) -> None:
    """Ten old secrets are still valid: an eleventh is refused, and with it the description that came along."""
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    for _ in range(10):
        await acme.do("EndpointRotateSecret", appId=app["id"], endpointId=endpoint["id"], input={})

    given = {"description": "new", "secret": f"whsec_{'A' * 32}"}
    code, _ = await acme.fault("EndpointPatch", appId=app["id"], id=endpoint["id"], input=given)

    assert code == "LIMIT_EXCEEDED"
    assert (await acme.run("Endpoint", appId=app["id"], id=endpoint["id"]))["description"] == ""
