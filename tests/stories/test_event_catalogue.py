"""Stories of the catalogue as an OpenAPI document: imported whole or not at all, and exported so that it reads back the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.stories.test_replay import finished
from tests.tenant import Tenant

NEW_DRAFT = "https://json-schema.org/draft/2020-12/schema"
YAML = """
openapi: 3.1.0
info: {title: Shop, version: "1"}
webhooks:
  order.paid:
    post:
      description: An order was paid.
      deprecated: true
      requestBody: {$ref: '#/components/requestBodies/order'}
      responses: {200: {description: ok}}
  order.sent:
    $ref: '#/components/pathItems/sent'
  ping: {}
components:
  pathItems:
    sent: {put: {summary: It is on its way., responses: {default: {description: ok}}}}
  requestBodies:
    order:
      description: not this one
      content:
        application/json:
          schema: {$ref: '#/components/schemas/Order'}
          examples:
            small: {value: {id: no, lines: []}}
            large: {$ref: '#/components/examples/large'}
  examples:
    large: {value: {id: "2", lines: [{sku: a}], parent: {id: "1", lines: []}}}
  schemas:
    Order:
      type: object
      required: [id, lines]
      properties:
        id: {type: string}
        lines: {type: array, items: {$ref: '#/components/schemas/Line'}}
        parent: {$ref: '#/components/schemas/Order'}
    Line: {type: object, properties: {sku: {type: string}, order: {$ref: '#/components/schemas/Order'}}}
