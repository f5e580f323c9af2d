"""Stories of templates: the organisation's own, those that come with the service, and who sees which."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.client import http_client
from tests.conftest import mint, organisation_of
from tests.deployment import Deployment
from tests.documents import ROOT, blocks
from tests.messages import CHECKS
from tests.receiver import Receiver
from tests.tenant import Tenant

CODE = "function handler(webhook) { webhook.payload = { text: webhook.eventType }; return webhook; }"
BUILT_IN = ["slack", "teams", "discord", "reshape"]


def values(**more: Any) -> dict[str, Any]:
    """A valid template."""
    return {"name": "Chat", "logo": "https://example.com/logo.png", "transformation": CODE, **more}


def built_in(name: str) -> str:
    """The id of the template that comes with the service under that name."""
    return f"trtmpl_{name.rjust(27, '0')}"


async def own(tenant: Tenant) -> list[Any]:
    """The templates that do not come with the service."""
    return [node for node in (await tenant.run("Templates"))["nodes"] if not node["builtIn"]]


async def test_a_template_is_created_changed_and_deleted(acme: Tenant) -> None:
    await acme.event_type("invoice.paid")
    created = await acme.do(
        "TemplateCreate", input=values(filterTypes=["invoice.paid"], kind="ZAPIER", instructionsLink="https://example.com/")
    )
    assert created["id"].startswith("trtmpl_")
    assert (created["orgId"], created["builtIn"]) == ((await acme.run("Whoami"))["organisationId"], False)
    assert await acme.run("Template", id=created["id"]) == created
    assert (await acme.run("Node", id=created["id"]))["id"] == created["id"]

    patched = await acme.do(
        "TemplatePatch", id=created["id"], input={"description": "chats", "filterTypes": None, "instructionsLink": None}
    )
    assert {**patched, "updatedAt": created["updatedAt"]} == {
        **created,
        "description": "chats",
        "filterTypes": None,
        "instructionsLink": None,
    }
    assert patched["updatedAt"] > created["updatedAt"]

    other = CODE.replace("text", "content")
    updated = await acme.do("TemplateUpdate", id=created["id"], input={"logo": "https://example.com/2.png", "transformation": other})
    assert (updated["name"], updated["kind"], updated["description"], updated["transformation"]) == ("Chat", "CUSTOM", "", other)
    updated = await acme.do("TemplateUpdate", id=created["id"], input=values(name="Talk"))
    assert (updated["name"], await acme.run("Template", id=created["id"])) == ("Talk", updated)

    assert await acme.do("TemplateDelete", id=created["id"]) == created["id"]
    assert await acme.run("Template", id=created["id"]) is None
    assert await acme.fault("TemplateDelete", id=created["id"]) == ("NOT_FOUND", ["id"])
    assert await acme.fault("TemplatePatch", id=created["id"], input={"name": "x"}) == ("NOT_FOUND", ["id"])
    assert await acme.fault("TemplateUpdate", id=created["id"], input=values()) == ("NOT_FOUND", ["id"])


async def test_a_creation_that_is_repeated_with_its_key_makes_one_template(acme: Tenant) -> None:
    payloads = [await acme.run("TemplateCreate", input=values(), idempotencyKey="one") for _ in range(2)]

    assert [payload["created"] for payload in payloads] == [True, False]
    assert payloads[0]["template"] == payloads[1]["template"]
    assert await own(acme) == [payloads[0]["template"]]
    assert await acme.fault("TemplateCreate", input=values(name="other"), idempotencyKey="one") == (
        "IDEMPOTENCY_KEY_REUSED",
        ["idempotencyKey"],
    )


async def test_a_template_is_named_by_its_key_also_once_its_event_types_are_archived(acme: Tenant) -> None:
    await acme.event_type("invoice.paid")
    arguments = {"input": values(filterTypes=["invoice.paid"]), "idempotencyKey": "k"}
    created = await acme.do("TemplateCreate", **arguments)
    await acme.do("EventTypeDelete", name="invoice.paid")

    assert await acme.do("TemplateCreate", **arguments) == created


async def test_lists_begin_with_what_comes_with_the_service_and_page_both_ways(acme: Tenant) -> None:
    made = [(await acme.do("TemplateCreate", input=values(name=str(number))))["id"] for number in range(3)]
    whole = [node["id"] for node in (await acme.run("Templates"))["nodes"]]
    assert whole == [*map(built_in, BUILT_IN), *made]
    assert [node["id"] for node in (await acme.run("Templates", order="DESCENDING"))["nodes"]] == whole[::-1]

    for size in (1, 2, 3, 7):
        seen, page = [], await acme.run("Templates", limit=size)
        while True:
            seen += [node["id"] for node in page["nodes"]]
            if page["done"]:
                break
            page = await acme.run("Templates", limit=size, iterator=page["iterator"])
        assert seen == whole
        seen, page = [], await acme.run("Templates", last=size)
        while True:
            seen = [node["id"] for node in page["nodes"]] + seen
            if page["done"]:
                break
            page = await acme.run("Templates", last=size, before=page["pageInfo"]["startCursor"])
        assert seen == whole


@pytest.mark.parametrize("name", BUILT_IN)
async def test_what_comes_with_the_service_is_there_for_everybody_and_nobodys_to_change(
    acme: Tenant, deployment: Deployment, name: str
) -> None:
    template = await acme.run("Template", id=built_in(name))
    assert (template["id"], template["builtIn"], template["orgId"]) == (built_in(name), True, (await acme.run("Whoami"))["organisationId"])
    assert "function handler(webhook)" in template["transformation"]
    assert 10 <= len(template["transformation"]) <= 51_200
    assert "{{number}}" in template["instructions"], "a place in the payload, as the guide has it"

    for operation, given in {
        "TemplatePatch": {"input": {"name": "x"}},
        "TemplateUpdate": {"input": values()},
        "TemplateDelete": {},
    }.items():
        assert await acme.fault(operation, id=template["id"], **given) == ("FORBIDDEN", ["id"])
    assert await acme.run("Template", id=template["id"]) == template

    assert template["logo"] == f"https://hooks.example.com/templates/{name}.svg"
    async with http_client() as client:
        answer = await client.get(f"{deployment.url}/templates/{name}.svg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "script" not in answer.text


async def test_an_application_sees_a_flagged_template_only_with_the_flag_and_changes_none(acme: Tenant, deployment: Deployment) -> None:
    flagged = await acme.do("TemplateCreate", input=values(name="hidden", featureFlag="beta"))
    plain = await acme.do("TemplateCreate", input=values(name="open"))
    app = await acme.application()
    org_id = await organisation_of(deployment, app)
    async with (
        Tenant(acme.url, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"])) as without,
        Tenant(acme.url, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"], feature_flags=["beta"])) as beta,
    ):
        assert await own(without) == [plain]
        assert await without.run("Template", id=flagged["id"]) is None
        assert await without.run("Node", id=flagged["id"]) is None
        assert await own(beta) == [flagged, plain]
        assert await beta.run("Template", id=flagged["id"]) == flagged
        for name, given in {
            "TemplateCreate": {"input": values()},
            "TemplatePatch": {"id": plain["id"], "input": {"name": "x"}},
            "TemplateUpdate": {"id": plain["id"], "input": values()},
            "TemplateDelete": {"id": plain["id"]},
        }.items():
            assert await beta.fault(name, **given) == ("FORBIDDEN", None)


async def test_templates_of_another_organisation_do_not_exist(acme: Tenant, rival: Tenant) -> None:
    theirs = await rival.do("TemplateCreate", input=values())

    assert await acme.run("Template", id=theirs["id"]) is None
    assert await acme.fault("TemplatePatch", id=theirs["id"], input={"name": "x"}) == ("NOT_FOUND", ["id"])
    assert await acme.fault("TemplateUpdate", id=theirs["id"], input=values()) == ("NOT_FOUND", ["id"])
    assert await acme.fault("TemplateDelete", id=theirs["id"]) == ("NOT_FOUND", ["id"])
    assert await own(acme) == []
    assert await own(rival) == [theirs]


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"filterTypes": ["unknown"]}, ["filterTypes", "0"]),
        ({"name": " "}, ["name"]),
        ({"logo": "javascript:alert(1)"}, ["logo"]),
        ({"instructionsLink": "data:text/html,x"}, ["instructionsLink"]),
        ({"transformation": "x" * 51_201}, ["transformation"]),
        ({"featureFlag": "a b"}, ["featureFlag"]),
    ],
)
async def test_a_bad_value_is_refused_at_its_place_and_nothing_is_written(acme: Tenant, wrong: dict[str, Any], path: list[str]) -> None:
    template = await acme.do("TemplateCreate", input=values())

    for name, given in {"TemplateCreate": {}, "TemplateUpdate": {"id": template["id"]}, "TemplatePatch": {"id": template["id"]}}.items():
        if not (name == "TemplateUpdate" and wrong == {"name": " "}):
            assert await acme.fault(name, **given, input=values(**wrong)) == ("BAD_USER_INPUT", ["input", *path])
    assert await own(acme) == [template]


@pytest.mark.parametrize("code", ["function handler(webhook) {", "const other = (webhook) => webhook;"])
async def test_code_that_cannot_run_is_no_template(acme: Tenant, code: str) -> None:
    template = await acme.do("TemplateCreate", input=values())

    for name, given in {"TemplateCreate": {}, "TemplateUpdate": {"id": template["id"]}, "TemplatePatch": {"id": template["id"]}}.items():
        fault = await acme.fault(name, **given, input=values(transformation=code))
        assert fault == ("TRANSFORMATION_FAILED", ["input", "transformation"])
    assert await own(acme) == [template]


async def test_code_is_tried_without_an_endpoint(acme: Tenant) -> None:
    code = "function handler(webhook) { webhook.payload = { of: webhook.env.TEAM, saw: webhook.payload.n }; return webhook; }"
    given = {"code": code, "eventType": "a.b", "payload": {"n": [1.5]}, "variables": {"TEAM": "blue"}}

    found = await acme.do("TemplateSimulate", input=given)

    assert {**found, "payload": json.loads(found["payload"])} == {
        "method": "POST", "url": "https://example.com/", "payload": {"of": "blue", "saw": [1.5]}, "headers": {}, "cancel": False,
    }  # fmt: skip
    for wrong in (
        "function handler(w) { throw new Error('no') }",
        "function handler(w) { while (true) {} }",
        "function handler(w) { return 1 }",
    ):
        assert await acme.fault("TemplateSimulate", input={**given, "code": wrong}) == ("TRANSFORMATION_FAILED", ["input", "code"])
    assert await acme.fault("TemplateSimulate", input={**given, "payload": [1]}) == ("BAD_USER_INPUT", ["input", "payload"])
    assert await own(acme) == []


async def test_a_built_in_template_is_tried_with_a_payload_of_ones_own(acme: Tenant) -> None:
    slack = await acme.run("Template", id=built_in("slack"))
    given = {
        "code": slack["transformation"],
        "eventType": "invoice.paid",
        "payload": {"number": 7},
        "variables": {"text": "Invoice {{number}}"},
    }

    assert json.loads((await acme.do("TemplateSimulate", input=given))["payload"])["text"] == "Invoice 7"


async def test_a_customer_tries_code_where_customers_may_write_it(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    org_id = await organisation_of(deployment, app)
    given = {"code": CODE, "eventType": "a", "payload": {}}
    async with Tenant(acme.url, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"])) as customer:
        assert await customer.fault("TemplateSimulate", input=given) == ("FORBIDDEN", None)
        await acme.do("EnvironmentUpdateSettings", input={"enableTransformations": True, "enforceHttps": False})
        assert (await customer.do("TemplateSimulate", input=given))["payload"] == '{"text":"a"}'


async def test_an_endpoint_made_of_a_template_gets_what_its_code_makes(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    for name in ("invoice.paid", "invoice.lost"):
        await acme.event_type(name)
    code = "function handler(webhook) { webhook.payload = { text: webhook.env.GREETING + webhook.payload.number }; return webhook; }"
    template = await acme.do("TemplateCreate", input=values(transformation=code, filterTypes=["invoice.paid"]))

    endpoint = await acme.do(
        "TemplateInstantiate", appId=app["id"], templateId=template["id"], input={"url": receiver.url()}, variables={"GREETING": "No. "}
    )

    assert endpoint["filterTypes"] == ["invoice.paid"]
    await acme.settled(app, await acme.message(app, payload={"number": 7}))
    lost = await acme.message(app, eventType="invoice.lost")
    assert await acme.destinations(app, lost) == {}
    assert [json.loads(request.body) for request in receiver.got()] == [{"text": "No. 7"}]
    found = await acme.run("EndpointTransformation", appId=app["id"], endpointId=endpoint["id"])
    assert (found["code"], found["enabled"], found["variables"]) == (code, True, ["GREETING"])

    await acme.do("TemplatePatch", id=template["id"], input={"transformation": CODE})
    await acme.do("TemplateDelete", id=template["id"])
    assert (await acme.run("EndpointTransformation", appId=app["id"], endpointId=endpoint["id"]))["code"] == code, "it is a copy"


@pytest.mark.parametrize("name", sorted(CHECKS))
async def test_a_customer_connects_a_chat_with_what_comes_with_the_service(
    acme: Tenant, deployment: Deployment, receiver: Receiver, name: str
) -> None:
    app = await acme.application()
    org_id = await organisation_of(deployment, app)
    async with Tenant(acme.url, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"])) as customer:
        await customer.do("TemplateInstantiate", appId=app["id"], templateId=built_in(name), input={"url": receiver.url()})
    await acme.settled(app, await acme.message(app, payload={"number": "<7>", "customer": {"name": "@everyone"}}))

    (request,) = receiver.got()
    CHECKS[name](request.body)
    assert "webhook-signature" in request.headers


async def test_an_endpoint_may_ask_for_other_event_types_than_its_template(acme: Tenant) -> None:
    app = await acme.application()
    await acme.event_type("a")
    await acme.event_type("b")
    template = await acme.do("TemplateCreate", input=values(filterTypes=["a"]))

    endpoint = await acme.do(
        "TemplateInstantiate", appId=app["id"], templateId=template["id"], input={"url": "https://example.com/", "filterTypes": ["b"]}
    )
    assert endpoint["filterTypes"] == ["b"]


async def test_an_instantiation_that_is_repeated_with_its_key_makes_one_endpoint(acme: Tenant) -> None:
    app = await acme.application()
    given = {"appId": app["id"], "templateId": built_in("slack"), "input": {"url": "https://example.com/"}, "idempotencyKey": "one"}

    payloads = [await acme.run("TemplateInstantiate", **given, variables={"text": "x"}) for _ in range(2)]

    assert [payload["created"] for payload in payloads] == [True, False]
    assert len((await acme.run("Endpoints", appId=app["id"]))["nodes"]) == 1
    assert await acme.fault("TemplateInstantiate", **given, variables={"text": "y"}) == ("IDEMPOTENCY_KEY_REUSED", ["idempotencyKey"])
    assert await acme.fault("TemplateInstantiate", **{**given, "templateId": built_in("teams")}) == (
        "IDEMPOTENCY_KEY_REUSED",
        ["idempotencyKey"],
    )


async def test_an_instantiation_is_answered_by_its_key_also_once_the_template_is_deleted(acme: Tenant) -> None:
    app, template = await acme.application(), await acme.do("TemplateCreate", input=values())
    given = {"appId": app["id"], "templateId": template["id"], "input": {"url": "https://example.com/"}}
    first = await acme.run("TemplateInstantiate", **given, idempotencyKey="one")
    await acme.do("TemplateDelete", id=template["id"])

    again = await acme.run("TemplateInstantiate", **given, idempotencyKey="one")

    assert again == {**first, "created": False}
    assert await acme.fault("TemplateInstantiate", **given, idempotencyKey="two") == ("NOT_FOUND", ["templateId"])


@pytest.mark.parametrize(
    ("wrong", "code", "path"),
    [
        ({"templateId": "trtmpl_222222222222222222222222222"}, "NOT_FOUND", ["templateId"]),
        ({"templateId": "hidden"}, "NOT_FOUND", ["templateId"]),
        ({"input": {"url": "http://169.254.169.254/"}}, "BAD_USER_INPUT", ["input", "url"]),
        ({"input": {"url": "https://example.com/", "filterTypes": ["unknown"]}}, "BAD_USER_INPUT", ["input", "filterTypes", "0"]),
        ({"variables": {"a": "x" * 20_000}}, "BAD_USER_INPUT", ["variables"]),
        ({"variables": {"text": "x", "Text": "x"}}, "BAD_USER_INPUT", ["variables", "Text"]),
        ({"templateId": built_in("reshape"), "variables": {"text": "x"}}, "BAD_USER_INPUT", ["variables", "text"]),
        ({"templateId": built_in("reshape"), "variables": {"shape": "{"}}, "TRANSFORMATION_FAILED", ["variables"]),
        ({"templateId": built_in("reshape"), "variables": {"method": "GET"}}, "TRANSFORMATION_FAILED", ["variables"]),
        ({"input": {"url": "https://example.com/", "uid": "taken"}}, "CONFLICT", ["input", "uid"]),
    ],
)
async def test_a_bad_instantiation_leaves_nothing_behind(
    acme: Tenant, deployment: Deployment, wrong: dict[str, Any], code: str, path: list[str]
) -> None:
    app = await acme.application()
    taken = await acme.endpoint(app, "https://example.com/", uid="taken")
    hidden = await acme.do("TemplateCreate", input=values(featureFlag="beta"))
    given = {"appId": app["id"], "templateId": built_in("slack"), "input": {"url": "https://example.com/"}, **wrong}
    if given["templateId"] == "hidden":
        given["templateId"] = hidden["id"]

    org_id = await organisation_of(deployment, app)
    async with Tenant(acme.url, await mint(deployment, kind="app", org_id=org_id, app_id=app["id"])) as customer:
        assert await customer.fault("TemplateInstantiate", **given) == (code, path)
    assert (await acme.run("Endpoints", appId=app["id"]))["nodes"] == [taken]


async def test_the_examples_of_the_guide_do_what_it_says(acme: Tenant, receiver: Receiver) -> None:
    page = ROOT / "docs" / "guide" / "templates.md"
    app = await acme.application()
    listed, connect, create, attempt = (block.text for block in blocks(page, "graphql"))
    (shape,) = (block.text for block in blocks(page, "json"))

    told = set(re.findall(r"^\| `(trtmpl_\w+)` \|", page.read_text("utf-8"), re.MULTILINE))
    assert {node["id"] for node in (await acme.execute(listed))["nodes"]} == told
    assert (await acme.execute(connect, {"app": app["id"], "url": receiver.url()}))["errors"] == []
    await acme.settled(app, await acme.message(app, payload={"number": 7, "customer": {"name": "Ada"}}))
    assert json.loads(receiver.got()[0].body)["text"] == "Invoice 7 of Ada was paid"
    assert (await acme.execute(create))["errors"] == []
    slack = (await acme.run("Template", id=built_in("slack")))["transformation"]
    assert "Invoice 7" in (await acme.execute(attempt, {"code": slack}))["simulation"]["payload"]

    reshape = (await acme.run("Template", id=built_in("reshape")))["transformation"]
    given = {"code": reshape, "eventType": "a", "payload": {"number": "A-7", "total": 5}, "variables": {"shape": shape}}
    assert json.loads((await acme.do("TemplateSimulate", input=given))["payload"]) == {
        "id": "A-7", "total": 5, "summary": "A-7 was paid", "source": {"system": "billing", "raw": given["payload"]},
    }  # fmt: skip
