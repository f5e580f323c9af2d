"""Stories of connecting a channel by OAuth: from the page that asks a person to the webhook, once, and by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from graphook import database
from graphook.clock import now, to_us
from graphook.tokens import digest
from models.oauth_state import OauthState
from tests.conftest import Backend, mint, organisation_of
from tests.deployment import Deployment, deployed
from tests.documents import ROOT, blocks
from tests.messages import CHECKS
from tests.provider import ACCESS_TOKEN, CHANNEL, CLIENT_ID, CLIENT_SECRET, Provider, providing
from tests.receiver import Receiver
from tests.tenant import Tenant

REDIRECT, OTHER_REDIRECT = "https://portal.example.com/oauth", "https://portal.example.com/oauth?from=2"
NAMES = ["SLACK", "DISCORD"]
EXCHANGE = {"SLACK": "TemplateOauthSlack", "DISCORD": "TemplateOauthDiscord"}


@pytest.fixture(scope="module")
def there() -> Iterator[Provider]:
    """Slack and Discord."""
    with providing() as running:
        yield running


@pytest.fixture(scope="module")
def connected(backend: Backend, there: Provider) -> Iterator[Deployment]:
    """A service whose operator registered it with both."""
    settings = {
        "GRAPHOOK_OAUTH_REDIRECT_URIS": f"{REDIRECT},{OTHER_REDIRECT}",
        "GRAPHOOK_SLACK_PKCE": "true",
        "GRAPHOOK_LOG_LEVEL": "debug",
        "GRAPHOOK_ENDPOINTS_PER_APPLICATION": "2",
    }
    for name in ("slack", "discord"):
        settings |= {
            f"GRAPHOOK_{name.upper()}_CLIENT_ID": CLIENT_ID,
            f"GRAPHOOK_{name.upper()}_CLIENT_SECRET": CLIENT_SECRET,
            f"GRAPHOOK_{name.upper()}_TOKEN_URL": there.url(name),
        }
    with deployed(asyncio.run(backend.fresh_database()), backend.fresh_redis(), **settings) as running:
        yield running
    assert CLIENT_SECRET not in running.server.output
    assert ACCESS_TOKEN not in running.server.output
    assert there.webhook not in running.server.output


@pytest.fixture
async def org(connected: Deployment) -> AsyncIterator[Tenant]:
    """An organisation there."""
    async with Tenant(connected.graphql, await mint(connected)) as tenant:
        yield tenant


async def portal(connected: Deployment, org: Tenant, app: Any) -> Tenant:
    """Somebody with a token of the application."""
    org_id = await organisation_of(connected, app)
    return Tenant(org.url, await mint(connected, kind="app", org_id=org_id, app_id=app["id"]))


async def begun(tenant: Tenant, name: str, redirect_uri: str = REDIRECT, **more: Any) -> str:
    """The state of a dance that the tenant began."""
    authorization = await tenant.do("TemplateOauthStart", input={"provider": name, "redirectUri": redirect_uri, **more})
    asked = parse_qs(urlsplit(authorization["url"]).query)
    assert asked["redirect_uri"] == [redirect_uri]
    assert (asked["client_id"], asked["code_challenge_method"]) == ([CLIENT_ID], ["S256"])
    return str(asked["state"][0])


def given(code: str, state: str | None = None, redirect_uri: str = REDIRECT) -> dict[str, Any]:
    """What came back."""
    return {"code": code, "redirectUri": redirect_uri, "state": state}


@pytest.mark.parametrize("name", NAMES)
async def test_a_dance_that_was_begun_here_ends_with_a_webhook(there: Provider, connected: Deployment, org: Tenant, name: str) -> None:
    app = await org.application()
    async with await portal(connected, org, app) as customer:
        state = await begun(customer, name)

        found = await customer.do(EXCHANGE[name], input=given(f"good-{state}", state))

    assert found == {"incomingWebhookUrl": there.webhook, "channel": CHANNEL[name.lower()], "error": None}
    assert len(there.asked[-1]["code_verifier"]) == 43


async def test_what_the_provider_refuses_is_said_and_uses_the_state_up(org: Tenant) -> None:
    state = await begun(org, "SLACK")

    found = await org.do("TemplateOauthSlack", input=given("denied", state))

    assert found == {"incomingWebhookUrl": None, "channel": None, "error": "access_denied"}
    assert await org.fault("TemplateOauthSlack", input=given("good-again", state)) == ("BAD_USER_INPUT", ["input", "state"])


async def test_a_state_works_once_whoever_is_first(there: Provider, org: Tenant) -> None:
    state = await begun(org, "DISCORD")
    asked = len(there.asked)

    payloads = await asyncio.gather(*(org.run("TemplateOauthDiscord", input=given(f"good-race{n}", state)) for n in range(8)))

    assert sorted(payload["oauthExchange"] is not None for payload in payloads) == [False] * 7 + [True]
    assert {error["path"][-1] for payload in payloads for error in payload["errors"]} == {"state"}
    assert len(there.asked) == asked + 1


async def test_a_state_is_bound_to_token_organisation_provider_and_redirect_uri(
    there: Provider, connected: Deployment, org: Tenant
) -> None:
    app = await org.application()
    state = await begun(org, "SLACK", appId=app["id"])
    refused = ("BAD_USER_INPUT", ["input", "state"])
    asked = len(there.asked)
    org_id = await organisation_of(connected, app)
    async with (
        await portal(connected, org, app) as customer,
        Tenant(org.url, await mint(connected, org_id=org_id)) as colleague,
        Tenant(org.url, await mint(connected)) as rival,
    ):
        for other in (customer, colleague, rival):
            assert await other.fault("TemplateOauthSlack", input=given("good-bound", state)) == refused
    assert await org.fault("TemplateOauthDiscord", input=given("good-bound", state)) == refused
    assert await org.fault("TemplateOauthSlack", input=given("good-bound", state, OTHER_REDIRECT)) == refused
    assert await org.fault("TemplateOauthSlack", input=given("good-bound", "A" * 43)) == refused
    assert len(there.asked) == asked

    assert (await org.do("TemplateOauthSlack", input=given("good-bound", state)))["error"] is None


async def test_a_state_is_not_kept_and_does_not_last(connected: Deployment, org: Tenant) -> None:
    state = await begun(org, "SLACK")
    async with database.connected(connected.database_url):
        (row,) = await OauthState.filter(hash=digest(state)).values()
        assert state not in str(row)
        assert 0 < to_us(row["expires_at"]) - to_us(now()) <= 600_000_000
        await OauthState.filter(hash=digest(state)).update(expires_at=now())

    assert await org.fault("TemplateOauthSlack", input=given("good-late", state)) == ("BAD_USER_INPUT", ["input", "state"])


async def test_a_backend_that_keeps_its_own_state_needs_none_of_ours(there: Provider, org: Tenant) -> None:
    found = await org.do("TemplateOauthSlack", input={"code": "good-own", "redirectUri": REDIRECT})

    assert found["incomingWebhookUrl"] == there.webhook
    assert "code_verifier" not in there.asked[-1]


async def test_a_callback_without_state_is_refused_where_one_was_made(there: Provider, connected: Deployment, org: Tenant) -> None:
    app = await org.application()
    asked = len(there.asked)
    async with await portal(connected, org, app) as customer:
        fault = await customer.fault("TemplateOauthSlack", input={"code": "good-x", "redirectUri": REDIRECT})
        assert fault == ("BAD_USER_INPUT", ["input", "state"])
    await begun(org, "SLACK")
    assert await org.fault("TemplateOauthSlack", input={"code": "good-x", "redirectUri": REDIRECT}) == (
        "BAD_USER_INPUT",
        ["input", "state"],
    )
    assert len(there.asked) == asked


@pytest.mark.parametrize(
    "variant",
    ["https://portal.example.com/oauth/", "https://portal.example.com/oauth/../evil", "https://portal.example.com/oauth?x", "https://portal.example.com.evil/oauth",
     "HTTPS://portal.example.com/oauth", ""],
)  # fmt: skip
async def test_a_redirect_uri_is_one_of_the_operators_to_the_letter(there: Provider, org: Tenant, variant: str) -> None:
    asked = len(there.asked)

    assert await org.fault("TemplateOauthStart", input={"provider": "SLACK", "redirectUri": variant}) == (
        "BAD_USER_INPUT",
        ["input", "redirectUri"],
    )
    assert await org.fault("TemplateOauthSlack", input=given("good-r", None, variant)) == ("BAD_USER_INPUT", ["input", "redirectUri"])
    assert len(there.asked) == asked


async def test_an_application_begins_for_itself_only(connected: Deployment, org: Tenant) -> None:
    app, other = await org.application(), await org.application()
    async with await portal(connected, org, app) as customer:
        fault = await customer.fault("TemplateOauthStart", input={"provider": "SLACK", "redirectUri": REDIRECT, "appId": other["id"]})
    assert fault == ("NOT_FOUND", ["input", "appId"])


async def test_steps_are_limited_for_each_organisation(connected: Deployment, org: Tenant) -> None:
    start = {"provider": "SLACK", "redirectUri": REDIRECT}
    codes = [error["code"] for _ in range(70) for error in (await org.run("TemplateOauthStart", input=start))["errors"]]

    assert codes
    assert set(codes) == {"LIMIT_EXCEEDED"}
    async with Tenant(org.url, await mint(connected)) as another:
        await begun(another, "SLACK")


@pytest.mark.parametrize("name", NAMES)
async def test_without_a_registration_it_is_said_what_to_set(acme: Tenant, name: str) -> None:
    for operation, values in {
        "TemplateOauthStart": {"provider": name, "redirectUri": REDIRECT},
        EXCHANGE[name]: given("good"),
    }.items():
        (error,) = (await acme.run(operation, input=values))["errors"]
        assert error["code"] == "NOT_CONFIGURED"
        for setting in (f"GRAPHOOK_{name}_CLIENT_ID", f"GRAPHOOK_{name}_CLIENT_SECRET", "GRAPHOOK_OAUTH_REDIRECT_URIS"):
            assert setting in error["message"]


async def test_what_is_set_already_is_not_asked_for(backend: Backend) -> None:
    half = {"GRAPHOOK_SLACK_CLIENT_ID": CLIENT_ID, "GRAPHOOK_OAUTH_REDIRECT_URIS": REDIRECT}
    with deployed(await backend.fresh_database(), backend.fresh_redis(), **half) as running:
        async with Tenant(running.graphql, await mint(running)) as tenant:
            (error,) = (await tenant.run("TemplateOauthStart", input={"provider": "SLACK", "redirectUri": REDIRECT}))["errors"]

    assert error["code"] == "NOT_CONFIGURED"
    assert error["message"] == "Slack is not set up in this service: the operator must set GRAPHOOK_SLACK_CLIENT_SECRET."


def wanted(name: str, code: str, state: str | None, **more: Any) -> dict[str, Any]:
    """An endpoint of what came back."""
    return {"provider": name, **given(code, state), **more}


@pytest.mark.parametrize("name", NAMES)
async def test_a_channel_becomes_an_endpoint_in_one_go(
    there: Provider, connected: Deployment, org: Tenant, receiver: Receiver, name: str
) -> None:
    app = await org.application()
    there.webhook, usual = receiver.url(), there.webhook
    try:
        async with await portal(connected, org, app) as customer:
            state = await begun(customer, name)
            payload = await customer.run("TemplateOauthInstantiate", appId=app["id"], input=wanted(name, f"good-{state}", state))
    finally:
        there.webhook = usual

    channel = CHANNEL[name.lower()]
    assert (payload["errors"], payload["channel"]) == ([], channel)
    endpoint = payload["endpoint"]
    assert (endpoint["url"], endpoint["description"]) == (receiver.url(), f"{name.title()} {channel}")
    await org.settled(app, await org.message(app, payload={"number": "<7>"}))
    (request,) = receiver.got()
    CHECKS[name.lower()](request.body)


async def test_an_endpoint_of_a_channel_is_made_as_it_is_asked_for(there: Provider, org: Tenant) -> None:
    app = await org.application()
    await org.event_type("a.b")
    code = "function handler(webhook) { webhook.payload = { text: webhook.env.TEXT }; return webhook; }"
    template = await org.do("TemplateCreate", input={"name": "n", "logo": "https://example.com/", "transformation": code})
    state = await begun(org, "SLACK", appId=app["id"])
    more = {
        "templateId": template["id"],
        "variables": {"TEXT": "t"},
        "uid": "mine",
        "description": "d",
        "filterTypes": ["a.b"],
        "channels": ["c"],
    }

    endpoint = await org.do("TemplateOauthInstantiate", appId=app["id"], input=wanted("SLACK", "good-asked", state, **more))

    assert [endpoint[key] for key in ("uid", "description", "filterTypes", "channels", "url")] == [
        "mine",
        "d",
        ["a.b"],
        ["c"],
        there.webhook,
    ]
    found = await org.run("EndpointTransformation", appId=app["id"], endpointId="mine")
    assert (found["code"], found["enabled"], found["variables"]) == (code, True, ["TEXT"])


async def test_a_full_application_refuses_a_channel_before_the_code_is_used_up(there: Provider, org: Tenant) -> None:
    app = await org.application()
    endpoints = [await org.endpoint(app, "https://example.com/") for _ in range(2)]
    wish = wanted("SLACK", "good-full", await begun(org, "SLACK"))
    asked = len(there.asked)

    assert await org.fault("TemplateOauthInstantiate", appId=app["id"], input=wish) == ("LIMIT_EXCEEDED", None)

    assert len(there.asked) == asked
    await org.do("EndpointDelete", appId=app["id"], id=endpoints[0]["id"])
    await org.do("TemplateOauthInstantiate", appId=app["id"], input=wish)


@pytest.mark.parametrize(
    ("wrong", "code", "path"),
    [
        ({"templateId": "trtmpl_222222222222222222222222222"}, "NOT_FOUND", "templateId"),
        ({"filterTypes": ["unknown"]}, "BAD_USER_INPUT", "filterTypes"),
        ({"uid": "taken"}, "CONFLICT", "uid"),
        ({"uid": "ep_1"}, "INVALID_UID_PREFIX", "uid"),
        ({"channels": ["a b"]}, "BAD_USER_INPUT", "channels"),
        ({"variables": {"a": "x" * 20_000}}, "BAD_USER_INPUT", "variables"),
    ],
)
async def test_what_can_be_refused_is_refused_before_the_code_is_used_up(
    there: Provider, org: Tenant, wrong: dict[str, Any], code: str, path: str
) -> None:
    app = await org.application()
    taken = await org.endpoint(app, "https://example.com/", uid="taken")
    state = await begun(org, "SLACK")
    asked = len(there.asked)

    found, where = await org.fault("TemplateOauthInstantiate", appId=app["id"], input=wanted("SLACK", f"good-{state}", state, **wrong))

    assert (found, (where or [])[:2], len(there.asked)) == (code, ["input", path], asked)
    assert (await org.run("Endpoints", appId=app["id"]))["nodes"] == [taken]
    await org.do("TemplateOauthInstantiate", appId=app["id"], input=wanted("SLACK", f"good-{state}", state))


async def test_a_template_that_lost_its_event_types_is_refused_before_the_code_is_used_up(there: Provider, org: Tenant) -> None:
    app = await org.application()
    await org.event_type("a.b")
    code = "function handler(webhook) { return webhook; }"
    values = {"name": "n", "logo": "https://example.com/", "transformation": code, "filterTypes": ["a.b"]}
    template = await org.do("TemplateCreate", input=values)
    await org.do("EventTypeDelete", name="a.b")
    asked = len(there.asked)

    given = wanted("SLACK", "good-lost", await begun(org, "SLACK"), templateId=template["id"])
    fault = await org.fault("TemplateOauthInstantiate", appId=app["id"], input=given)

    assert (fault, len(there.asked)) == (("BAD_USER_INPUT", ["input", "filterTypes", "0"]), asked)


@pytest.mark.parametrize("what", ["denied", "unwell", "inside-1", "gone"])
async def test_what_the_provider_refuses_makes_nothing(there: Provider, org: Tenant, what: str) -> None:
    app = await org.application()

    given = wanted("DISCORD", what, await begun(org, "DISCORD"))
    fault = await org.fault("TemplateOauthInstantiate", appId=app["id"], input=given)

    assert fault == ("OAUTH_FAILED", ["input", "code"])
    assert (await org.run("Endpoints", appId=app["id"]))["nodes"] == []
    assert await org.fault("TemplateOauthInstantiate", appId=app["id"], input=given) == ("BAD_USER_INPUT", ["input", "state"])


async def test_a_state_for_one_application_makes_no_endpoint_in_another(there: Provider, org: Tenant) -> None:
    app, other = await org.application(), await org.application()
    state = await begun(org, "SLACK", appId=app["id"])
    given = wanted("SLACK", f"good-{state}", state)
    asked = len(there.asked)

    assert await org.fault("TemplateOauthInstantiate", appId=other["id"], input=given) == ("BAD_USER_INPUT", ["input", "state"])
    assert len(there.asked) == asked
    await org.do("TemplateOauthInstantiate", appId=app["id"], input=given)


async def test_a_webhook_keeps_to_the_settings_of_the_organisation(there: Provider, org: Tenant, receiver: Receiver) -> None:
    app = await org.application()
    await org.do("EnvironmentUpdateSettings", input={"enforceHttps": True})
    there.webhook, usual = receiver.url(), there.webhook
    try:
        fault = await org.run("TemplateOauthInstantiate", appId=app["id"], input=wanted("SLACK", "good-http", None))
    finally:
        there.webhook = usual
    assert [(error["code"], error["message"]) for error in fault["errors"]] == [
        ("OAUTH_FAILED", "Slack made no webhook: bad_incoming_webhook.")
    ]


async def test_the_examples_of_the_guide_do_what_it_says(there: Provider, org: Tenant) -> None:
    app = await org.application()
    start, finish, connect = (block.text for block in blocks(ROOT / "docs" / "guide" / "oauth.md", "graphql"))

    async def came_back(code: str) -> dict[str, Any]:
        authorization = (await org.execute(start, {"redirectUri": REDIRECT}))["authorization"]
        return {"code": code, "redirectUri": REDIRECT, "state": parse_qs(urlsplit(authorization["url"]).query)["state"][0]}

    finished = await org.execute(finish, await came_back("good-guide1"))
    assert finished["oauthExchange"] == {"incomingWebhookUrl": there.webhook, "channel": "#billing", "error": None}
    connected = await org.execute(connect, {"app": app["id"], **await came_back("good-guide2")})
    assert (connected["channel"], connected["endpoint"]["description"]) == ("#billing", "Slack #billing")
