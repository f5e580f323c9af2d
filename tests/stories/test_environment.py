"""Stories of an organisation's settings, which act, and of its configuration, which is exported and imported as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from graphook.input_sizes import MAX_ITEMS
from tests.conftest import Backend, mint, organisation_of
from tests.deployment import Deployment, deployed
from tests.documents import ROOT, blocks
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant
from tests.waiting import until

DEFAULTS = {
    "displayName": None,
    "colorPaletteDark": None,
    "colorPaletteLight": None,
    "customBaseFontSize": None,
    "customColor": None,
    "customFontFamily": None,
    "customFontFamilyUrl": None,
    "customLogoUrl": None,
    "customThemeOverride": None,
    "disableEndpointOnFailure": True,
    "enableChannels": False,
    "enableIntegrationManagement": False,
    "enableMessageTags": False,
    "enableTransformations": False,
    "enforceHttps": True,
    "eventCatalogPublished": False,
    "readOnly": False,
    "showUseSvixPlay": True,
}
PALETTE = {
    "backgroundHover": "#000",
    "backgroundPrimary": "#FFFF",
    "backgroundSecondary": None,
    "buttonPrimary": "#123456",
    "interactiveAccent": "#12345678",
    "navigationAccent": None,
    "primary": None,
    "textDanger": None,
    "textPrimary": None,
}
LOOK = {
    "displayName": "Acme Ltd.",
    "colorPaletteDark": PALETTE,
    "customColor": "#abcdef",
    "customFontFamily": "Open Sans-2_x",
    "customFontFamilyUrl": "https://fonts.example.com/css?family=Open+Sans",
    "customLogoUrl": "https://example.com/logo.png",
    "customThemeOverride": {"borderRadius": {"button": "FULL", "card": None, "input": "NONE"}, "fontSize": {"base": 65_535}},
    "enableChannels": True,
    "enableMessageTags": True,
    "showUseSvixPlay": False,
}


async def test_settings_are_replaced_as_a_whole_and_the_portal_sees_its_part(acme: Tenant, rival: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    before = await acme.run("EnvironmentSettings")
    assert (before["displayName"], before["showUseSvixPlay"]) == (None, True)

    saved = await acme.do("EnvironmentUpdateSettings", input={**LOOK, "enforceHttps": False, "customBaseFontSize": 16})

    assert saved == {**DEFAULTS, **LOOK, "enforceHttps": False, "customBaseFontSize": 16}
    async with Tenant(
        deployment.graphql, await mint(deployment, kind="app", org_id=await organisation_of(deployment, app), app_id=app["id"])
    ) as portal:
        shown = await portal.run("EnvironmentSettings")
        assert shown == {name: saved[name] for name in shown}
        assert "readOnly" not in shown
        assert (await portal.fault("EnvironmentUpdateSettings", input={}))[0] == "FORBIDDEN"
        with pytest.raises(Refused) as refused:
            await portal.run("EnvironmentExport")
        assert refused.value.code == "FORBIDDEN"
    assert (await rival.run("EnvironmentSettings"))["displayName"] is None
    assert await acme.do("EnvironmentUpdateSettings", input={}) == DEFAULTS


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"customColor": "red"}, ["customColor"]),
        ({"customColor": "#12345"}, ["customColor"]),
        ({"customColor": "#fff;background:url(x)"}, ["customColor"]),
        ({"colorPaletteLight": {"textDanger": "#ggg"}}, ["colorPaletteLight", "textDanger"]),
        ({"customFontFamily": "Comic; Sans"}, ["customFontFamily"]),
        ({"customFontFamily": ""}, ["customFontFamily"]),
        ({"customFontFamilyUrl": "javascript:alert(1)"}, ["customFontFamilyUrl"]),
        ({"customLogoUrl": ""}, ["customLogoUrl"]),
        ({"customLogoUrl": 'https://example.com/"onload="x'}, ["customLogoUrl"]),
        ({"customLogoUrl": f"https://example.com/{'a' * 65_536}"}, ["customLogoUrl"]),
        ({"customThemeOverride": {"fontSize": {"base": 65_536}}}, ["customThemeOverride", "fontSize", "base"]),
        ({"customThemeOverride": {"fontSize": {"base": -1}}}, ["customThemeOverride", "fontSize", "base"]),
        ({"displayName": "a\0b"}, ["displayName"]),
    ],
)
async def test_a_setting_that_breaks_its_rule_is_refused_at_its_place(acme: Tenant, change: dict[str, Any], at: list[str]) -> None:
    assert await acme.fault("EnvironmentUpdateSettings", input=change) == ("BAD_USER_INPUT", ["input", *at])
    exported = {"version": 1, "createdAt": "2026-01-01T00:00:00Z", "settings": change}
    assert await acme.fault("EnvironmentImport", input=exported) == ("BAD_USER_INPUT", ["input", "settings", *at])
    assert (await acme.run("EnvironmentExport"))["settings"] is None


async def test_a_setting_of_another_type_is_refused_with_its_path(acme: Tenant) -> None:
    for change, at in (
        ({"customThemeOverride": {"borderRadius": {"card": "HUGE"}}}, ["customThemeOverride", "borderRadius", "card"]),
        ({"readOnly": None}, ["readOnly"]),
        ({"customColor": 5}, ["customColor"]),
    ):
        with pytest.raises(Refused) as refused:
            await acme.run("EnvironmentUpdateSettings", input=change)
        assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", ["input", *at])


async def test_enforced_https_refuses_a_url_when_it_is_saved_and_when_it_is_sent_to(
    acme: Tenant, rival: Tenant, receiver: Receiver
) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    await acme.do("EnvironmentUpdateSettings", input={"enforceHttps": True})

    given = {"url": receiver.url()}
    assert await acme.fault("EndpointCreate", appId=app["id"], input=given) == ("BAD_USER_INPUT", ["input", "url"])
    assert await acme.fault("EndpointPatch", appId=app["id"], id=endpoint["id"], input=given) == ("BAD_USER_INPUT", ["input", "url"])
    assert (await acme.endpoint(app, "https://example.com/", disabled=True))["url"] == "https://example.com/"
    message = await acme.message(app)
    (attempt, *_) = await acme.settled(app, message, "FAIL")
    assert (attempt["errorCode"], attempt["responseStatusCode"]) == ("https_required", 0)
    assert receiver.requests == []
    theirs = await rival.application()
    await rival.endpoint(theirs, receiver.url())
    await rival.settled(theirs, await rival.message(theirs))

    await acme.do("EnvironmentUpdateSettings", input={"enforceHttps": False})
    await acme.settled(app, await acme.message(app))


async def test_read_only_lets_tokens_of_one_application_only_read(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/", disabled=True)
    where = {"appId": app["id"], "id": endpoint["id"]}
    await acme.do("EnvironmentUpdateSettings", input={"readOnly": True})
    async with Tenant(
        deployment.graphql, await mint(deployment, kind="app", org_id=await organisation_of(deployment, app), app_id=app["id"])
    ) as portal:
        assert (await portal.run("Endpoint", **where))["id"] == endpoint["id"]
        for name, variables in {
            "EndpointCreate": {"appId": app["id"], "input": {"url": "https://example.com/"}},
            "EndpointPatch": {**where, "input": {"description": "x"}},
            "EndpointDelete": where,
            "EndpointRotateSecret": {"appId": app["id"], "endpointId": endpoint["id"], "input": {}},
            "EndpointRecover": {"appId": app["id"], "endpointId": endpoint["id"], "input": {"since": "2026-11-01T00:00:00Z"}},
        }.items():
            assert (await portal.fault(name, **variables))[0] == "FORBIDDEN"
        assert await acme.run("Endpoint", **where) == await portal.run("Endpoint", **where)
        assert (await acme.do("EndpointPatch", **where, input={"description": "x"}))["description"] == "x"
        await acme.do("EnvironmentUpdateSettings", input={"readOnly": False})
        assert (await portal.do("EndpointPatch", **where, input={"description": "y"}))["description"] == "y"


async def test_endpoints_that_only_fail_are_disabled_unless_the_settings_say_no(backend: Backend, receiver: Receiver) -> None:
    with deployed(await backend.fresh_database(), backend.fresh_redis(), GRAPHOOK_DISABLE_AFTER_HOURS="0.00001") as running:
        async with Tenant(running.graphql, await mint(running)) as acme, Tenant(running.graphql, await mint(running)) as rival:
            await acme.do("EnvironmentUpdateSettings", input={"disableEndpointOnFailure": False, "enforceHttps": False})
            receiver.answers("/hook", *[500] * 6)
            kept, disabled = [
                (tenant, app, await tenant.endpoint(app, receiver.url()))
                for tenant, app in ((acme, await acme.application()), (rival, await rival.application()))
            ]

            for tenant, app, _ in (kept, disabled):
                await tenant.settled(app, await tenant.message(app), "FAIL")

            async def is_disabled() -> bool:
                tenant, app, endpoint = disabled
                return bool((await tenant.run("Endpoint", appId=app["id"], id=endpoint["id"]))["disabled"])

            await until(is_disabled, "the other organisation's endpoint to be disabled")
            tenant, app, endpoint = kept
            assert not (await tenant.run("Endpoint", appId=app["id"], id=endpoint["id"]))["disabled"]


def importable(environment: dict[str, Any]) -> dict[str, Any]:
    """An exported configuration as it is imported."""
    left_out = ("id", "createdAt", "updatedAt")
    event_types = [{name: value for name, value in item.items() if name not in left_out} for item in environment["eventTypes"]]
    return {**environment, "eventTypes": event_types}


async def test_a_configuration_is_exported_and_imported_elsewhere(acme: Tenant, rival: Tenant) -> None:
    schemas = {"1": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    await acme.event_type("a.b", schemas=schemas, featureFlag="beta")
    await acme.do("EventTypeUpdateRetrySchedule", name="a.b", input={"retrySchedule": [5, 2.5]})
    await acme.event_type("c.d", retrySchedule=[])
    await acme.do("EventTypeDelete", name="c.d")
    await acme.do("EnvironmentUpdateSettings", input={**LOOK, "readOnly": True})
    exported = await acme.run("EnvironmentExport")
    await rival.event_type("a.b", description="theirs")
    await rival.event_type("e.f")
    before = await rival.run("EventType", name="a.b")

    given = importable(exported)
    imported = await rival.do("EnvironmentImport", input=given, idempotencyKey="once")

    assert [item["name"] for item in imported["eventTypes"]] == ["a.b", "c.d", "e.f"]
    assert importable(await rival.run("EnvironmentExport"))["eventTypes"][:2] == given["eventTypes"]
    assert imported["settings"] == exported["settings"] == {**DEFAULTS, **LOOK, "readOnly": True}
    after = await rival.run("EventType", name="a.b")
    assert (after["id"], after["createdAt"]) == (before["id"], before["createdAt"])
    assert (after["schemas"], after["featureFlag"], imported["eventTypes"][1]["archived"]) == (schemas, "beta", True)
    assert [item["retrySchedule"] for item in imported["eventTypes"]] == [[5, 2.5], [], None]
    await rival.do("EnvironmentUpdateSettings", input={})
    await rival.do("EnvironmentImport", input=given, idempotencyKey="once")
    assert (await rival.run("EnvironmentExport"))["settings"] == DEFAULTS, "the key has done its work"
    assert await rival.fault("EnvironmentImport", input={**given, "settings": None}, idempotencyKey="once") == (
        "IDEMPOTENCY_KEY_REUSED",
        ["idempotencyKey"],
    )
    assert importable(await acme.run("EnvironmentExport")) | {"createdAt": ""} == given | {"createdAt": ""}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"version": 2}, ["input", "version"]),
        (
            {"eventTypes": [{"name": "a", "description": ""}, {"name": "no blanks", "description": ""}]},
            ["input", "eventTypes", "1", "name"],
        ),
        ({"eventTypes": [{"name": "a", "description": ""}] * 2}, ["input", "eventTypes", "1", "name"]),
        (
            {"eventTypes": [{"name": "a", "description": "", "schemas": {"1": {"type": "nothing"}}}]},
            ["input", "eventTypes", "0", "schemas", "1", "type"],
        ),
        (
            {
                "eventTypes": [
                    {"name": "a", "description": ""},
                    {"name": "b", "description": "", "validatePayload": True, "schemas": {"1": {"unevaluatedProperties": False}}},
                ]
            },
            ["input", "eventTypes", "1", "schemas", "1", "unevaluatedProperties"],
        ),
        ({"eventTypes": [{"name": "a", "description": "", "retrySchedule": [-1]}]}, ["input", "eventTypes", "0", "retrySchedule", "0"]),
    ],
)
async def test_a_configuration_with_a_fault_changes_nothing(acme: Tenant, change: dict[str, Any], path: list[str]) -> None:
    given = {"version": 1, "createdAt": "2026-01-01T00:00:00Z", "settings": {"displayName": "new"}, **change}

    assert await acme.fault("EnvironmentImport", input=given) == ("BAD_USER_INPUT", path)

    now = await acme.run("EnvironmentExport")
    assert (now["eventTypes"], now["settings"]) == ([], None)


async def test_an_import_takes_as_many_event_types_as_a_list_may_have_and_what_is_more_in_parts(acme: Tenant, rival: Tenant) -> None:
    document = "mutation ($input: EnvironmentIn!) { environmentImport(input: $input) { errors { message path } } }"
    listed = [{"name": f"a{n:05}", "description": ""} for n in range(MAX_ITEMS + 1)]

    async def given(tenant: Tenant, some: list[Any]) -> Any:
        return await tenant.execute(document, {"input": {"version": 1, "createdAt": "2026-01-01T00:00:00Z", "eventTypes": some}})

    for part in (listed[:MAX_ITEMS], listed[MAX_ITEMS:]):
        assert await given(acme, part) == {"errors": []}
    exported = await acme.execute("{ environmentExport { eventTypes { name description } } }")
    assert exported["eventTypes"] == listed
    with pytest.raises(Refused) as refused:
        await given(rival, exported["eventTypes"])
    assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", ["input", "eventTypes"])


async def test_what_the_guide_exports_it_imports_again_with_nothing_lost(acme: Tenant, rival: Tenant) -> None:
    examples = {
        block.text.split("(")[0].split("{")[0].strip(): block.text
        for block in blocks(ROOT / "docs" / "guide" / "organisation.md", "graphql")
    }
    saved = await acme.do("EnvironmentUpdateSettings", input={**LOOK, "customBaseFontSize": 16, "enforceHttps": False, "readOnly": True})
    await acme.do("EventTypeCreate", input={"name": "invoice.paid", "description": "Paid.", "retrySchedule": [5.0], "groupName": "invoice"})

    exported = await acme.execute(examples["query Export"])
    imported = await rival.execute(examples["mutation Import"], {"input": exported})

    assert imported["errors"] == []
    assert exported["settings"] == saved
    theirs = await rival.execute(examples["query Export"])
    assert {**theirs, "createdAt": exported["createdAt"]} == exported


async def test_the_guide_lets_customers_transform_and_http_endpoints_go_on(acme: Tenant, receiver: Receiver) -> None:
    for page in ("organisation", "transformations"):
        (example,) = (
            block.text for block in blocks(ROOT / "docs" / "guide" / f"{page}.md", "graphql") if "environmentUpdateSettings" in block.text
        )
        answer = await acme.execute(example)
        assert (answer["settings"]["enableTransformations"], answer["settings"]["enforceHttps"]) == (True, False)
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    await acme.settled(app, await acme.message(app))
