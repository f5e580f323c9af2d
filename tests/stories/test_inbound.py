"""Stories of inbound URLs: a provider's webhook becomes a message, and nothing else does."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from graphook import database
from graphook.clock import now
from graphook.inbound import InboundScheme
from models.inbound import Inbound
from tests.client import http_client
from tests.conftest import mint, organisation_of
from tests.deployment import Deployment
from tests.graphook.test_inbound import OTHER_SECRETS, SECRETS, signed
from tests.receiver import Receiver
from tests.stories.test_access import grant
from tests.tenant import Tenant

PUBLIC = "https://hooks.example.com"
BODY = b'{"caf\xc3\xa9" : 1.10}\n'


async def url_of(acme: Tenant, app: Any, **given: Any) -> str:
    """The application's inbound URL, made anew, as it is reached here."""
    url = str((await acme.do("InboundRotateUrl", appId=app["id"], **given))["url"])
    assert url.startswith(f"{PUBLIC}/inbound/{app['id']}/")
    return acme.url.removesuffix("/graphql") + url.removeprefix(PUBLIC)


async def post(url: str, body: bytes = BODY, headers: dict[str, str] | None = None) -> httpx.Response:
    """What a provider sends."""
    async with http_client() as http:
        return await http.post(url, content=body, headers=headers)


async def messages(acme: Tenant, app: Any) -> list[Any]:
    """The application's messages."""
    return list((await acme.run("Messages", appId=app["id"]))["nodes"])


async def verify_by(acme: Tenant, app: Any, scheme: InboundScheme) -> None:
    """Have the application's inbound URL take only what is signed so."""
    await acme.do("InboundUpdate", appId=app["id"], input={"scheme": scheme.name, "secret": SECRETS[scheme]})


async def test_what_is_posted_is_delivered_byte_for_byte(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    url = await url_of(acme, app)

    response = await post(url)

    assert (response.status_code, list(response.json())) == (202, ["id"])
    message = await acme.run("Message", appId=app["id"], id=response.json()["id"])
    assert (message["eventType"], message["eventId"], message["rawPayload"]) == ("inbound", None, BODY.decode())
    await acme.settled(app, message)
    assert [request.body for request in receiver.requests] == [BODY]


async def test_a_body_that_is_no_text_is_delivered_as_it_is(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())

    response = await post(await url_of(acme, app), b"\xff\xfe\x00", {"Content-Type": "application/x-protobuf"})

    message = await acme.run("Message", appId=app["id"], id=response.json()["id"])
    assert (message["payload"], message["rawPayload"]) == (None, None)
    await acme.settled(app, message)
    assert [request.body for request in receiver.requests] == [b"\xff\xfe\x00"]


async def test_the_paths_of_the_contract_and_the_uid_lead_there_too(acme: Tenant) -> None:
    app = await acme.application(uid="customer-9")
    url = await url_of(acme, app)
    base, token = acme.url.removesuffix("/graphql"), url.rpartition("/")[2]

    for path in (f"/inbound/customer-9/{token}", f"/app/{app['id']}/inbound/msg/{token}", f"/app/customer-9/inbound/msg/{token}"):
        response = await post(f"{base}{path}?event_type=order.paid")
        assert response.status_code == 202
    assert [message["eventType"] for message in await messages(acme, app)] == ["order.paid"] * 3


async def test_a_url_that_was_rotated_or_never_was_is_not_found_and_tells_nothing(acme: Tenant, rival: Tenant) -> None:
    app, other, theirs = await acme.application(), await acme.application(), await rival.application()
    old = await url_of(acme, app)
    url = await url_of(acme, app)
    foreign = await url_of(rival, theirs)
    token = url.rpartition("/")[2]
    base = acme.url.removesuffix("/graphql")
    unknown = [
        old,
        f"{base}/inbound/{other['id']}/{token}",
        f"{base}/inbound/{theirs['id']}/{token}",
        f"{base}/inbound/{app['id']}/{foreign.rpartition('/')[2]}",
        f"{base}/inbound/{app['id']}/inboundsk_{'0' * 43}",
        f"{base}/inbound/{app['id']}/{acme.token}",
        f"{base}/inbound/{app['id']}/%00",
        f"{base}/inbound/%00/{token}",
        f"{base}/inbound/{app['id']}/{'x' * 5000}",
    ]
    answers = [await post(address, b"x" * 2_000_000 if address is old else BODY) for address in unknown]

    assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}
    assert answers[0].json() == {"code": "NOT_FOUND", "detail": "There is no such inbound URL."}
    assert await messages(acme, app) == await messages(acme, other) == await messages(rival, theirs) == []
    assert (await post(url)).status_code == 202
    await acme.do("ApplicationDelete", id=app["id"])
    assert (await post(url)).text == answers[0].text
    async with http_client() as http:
        assert (await http.get(foreign)).status_code == (await http.get(old)).status_code == 405
        assert (await http.post(acme.url, json={}, headers={"Authorization": f"Bearer {token}"})).status_code == 401


