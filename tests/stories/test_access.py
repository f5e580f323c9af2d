"""Stories of the portal's door: links that work once, tokens with capabilities, and their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from graphook import database
from graphook.auth import Capability
from graphook.clock import now
from models.token import Token
from tests.arguments import of_every_operation
from tests.client import http_client
from tests.conftest import mint, organisation_of
from tests.deployment import Deployment
from tests.operations import operations
from tests.receiver import Receiver
from tests.stories.test_hostile_arguments import SUBSCRIPTIONS
from tests.tenant import Refused, Tenant

LINK = "https://hooks.example.com/portal/#key="


def once(access: dict[str, str]) -> str:
    """The one-time token of a link."""
    assert access["url"].startswith(LINK)
    return access["url"].removeprefix(LINK)


def bearer(acme: Tenant, token: str) -> Tenant:
    """The same service with another token."""
    return Tenant(acme.url, token)


async def grant(acme: Tenant, app: Any, **given: Any) -> dict[str, str]:
    """A way into the application's portal."""
    found: dict[str, str] = await acme.do("AppPortalAccessCreate", appId=app["id"], input=given)
    return found


async def exchange(acme: Tenant, token: str) -> dict[str, Any]:
    """What a browser does that opens the link."""
    async with bearer(acme, token) as browser:
        found: dict[str, Any] = await browser.do("OneTimeTokenExchange", input={"oneTimeToken": token})
        return found


async def status(acme: Tenant, token: str) -> int:
    """What a request with this token comes to."""
    async with http_client(headers={"Authorization": f"Bearer {token}"}) as http:
        return (await http.post(acme.url, json={"query": "{ __typename }"})).status_code


@asynccontextmanager
async def tokens(deployment: Deployment) -> AsyncIterator[Any]:
    """The table of tokens, for what only time would bring about."""
    async with database.connected(deployment.database_url):
        yield Token


async def test_a_link_leads_into_the_portal_of_one_application(acme: Tenant, receiver: Receiver) -> None:
    app, other = await acme.application(), await acme.application()
    await acme.event_type("hidden.flagged", featureFlag="beta")
    access = await grant(acme, app, featureFlags=["beta"], sessionId="user@7", expiry=3600)

    found = await exchange(acme, once(access))

    assert set(found["capabilities"]) == {item.name for item in Capability}
    async with bearer(acme, found["token"]) as portal:
        who = await portal.run("Whoami")
        assert (who["kind"], who["appId"], who["sessionId"], who["featureFlags"]) == ("APPLICATION", app["id"], "user@7", ["beta"])
        assert (await portal.run("EventType", name="hidden.flagged"))["name"] == "hidden.flagged"
        endpoint = await portal.endpoint(app, receiver.url())
        message = await acme.message(app)
        await portal.settled(app, message)
        assert await portal.do("MessageAttemptResend", appId=app["id"], messageId=message["id"], endpointId=endpoint["id"])
        assert await portal.run("Application", id=other["id"]) is None
        assert await portal.fault("AppPortalAccessCreate", appId=app["id"], input={}) == ("FORBIDDEN", None)
    assert found["token"] != access["token"]
    async with bearer(acme, access["token"]) as embedded:
        assert (await embedded.run("Whoami"))["appId"] == app["id"]


async def test_an_event_type_behind_a_flag_is_no_event_type_to_who_lacks_it(acme: Tenant) -> None:
    """It is refused as one that there is not; an endpoint that the organisation has chosen it for keeps it."""
    app = await acme.application()
    await acme.event_type("shown")
    await acme.event_type("hidden.flagged", featureFlag="beta")
    chosen = await acme.endpoint(app, "https://example.com/", filterTypes=["hidden.flagged"])
    answers = []
    async with bearer(acme, (await grant(acme, app))["token"]) as portal:
        for name in ("hidden.flagged", "never.was"):
            for operation, arguments in {"EndpointCreate": {}, "EndpointUpdate": {"id": "new"}}.items():
                given = {"url": "https://example.com/", "filterTypes": ["shown", name]}
                payload = await portal.run(operation, appId=app["id"], input=given, **arguments)
                answers.append(json.dumps(payload).replace(name, "it"))
        changed = await portal.do("EndpointPatch", appId=app["id"], id=chosen["id"], input={"filterTypes": ["hidden.flagged", "shown"]})
    async with bearer(acme, (await grant(acme, app, featureFlags=["beta"]))["token"]) as flagged:
        await flagged.endpoint(app, "https://example.com/", filterTypes=["hidden.flagged"])

    assert changed["filterTypes"] == ["hidden.flagged", "shown"]
    assert answers[:2] == answers[2:]
    assert "These event types do not exist or are archived: it." in answers[0]