"""
ORDER = {
    "$schema": NEW_DRAFT,
    "type": "object",
    "required": ["id", "lines"],
    "properties": {"id": {"type": "string"}, "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}}, "parent": {"$ref": "#"}},
    "$defs": {"Line": {"type": "object", "properties": {"sku": {"type": "string"}, "order": {"$ref": "#"}}}},
    "examples": [{"id": "no", "lines": []}, {"id": "2", "lines": [{"sku": "a"}], "parent": {"id": "1", "lines": []}}],
}


async def catalogue(tenant: Tenant) -> list[dict[str, Any]]:
    """The live event types, as they are seen, without what says when they were made."""
    nodes = (await tenant.run("EventTypes", limit=250))["nodes"]
    return [{name: value for name, value in node.items() if name not in ("id", "createdAt", "updatedAt")} for node in nodes]


async def test_a_document_makes_changes_and_brings_back_event_types(acme: Tenant) -> None:
    kept = await acme.event_type("order.sent", featureFlag="beta", schemas={"1": {}})
    await acme.event_type("ping")
    await acme.do("EventTypeDelete", name="ping")
    await acme.event_type("elsewhere")

    answer = await acme.run("EventTypeImportOpenapi", input={"specRaw": YAML})

    assert answer == {"modified": ["order.paid", "order.sent", "ping"], "archived": [], "toModify": None, "errors": []}
    found = {row["name"]: row for row in await catalogue(acme)}
    assert set(found) == {"order.paid", "order.sent", "ping", "elsewhere"}
    paid = found["order.paid"]
    assert (paid["description"], paid["deprecated"], paid["schemas"]) == ("An order was paid.", True, {"1": ORDER})
    sent = await acme.run("EventType", name="order.sent")
    assert (sent["id"], sent["description"], sent["featureFlag"], sent["schemas"]) == (kept["id"], "It is on its way.", "beta", None)
    assert (found["ping"]["description"], found["ping"]["archived"]) == ("", False)
    app = await acme.application()
    await acme.do("EventTypePatch", name="order.paid", input={"validatePayload": True})
    bad = {"eventType": "order.paid", "payload": {"id": "1", "lines": [{"order": {"id": 5, "lines": []}}]}}
    assert (await acme.fault("MessageCreate", appId=app["id"], input=bad))[1] == ["input", "payload", "lines", "0", "order", "id"]


async def test_a_dry_run_says_what_would_be_written_and_writes_nothing(acme: Tenant) -> None:
    await acme.event_type("elsewhere")
    before = await catalogue(acme)
    spec = {"openapi": "3.1.0", "webhooks": {"a": {"post": {"description": "d"}}}}

    answer = await acme.run("EventTypeImportOpenapi", input={"spec": spec, "dryRun": True, "replaceAll": True})

    assert (answer["modified"], answer["archived"]) == (["a"], ["elsewhere"])
    assert [(found["name"], found["description"], found["schemas"]) for found in answer["toModify"]] == [("a", "d", None)]
    assert await catalogue(acme) == before


async def test_replacing_all_archives_what_the_document_does_not_have(acme: Tenant, rival: Tenant) -> None:
    await rival.event_type("theirs")
    for name in ("a", "b", "c"):
        await acme.event_type(name)
    spec = {"openapi": "3.1.0", "webhooks": {"b": {}, "d": {}}}

    answer = await acme.run("EventTypeImportOpenapi", input={"spec": spec, "replaceAll": True}, idempotencyKey="once")

    assert (answer["modified"], answer["archived"]) == (["b", "d"], ["a", "c"])
    assert [row["name"] for row in await catalogue(acme)] == ["b", "d"]
    assert [row["name"] for row in await catalogue(rival)] == ["theirs"]
    assert (await acme.run("EventTypeImportOpenapi", input={"spec": spec, "replaceAll": True}, idempotencyKey="once"))["errors"] == []


async def test_webhooks_of_openapi_3_0_become_draft_7(acme: Tenant) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "number", "nullable": True, "minimum": 0, "exclusiveMinimum": True, "example": 1}},
    }
    content = {"application/problem+json; charset=utf-8": {"schema": schema}}
    spec = {"openapi": "3.0.3", "x-webhooks": {"a": {"post": {"requestBody": {"description": "from the body", "content": content}}}}}

    await acme.run("EventTypeImportOpenapi", input={"specRaw": json.dumps(spec)})

    (found,) = await catalogue(acme)
    assert found["description"] == "from the body"
    assert found["schemas"] == {
        "1": {"type": "object", "properties": {"n": {"type": ["number", "null"], "exclusiveMinimum": 0, "examples": [1]}}}
    }


def body(schema: Any) -> dict[str, Any]:
    return {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}}


AT_SCHEMA = ["post", "requestBody", "content", "application/json", "schema"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"openapi": "2.0"}, ["openapi"]),
        ({"openapi": None}, ["openapi"]),
        ({"webhooks": []}, ["webhooks"]),
        ({"x-webhooks": {"good": {}}}, ["x-webhooks", "good"]),
        ({"webhooks": {"a b": {}}}, ["webhooks", "a b"]),
        ({"webhooks": {"x": []}}, ["webhooks", "x"]),
        ({"webhooks": {"x": {"post": {"description": 5}}}}, ["webhooks", "x", "post", "description"]),
        ({"webhooks": {"x": {"post": {"description": "a\0b"}}}}, ["webhooks", "x", "post", "description"]),
        ({"webhooks": {"x": {"$ref": "#/webhooks/x"}}}, ["webhooks", "x", "$ref"]),
        ({"webhooks": {"x": body({"$ref": "#/components/schemas/A"})}, "components": {"schemas": {"A": {"$ref": "#/components/schemas/A"}}}},
         ["components", "schemas", "A", "$ref"]),
        ({"webhooks": {"x": body({"$ref": "file:///etc/passwd"})}}, ["webhooks", "x", *AT_SCHEMA, "$ref"]),
        ({"webhooks": {"x": body({"items": {"$ref": "http://127.0.0.1/"}})}}, ["webhooks", "x", *AT_SCHEMA, "items", "$ref"]),
        ({"webhooks": {"x": body({"$ref": "#/components/none"})}}, ["webhooks", "x", *AT_SCHEMA, "$ref"]),
        ({"webhooks": {"x": body({"properties": {"a": {"type": "nonsense"}}})}}, ["webhooks", "x", *AT_SCHEMA, "properties", "a", "type"]),
        ({"webhooks": {"x": body({"items": {"$ref": "#/components/schemas/B"}})}, "components": {"schemas": {"B": {"items": {"type": 1}}}}},
         ["components", "schemas", "B", "items", "type"]),
        ({"webhooks": {"x": {"post": {"x-graphook": {"retrySchedule": [1, -1]}}}}}, ["webhooks", "x", "post", "x-graphook", "retrySchedule", "1"]),
        ({"webhooks": {"x": {"post": {"x-graphook": {"featureFlag": "a b"}}}}}, ["webhooks", "x", "post", "x-graphook", "featureFlag"]),
        ({"webhooks": {"x": {"post": {"x-graphook": {"validatePayload": True}, **body({"pattern": "(?=a)"})["post"]}}}},
         ["webhooks", "x", *AT_SCHEMA, "pattern"]),
        ({"jsonSchemaDialect": "https://json-schema.org/draft/2019-09/schema"}, ["jsonSchemaDialect"]),
        ({"webhooks": {"x": body({"items": {"$ref": "#/components/schemas/C"}})},
          "components": {"schemas": {"C": {"$schema": "http://json-schema.org/draft-04/schema#"}}}}, ["components", "schemas", "C", "$schema"]),
        ({"webhooks": {f"n{n}": {} for n in range(1001)}}, ["webhooks"]),
    ],
)  # fmt: skip
async def test_a_document_with_one_fault_is_refused_whole_with_its_place(acme: Tenant, change: dict[str, Any], path: list[str]) -> None:
    await acme.event_type("there")
    before = await catalogue(acme)
    spec: dict[str, Any] = {"openapi": "3.1.0", "webhooks": {}} | change
    if isinstance(spec["webhooks"], dict):
        spec["webhooks"] = {"good": {}, **spec["webhooks"]}

    for given in ({"spec": spec}, {"specRaw": json.dumps(spec)}):
        fault = await acme.fault("EventTypeImportOpenapi", input={**given, "replaceAll": True})
        assert fault == ("BAD_USER_INPUT", ["input", *given, *path])
    assert await catalogue(acme) == before


@pytest.mark.parametrize("given", [{}, {"spec": {}, "specRaw": "{}"}])
async def test_a_document_is_given_once(acme: Tenant, given: dict[str, Any]) -> None:
    assert await acme.fault("EventTypeImportOpenapi", input=given) == ("BAD_USER_INPUT", ["input", "spec"])


async def test_what_is_exported_is_valid_and_reads_back_as_the_same_catalogue(acme: Tenant, rival: Tenant) -> None:
    await acme.run("EventTypeImportOpenapi", input={"specRaw": YAML})
    draft_7 = {"definitions": {"a/b": {"type": "string"}}, "properties": {"x": {"$ref": "#/definitions/a~1b"}, "y": {"$ref": "#"}}}
    await acme.event_type(
        "two.versions", schemas={"1": {"type": "object"}, "2": draft_7}, featureFlag="f", groupName="g", validatePayload=True
    )
    await acme.event_type(
        "of.its.own", schemas={"v1": {"$id": "https://example.com/s", "$ref": "#/definitions/a", "definitions": {"a": {}}}}
    )
    await acme.event_type("dangling", schemas={"1": {"items": {"$ref": "#/definitions/none"}}})
    await acme.event_type("empty", schemas={})
    await acme.event_type("old")
    await acme.do("EventTypeDelete", name="old")
    await acme.do("EventTypeUpdateRetrySchedule", name="ping", input={"retrySchedule": [0.5, 60]})
    await rival.event_type("gone.afterwards")

    done = await finished(acme, await acme.do("EventTypeExportOpenapi"))

    assert (done["task"], done["status"], done["appId"], done["data"]["eventTypes"]) == ("SDK_GENERATE", "FINISHED", None, 7)
    document = done["data"]["openapi"]
    validate(document)
    assert (await acme.run("BackgroundTasks", task="SDK_GENERATE"))["nodes"][0]["data"] == {"eventTypes": 7}
    for given in ({"spec": document}, {"specRaw": json.dumps(document)}):
        answer = await rival.run("EventTypeImportOpenapi", input={**given, "replaceAll": True})
        assert answer["errors"] == []
        assert await catalogue(rival) == await catalogue(acme)
    again = (await finished(rival, await rival.do("EventTypeExportOpenapi")))["data"]["openapi"]
    assert again == document


async def test_an_export_is_begun_once_by_its_key_and_nobody_elses(acme: Tenant, rival: Tenant) -> None:
    task = await acme.do("EventTypeExportOpenapi", idempotencyKey="once")

    assert (await acme.do("EventTypeExportOpenapi", idempotencyKey="once"))["id"] == task["id"]
    await finished(acme, task)
    assert await rival.run("BackgroundTask", id=task["id"]) is None