@pytest.mark.parametrize("scheme", SECRETS)
async def test_what_is_not_signed_by_the_scheme_is_refused_before_anything_is_written(acme: Tenant, scheme: InboundScheme) -> None:
    app = await acme.application()
    await verify_by(acme, app, scheme)
    url = await url_of(acme, app)
    good = signed(scheme, SECRETS[scheme], BODY, now())

    replayed = signed(scheme, SECRETS[scheme], BODY, now() - timedelta(seconds=310))
    refused = [
        await post(url),
        await post(url, BODY + b" ", good),
        await post(url, BODY, signed(scheme, OTHER_SECRETS[scheme], BODY, now())),
        await post(url, BODY, {"Idempotency-Key": "k", "webhook-id": "taken", "x-github-delivery": "taken"}),
        *([await post(url, BODY, replayed)] if replayed != good else []),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(401, "UNAUTHENTICATED")}
    assert await messages(acme, app) == []

    assert (await post(url, BODY, good)).status_code == 202
    (message,) = await messages(acme, app)
    assert message["eventId"] in (None, "evt_1")


async def test_what_a_provider_sends_again_is_the_same_message(acme: Tenant) -> None:
    app = await acme.application()
    event = json.dumps({"id": "evt_7", "type": "invoice.paid"}).encode()
    for scheme, headers, event_type, event_id in (
        (InboundScheme.STANDARD_WEBHOOKS, {}, "inbound", "evt_1"),
        (InboundScheme.GITHUB, {"X-GitHub-Delivery": "d-1", "X-GitHub-Event": "push"}, "push", "d-1"),
        (InboundScheme.STRIPE, {}, "invoice.paid", "evt_7"),
        (InboundScheme.SHOPIFY, {"X-Shopify-Webhook-Id": "w-1", "X-Shopify-Topic": "orders/create"}, "orders.create", "w-1"),
    ):
        await verify_by(acme, app, scheme)
        url = await url_of(acme, app)
        given = signed(scheme, SECRETS[scheme], event, now()) | headers
        answers = await asyncio.gather(*(post(url, event, given) for _ in range(4)))
        assert {answer.status_code for answer in answers} == {202}
        (message_id,) = {answer.json()["id"] for answer in answers}
        message = await acme.run("Message", appId=app["id"], id=message_id)
        assert (message["eventType"], message["eventId"]) == (event_type, event_id)
    assert len(await messages(acme, app)) == 4


async def test_an_id_like_one_of_ours_and_one_that_is_no_event_id_are_ids_all_the_same(acme: Tenant) -> None:
    app = await acme.application()
    url = await url_of(acme, app)
    ids = ["msg_2b4TdZ8nZ0kqYx0bqZ8nZ0kqYx0", "no slug", "x" * 4000]
    answers = [[(await post(url, BODY, {"webhook-id": found})).json()["id"] for _ in range(2)] for found in ids]
    assert [first == second for first, second in answers] == [True] * 3
    assert (await acme.run("Message", appId=app["id"], id=f"in.{ids[0]}"))["id"] == answers[0][0]