async def test_a_link_that_leaked_is_dead_once_it_was_used(acme: Tenant, rival: Tenant) -> None:
    app = await acme.application()
    link = once(await grant(acme, app))
    await exchange(acme, link)

    assert await status(acme, link) == 401
    with pytest.raises(Refused) as refused:
        await exchange(acme, link)
    assert (refused.value.status, refused.value.code) == (401, "UNAUTHENTICATED")
    for somebody in (acme, rival):
        assert await somebody.fault("OneTimeTokenExchange", input={"oneTimeToken": link}) == ("NOT_FOUND", ["input", "oneTimeToken"])


async def test_of_many_who_follow_a_link_at_once_one_gets_in(acme: Tenant) -> None:
    link = once(await grant(acme, await acme.application()))

    answers = await asyncio.gather(*(exchange(acme, link) for _ in range(8)), return_exceptions=True)

    assert len([answer for answer in answers if isinstance(answer, dict)]) == 1
    refused = [answer for answer in answers if isinstance(answer, AssertionError | Refused)]
    assert len(refused) == 7


async def test_a_link_is_worth_nothing_to_another_organisation_or_application(acme: Tenant, rival: Tenant) -> None:
    link = once(await grant(acme, await acme.application()))
    neighbour = once(await grant(acme, await acme.application()))

    assert await rival.fault("OneTimeTokenExchange", input={"oneTimeToken": link}) == ("NOT_FOUND", ["input", "oneTimeToken"])
    async with bearer(acme, neighbour) as browser:
        assert await browser.fault("OneTimeTokenExchange", input={"oneTimeToken": link}) == ("NOT_FOUND", ["input", "oneTimeToken"])
    assert await exchange(acme, link)
    assert await exchange(acme, neighbour)