async def test_an_idempotency_key_makes_one_message_and_does_not_take_another_body(acme: Tenant) -> None:
    app, other = await acme.application(), await acme.application()
    url, elsewhere = await url_of(acme, app), await url_of(acme, other)
    key = {"Idempotency-Key": "once"}

    first, again = [(await post(url, BODY, key)).json()["id"] for _ in range(2)]

    assert first == again
    reused = await post(url, b"{}", key)
    assert (reused.status_code, reused.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert (await post(elsewhere, BODY, key)).json()["id"] != first
    assert (await post(url, BODY, {"Idempotency-Key": "k" * 257})).status_code == 400
    assert len(await messages(acme, app)) == 1


async def test_a_compressed_body_which_receivers_could_not_read_is_refused(acme: Tenant) -> None:
    app = await acme.application()
    url = await url_of(acme, app)

    refused = await post(url, gzip.compress(BODY), {"Content-Encoding": "gzip"})

    assert (refused.status_code, refused.json()["code"]) == (415, "HTTP_415")
    assert (await post(url, BODY, {"Content-Encoding": "identity"})).status_code == 202
    assert len(await messages(acme, app)) == 1


async def test_a_body_beyond_the_limits_is_refused(acme: Tenant) -> None:
    app = await acme.application()
    url = await url_of(acme, app)

    async def chunks() -> Any:
        for size in (*[65_536] * 16, 1):
            yield b"x" * size

    async with http_client() as http:
        for content in (b"x" * (1024 * 1024 + 1), chunks()):
            refused = await http.post(url, content=content)
            assert (refused.status_code, refused.json()["code"]) == (413, "HTTP_413")
    assert (await post(url, b"x" * (1024 * 1024))).status_code == 202
    assert (await post(url, b"")).status_code == 400
    for event_type in ("", "a b", "x" * 257, "%00"):
        refused = await post(f"{url}?event_type={event_type}")
        assert (refused.status_code, refused.json()["code"]) == (400, "BAD_USER_INPUT")
    assert len(await messages(acme, app)) == 1


async def test_how_an_application_takes_webhooks_is_shown_without_its_secrets(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    assert await acme.run("Inbound", appId=app["id"]) is None
    await verify_by(acme, app, InboundScheme.GITHUB)
    assert (await acme.run("Inbound", appId=app["id"]))["hasUrl"] is False
    token = (await url_of(acme, app)).rpartition("/")[2]

    shown = await acme.run("Inbound", appId=app["id"])

    assert (shown["scheme"], shown["hasUrl"]) == ("GITHUB", True)
    async with database.connected(deployment.database_url):
        (row,) = await Inbound.filter(app_id=app["id"]).values()
    assert token.partition("_")[2] not in str(row)
    assert SECRETS[InboundScheme.GITHUB] not in str(row)
    assert token not in deployment.server.output


async def test_a_rotation_that_is_repeated_with_its_key_keeps_the_url(acme: Tenant) -> None:
    app = await acme.application()
    first = await url_of(acme, app, idempotencyKey="rotate")
    assert await url_of(acme, app, idempotencyKey="rotate") == first
    assert (await post(first)).status_code == 202
    assert await url_of(acme, app, idempotencyKey="another") != first


async def test_bad_ways_to_verify_are_refused_and_change_nothing(acme: Tenant) -> None:
    app = await acme.application()
    await verify_by(acme, app, InboundScheme.STRIPE)
    before = await acme.run("Inbound", appId=app["id"])
    for given in (
        {"scheme": "NONE", "secret": "a secret"},
        {"scheme": "GITHUB"},
        {"scheme": "SHOPIFY", "secret": "short"},
        {"scheme": "STANDARD_WEBHOOKS", "secret": "whsec_no"},
        {"scheme": "GITHUB", "secret": "a\0secret"},
    ):
        assert await acme.fault("InboundUpdate", appId=app["id"], input=given) == ("BAD_USER_INPUT", ["input", "secret"])
    assert await acme.run("Inbound", appId=app["id"]) == before


async def test_only_the_organisation_makes_and_changes_inbound_urls(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    url = await url_of(acme, app)
    manager = await mint(deployment, org_id=await organisation_of(deployment, app), scopes=["read", "manage"])
    for token in ((await grant(acme, app))["token"], manager):
        async with Tenant(acme.url, token) as other:
            assert await other.fault("InboundRotateUrl", appId=app["id"]) == ("FORBIDDEN", None)
            assert await other.fault("InboundUpdate", appId=app["id"], input={"scheme": "NONE"}) == ("FORBIDDEN", None)
    assert (await post(url)).status_code == 202