async def test_a_link_that_is_old_is_dead(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    link = once(await grant(acme, app))
    async with tokens(deployment) as table:
        row = await table.get(app_id=app["id"], kind="once")
        assert timedelta(minutes=1) < row.expires_at - now() <= timedelta(minutes=10)
        await table.filter(id=row.id).update(expires_at=now() - timedelta(seconds=1))

    assert await status(acme, link) == 401
    assert await acme.fault("OneTimeTokenExchange", input={"oneTimeToken": link}) == ("NOT_FOUND", ["input", "oneTimeToken"])


async def test_a_link_can_do_nothing_but_be_exchanged(acme: Tenant) -> None:
    given = await of_every_operation(acme)
    link = once(await grant(acme, {"id": given["EndpointSecret"]["appId"]}))
    tried = 0
    async with bearer(acme, link) as browser:
        for name, variables in given.items():
            if name == "OneTimeTokenExchange":
                continue
            tried += 1
            try:
                answer = await browser.run(name, **variables)
            except Refused as refused:
                assert refused.code == "FORBIDDEN", name
            else:
                assert [error["code"] for error in answer["errors"]] == ["FORBIDDEN"], name
        for name in SUBSCRIPTIONS:
            variables = {
                "appId": given["EndpointSecret"]["appId"],
                "messageId": given["Message"]["id"],
                "id": given["BackgroundTask"]["id"],
            }
            async with browser.subscribe(
                name, **{key: item for key, item in variables.items() if f"${key}:" in operations()[name]}
            ) as events:
                with pytest.raises(Refused) as stopped:
                    await events.next()
                assert stopped.value.code == "FORBIDDEN", name
    assert tried > 30
    assert await exchange(acme, link)


CAPABLE = {
    "VIEW_ENDPOINT_SECRET": {"EndpointSecret"},
    "MANAGE_ENDPOINT_SECRET": {"EndpointRotateSecret"},
    "MANAGE_TRANSFORMATIONS": {"EndpointPatchTransformation", "EndpointSimulateTransformation"},
    "CREATE_ATTEMPTS": {"MessageAttemptResend", "EndpointRecover", "EndpointReplayMissing", "EndpointBulkReplay"},
    "MANAGE_ENDPOINT": {
        "EndpointCreate", "EndpointUpdate", "EndpointPatch", "EndpointDelete", "EndpointUpdateHeaders", "EndpointPatchHeaders",
    },
}  # fmt: skip


@pytest.mark.parametrize("capability", [None, *CAPABLE])
async def test_a_token_does_what_its_capability_allows_and_nothing_else(acme: Tenant, capability: str | None) -> None:
    given = await of_every_operation(acme)
    app = {"id": given["EndpointSecret"]["appId"]}
    access = await grant(acme, app, capabilities=[capability] if capability else [])
    await acme.do("EnvironmentUpdateSettings", input={"enableTransformations": True, "enforceHttps": False})
    allowed = set()
    async with bearer(acme, access["token"]) as portal:
        assert (await portal.run("Whoami"))["capabilities"] == [item.name for item in Capability if item.name in ("VIEW_BASE", capability)]
        assert (await portal.run("Endpoint", **given["Endpoint"]))["id"] == given["Endpoint"]["id"]
        for name in set().union(*CAPABLE.values()):
            try:
                answer = await portal.run(name, **given[name])
            except Refused as refused:
                assert refused.code == "FORBIDDEN", name
                continue
            if "FORBIDDEN" not in {error["code"] for error in answer.get("errors", ())}:
                allowed.add(name)
    assert allowed == CAPABLE.get(str(capability), set())


async def test_a_secret_is_changed_by_patch_only_with_the_capability_for_it(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    before = await acme.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"])
    access = await grant(acme, app, capabilities=["MANAGE_ENDPOINT", "VIEW_ENDPOINT_SECRET"])
    async with bearer(acme, access["token"]) as portal:
        change = {"description": "mine", "secret": f"whsec_{'A' * 32}"}
        (error,) = (await portal.run("EndpointPatch", appId=app["id"], id=endpoint["id"], input=change))["errors"]
        assert error["code"] == "FORBIDDEN"
        assert error["message"] == "This token lacks the capability MANAGE_ENDPOINT_SECRET.", "as the API spells it"
    assert await acme.run("EndpointSecret", appId=app["id"], endpointId=endpoint["id"]) == before
    assert (await acme.run("Endpoint", appId=app["id"], id=endpoint["id"]))["description"] == ""


@pytest.mark.parametrize(("capability", "shown"), [("VIEW_ENDPOINT_SECRET", True), ("MANAGE_ENDPOINT_SECRET", False)])
async def test_a_dry_run_signs_for_who_may_see_the_secret_not_for_who_may_only_replace_it(
    acme: Tenant, capability: str, shown: bool
) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    code = "function handler(webhook) { webhook.payload = webhook.env; return webhook; }"
    given = {"code": code, "enabled": True, "variables": {"KEY": "k"}}
    await acme.do("EndpointPatchTransformation", appId=app["id"], endpointId=endpoint["id"], input=given)
    access = await grant(acme, app, capabilities=[capability])

    async with bearer(acme, access["token"]) as portal:
        (node,) = (await portal.run("MessageDryRun", appId=app["id"], input={"eventType": "a", "payload": {"n": 1}}))["nodes"]

    (signature,) = [header for header in node["headers"] if header["name"] == "webhook-signature"]
    assert (signature["value"] is not None, signature["masked"], node["transformed"] is not None) == (shown, not shown, shown)


async def test_a_token_is_not_said_to_lack_a_capability_that_would_not_help(acme: Tenant) -> None:
    app = await acme.application()
    for capabilities in (["VIEW_BASE"], ["VIEW_BASE", "CREATE_ATTEMPTS", "MANAGE_ENDPOINT"]):
        access = await grant(acme, app, capabilities=capabilities)
        async with bearer(acme, access["token"]) as customer:
            for name, values in (
                ("MessageCreate", {"appId": app["id"], "input": {"eventType": "invoice.paid", "payload": {}}}),
                ("ApplicationCreate", {"input": {"name": "another"}}),
            ):
                (error,) = (await customer.run(name, **values))["errors"]
                assert error["message"] == "This needs a token of the organisation; yours is limited to one application."


async def test_a_null_that_is_refused_is_to_be_left_out(acme: Tenant) -> None:
    app = await acme.application()
    payload = await acme.run("AppPortalAccessCreate", appId=app["id"], input={"capabilities": None, "featureFlags": None})

    assert [(error["path"], error["message"]) for error in payload["errors"]] == [
        (["input", name], f"{name} cannot be null; leave it out instead.") for name in ("capabilities", "featureFlags")
    ]


async def test_nobody_gives_away_more_than_they_have(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    plain = await mint(deployment, org_id=await organisation_of(deployment, app), scopes=["read", "manage"])
    async with bearer(acme, plain) as manager:
        for capability in ("VIEW_ENDPOINT_SECRET", "MANAGE_ENDPOINT_SECRET", "CREATE_ATTEMPTS"):
            fault = await manager.fault("AppPortalAccessCreate", appId=app["id"], input={"capabilities": [capability]})
            assert fault == ("FORBIDDEN", None)
        access = await grant(manager, app)
    async with bearer(acme, access["token"]) as portal:
        assert (await portal.run("Whoami"))["capabilities"] == ["VIEW_BASE", "MANAGE_TRANSFORMATIONS", "MANAGE_ENDPOINT"]


async def test_access_to_an_application_that_comes_alongside_creates_it(acme: Tenant) -> None:
    application = {"uid": "customer-7", "name": "Customer"}
    access = await acme.do("AppPortalAccessCreate", appId="customer-7", input={"application": application})
    again = await acme.do("AppPortalAccessCreate", appId="customer-7", input={"application": {**application, "name": "Another name"}})

    app = await acme.run("Application", id="customer-7")
    assert app["name"] == "Customer"
    for found in (access, again):
        async with bearer(acme, found["token"]) as portal:
            assert (await portal.run("Whoami"))["appId"] == app["id"]
    fault = await acme.fault("AppPortalAccessCreate", appId="other", input={"application": application})
    assert fault == ("BAD_USER_INPUT", ["input", "application", "uid"])


async def test_a_request_that_is_repeated_with_its_key_gives_the_same_way_in(acme: Tenant) -> None:
    app = await acme.application()
    first, again = [
        await acme.do("AppPortalAccessCreate", appId=app["id"], input={"expiry": 3600}, idempotencyKey="login-1") for _ in range(2)
    ]
    assert again == first
    assert await status(acme, first["token"]) == 200
    fault = await acme.fault("AppPortalAccessCreate", appId=app["id"], input={"expiry": 7200}, idempotencyKey="login-1")
    assert fault == ("IDEMPOTENCY_KEY_REUSED", ["idempotencyKey"])


async def test_a_key_of_one_application_is_no_key_of_another(acme: Tenant, receiver: Receiver) -> None:
    """Nor of the organisation: a customer who guesses a key of its backend keeps nothing from it, and learns nothing."""
    apps = [await acme.application() for _ in range(2)]
    made = []
    for app in apps:
        async with bearer(acme, (await grant(acme, app))["token"]) as portal:
            given = {"appId": app["id"], "input": {"url": receiver.url()}, "idempotencyKey": "first-endpoint"}
            endpoint = await portal.do("EndpointCreate", **given)
            assert (await portal.do("EndpointCreate", **given))["id"] == endpoint["id"]
            made.append(endpoint["id"])
    made.append((await acme.do("EndpointCreate", **given))["id"])

    assert len(set(made)) == 3


async def test_what_access_may_not_be_is_refused_with_its_path(acme: Tenant) -> None:
    app = await acme.application()
    for given, path in {
        "expiry": (3599, ["input", "expiry"]),
        "sessionId": ("a b", ["input", "sessionId"]),
        "featureFlags": ([f"f{index}" for index in range(26)], ["input", "featureFlags"]),
        "capabilities": (None, ["input", "capabilities"]),
    }.items():
        value, where = path
        assert await acme.fault("AppPortalAccessCreate", appId=app["id"], input={given: value}) == ("BAD_USER_INPUT", where)
    expiry = {"expiry": 259_201}
    assert await acme.fault("AppTokensExpireAll", appId=app["id"], input=expiry) == ("BAD_USER_INPUT", ["input", "expiry"])


async def test_expiring_all_ends_tokens_and_links_but_not_those_of_others(acme: Tenant) -> None:
    app, other = await acme.application(), await acme.application()
    access, elsewhere = await grant(acme, app), await grant(acme, other)
    later = once(access)

    payload = await acme.run("AppTokensExpireAll", appId=app["id"], input={})

    assert (payload["application"]["id"], payload["expired"], payload["errors"]) == (app["id"], 2, [])
    assert [await status(acme, token) for token in (access["token"], later)] == [401, 401]
    assert [await status(acme, token) for token in (elsewhere["token"], acme.token)] == [200, 200]
    assert (await acme.run("AppTokensExpireAll", appId=app["id"], input={}))["expired"] == 0


async def test_no_token_slips_through_between_a_link_and_the_end_of_all(acme: Tenant) -> None:
    app = await acme.application()
    for _ in range(12):
        link = once(await grant(acme, app))

        async def follow(link: str = link) -> str | None:
            try:
                return str((await exchange(acme, link))["token"])
            except (Refused, AssertionError):
                return None

        token, _ = await asyncio.gather(follow(), acme.do("AppTokensExpireAll", appId=app["id"], input={}))

        assert await status(acme, link) == 401
        assert token is None or await status(acme, token) == 401


async def test_expiring_a_session_ends_its_tokens_alone(acme: Tenant) -> None:
    app = await acme.application()
    mine, theirs, nobodys = await grant(acme, app, sessionId="a"), await grant(acme, app, sessionId="b"), await grant(acme, app)

    assert (await acme.run("AppTokensExpireAll", appId=app["id"], input={"sessionIds": ["a", "unknown"]}))["expired"] == 2

    assert [await status(acme, found["token"]) for found in (mine, theirs, nobodys)] == [401, 200, 200]


async def test_what_expires_later_takes_links_that_are_not_followed_yet_along(acme: Tenant) -> None:
    app = await acme.application()
    access = await grant(acme, app)
    await acme.do("AppTokensExpireAll", appId=app["id"], input={"expiry": 60})

    found = await exchange(acme, once(access))

    for token in (access["token"], found["token"]):
        async with bearer(acme, token) as portal:
            expires_at = (await portal.run("Whoami"))["expiresAt"]
            assert expires_at <= (now() + timedelta(seconds=60)).isoformat()


async def test_logging_out_ends_the_token_and_no_other(acme: Tenant) -> None:
    app = await acme.application()
    access = await grant(acme, app, capabilities=[])
    async with bearer(acme, access["token"]) as portal:
        who = await portal.run("Whoami")
        assert await portal.do("Logout") == who["tokenId"]
        with pytest.raises(Refused) as refused:
            await portal.run("Whoami")
        assert refused.value.status == 401
    assert await acme.fault("Logout") == ("FORBIDDEN", None)
    assert (await acme.run("Whoami"))["kind"] == "ORGANISATION"
    assert await exchange(acme, once(access))


async def test_the_old_name_of_portal_access_still_works(acme: Tenant) -> None:
    app = await acme.application()
    access = await acme.do("DashboardAccessCreate", appId=app["id"])
    async with bearer(acme, (await exchange(acme, once(access)))["token"]) as portal:
        assert (await portal.run("Whoami"))["appId"] == app["id"]


async def test_tokens_of_past_logins_are_forgotten_after_a_week(db: str) -> None:
    from workers.prune import prune

    kept = [("org", 9), ("integ", 6), ("app", 6), ("once", 6)]
    for kind, days in (*kept, ("integ", 8), ("app", 8), ("once", 8)):
        await Token.mint(kind, org_id="org_1", app_id="app_1", name=f"{kind} {days}", expires_at=now() - timedelta(days=days))  # type: ignore[arg-type]
    await prune(90)

    assert {token.name for token in await Token.all()} == {f"{kind} {days}" for kind, days in kept}


async def test_no_token_is_in_the_database_in_clear(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    access = await acme.do("AppPortalAccessCreate", appId=app["id"], input={}, idempotencyKey="kept")
    async with tokens(deployment) as table:
        rows = str(await table.filter(app_id=app["id"]).values())
    assert "sealed" in rows
    for secret in (access["token"], once(access)):
        assert secret.partition("_")[2] not in rows
    assert access["token"] not in deployment.server.output
