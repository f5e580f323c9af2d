"""Every argument of every operation, replaced by what a stranger might send: a typed answer each time, never a fault of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from graphql import GraphQLInputObjectType, OperationDefinitionNode, OperationType, get_named_type, parse, type_from_ast
from schema.api import schema
from tests.arguments import NOBODY, of_every_operation, places, replaced
from tests.client import http_client
from tests.conftest import Furnished
from tests.deployment import Deployment
from tests.operations import operations
from tests.tenant import Refused, Tenant

SUBSCRIPTIONS = {"WatchMessageAttempts", "WatchMessages", "MessageStatus", "WatchBackgroundTask", "WatchGeneration"}
# What creates something of the caller's own where there is nothing of that uid or name.
CREATES = {
    "MessageCreate",
    "MessageCreateBatch",
    "ApplicationCreate",
    "EventTypeCreate",
    "EventTypeUpdate",
    "EventTypeExportOpenapi",
    "EventTypeGenerateExample",
    "EventTypeImportOpenapi",
    "OperationalEndpointCreate",
    "OperationalEndpointUpdate",
    "AppPortalAccessCreate",
    "TemplateCreate",
    "TemplateSimulate",
}
HOSTILE: list[Any] = [
    "a\x00b", "x" * 100_000, f"msg_{NOBODY}", "0001-01-01T00:00:00+14:00", 2**63, -1, None, {"\x00": "\x00"}, json.loads("[" * 99 + "]" * 99),
]  # fmt: skip


def _operation(name: str) -> OperationDefinitionNode:
    return next(d for d in parse(operations()[name]).definitions if isinstance(d, OperationDefinitionNode))


async def test_the_arguments_are_complete(acme: Tenant) -> None:
    arguments = await of_every_operation(acme)

    assert set(arguments) == set(operations()) - SUBSCRIPTIONS
    for name, given in arguments.items():
        for variable in _operation(name).variable_definitions or ():
            argument = variable.variable.name.value
            assert argument in given, (name, argument)
            kind = type_from_ast(schema._schema, variable.type)
            named = get_named_type(kind)
            if isinstance(named, GraphQLInputObjectType):
                value = given[argument][0] if isinstance(given[argument], list) else given[argument]
                assert set(value) == set(named.fields), (name, argument)
        answer = await acme.run(name, **given)
        assert not isinstance(answer, dict) or {error["code"] for error in answer.get("errors", ())} <= {
            "NOT_FOUND",
            "ENDPOINT_DISABLED",
            "FORBIDDEN",
            "NOT_CONFIGURED",
        }


@pytest.mark.parametrize("name", sorted(set(operations()) - SUBSCRIPTIONS))
async def test_a_hostile_argument_is_answered_with_a_typed_error_or_taken(acme: Tenant, name: str) -> None:
    good = (await of_every_operation(acme))[name]
    document, headers = operations()[name], {"Authorization": f"Bearer {acme.token}"}
    slots = asyncio.Semaphore(4)

    async with http_client(headers=headers) as http:

        async def send(path: tuple[str | int, ...], value: Any) -> None:
            content = json.dumps({"query": document, "variables": replaced(good, path, value)})
            async with slots:
                response = await http.post(acme.url, content=content, headers={"Content-Type": "application/json"})
            what = (path, repr(value)[:60], response.text[:300])
            assert response.status_code == 200, what
            answer = response.json()
            root = next(iter((answer.get("data") or {"": None}).values()))
            errors = [*answer.get("errors", ()), *(root.get("errors", ()) if isinstance(root, dict) else ())]
            for error in errors:
                assert (error.get("code") or error["extensions"]["code"]) not in ("INTERNAL_SERVER_ERROR", "UNAVAILABLE", "TIMEOUT"), what
                assert len(error["message"]) < 1100, what

        await asyncio.gather(*(send(path, value) for path in places(good) for value in HOSTILE))


@pytest.mark.parametrize(
    ("name", "at", "value", "path"),
    [
        ("EndpointCreate", ("input", "filterTypes"), [f"t{number}" for number in range(300_000)], ["input", "filterTypes"]),
        ("EnvironmentImport", ("input", "eventTypes"), [{}] * 20_000, ["input", "eventTypes"]),
        ("MessageCreateBatch", ("inputs", 0, "tags"), ["t"] * 20_000, ["inputs", "0", "tags"]),
        ("ApplicationCreate", ("input",), dict.fromkeys(map(str, range(20_000)), 1), ["input"]),
        ("ApplicationCreate", ("input", "x" * 100_000), 1, ["input"]),
        ("EndpointUpdateHeaders", ("input", "headers"), {"é" * 100_000: ""}, ["input", "headers", "é" * 1000]),
    ],
)
async def test_what_is_far_too_large_is_refused_at_its_place_in_few_words(
    acme: Tenant, name: str, at: tuple[str | int, ...], value: Any, path: list[str]
) -> None:
    given = replaced((await of_every_operation(acme))[name], at, value)

    async with http_client(headers={"Authorization": f"Bearer {acme.token}"}, timeout=30) as http:
        response = await http.post(acme.url, json={"query": operations()[name], "variables": given})

    answer = response.json()
    errors = answer["errors"] if "errors" in answer else answer["data"]["endpointUpdateHeaders"]["errors"]
    told = errors[-1].get("extensions", errors[-1])
    assert (told["code"], told["path"]) == ("BAD_USER_INPUT", path)
    assert len(response.content) < 10_000


OWN_ORGANISATION = {
    "EnvironmentExport",
    "EnvironmentImport",
    "EnvironmentSettings",
    "EnvironmentUpdateSettings",
    "MessageBroadcast",
    "UsageAggregateApplications",
    "UsageAggregateEventTypes",
}


@pytest.fixture
async def owner(deployment: Deployment, furnished: Furnished) -> AsyncIterator[Tenant]:
    """The organisation that has something of everything."""
    async with Tenant(deployment.graphql, furnished.token) as tenant:
        yield tenant


@pytest.mark.parametrize("name", sorted(set(operations()) - SUBSCRIPTIONS))
async def test_the_ids_of_one_organisation_mean_nothing_to_another(furnished: Furnished, owner: Tenant, rival: Tenant, name: str) -> None:
    given = furnished.arguments[name]
    takes_ids = {"id", "ids", "appId", "name"} & set(given)
    try:
        answer = await rival.run(name, **given)
    except Refused as refused:
        assert refused.code == "NOT_FOUND"
        return
    if name == "Whoami":
        assert answer["organisationId"] != (await owner.run("Whoami"))["organisationId"]
        return
    if name in ("TemplateOauthSlack", "TemplateOauthDiscord"):
        assert {error["code"] for error in answer["errors"]} == {"NOT_CONFIGURED"}
        return
    if name == "Logout":
        assert {error["code"] for error in answer["errors"]} == {"FORBIDDEN"}
        return
    if name == "EventTypeGenerateSchema":
        assert {error["code"] for error in answer["errors"]} == {"NOT_CONFIGURED"}, "it is about nothing that anybody has"
        return
    if name in OWN_ORGANISATION:
        # They are about the rival's own, which has nothing of this.
        assert not answer.get("errors")
        assert "a.b" not in json.dumps((await rival.run("EnvironmentExport"))["eventTypes"])
        assert (await owner.run("EnvironmentExport"))["settings"] is None
        return
    if name == "MessageCreateBatch":
        answer = answer["results"][0]
    if name in CREATES:
        # What is created is the rival's own.
        assert answer["errors"] == []
        assert (await owner.run("EventType", name="a.b"))["description"] == "a test"
        assert (await owner.run("Application", id="an-application"))["rateLimit"] is None
    elif _operation(name).operation is OperationType.MUTATION:
        assert {error["code"] for error in answer["errors"]} == {"NOT_FOUND"}
    elif name == "OperationalEventTypes":
        assert answer == await owner.run(name), "they are the same for all"
    elif name == "Templates":
        assert {template["builtIn"] for template in answer["nodes"]} <= {True}
    elif takes_ids:
        assert answer is None or answer == [None, None]
    else:
        assert answer["data" if "Stream" in name else "nodes"] == []


async def test_a_literal_reads_its_variables(acme: Tenant) -> None:
    document = """mutation ($text: String!) { applicationCreate(input: {name: "n", metadata: {k: $text}}) { application { metadata } } }"""
    assert await acme.execute(document, {"text": "v"}) == {"application": {"metadata": {"k": "v"}}}

    app = await acme.application()
    document = """mutation ($app: ID!, $more: JSON) {
        messageCreate(appId: $app, input: {eventType: "a", payload: {a: $more}}) { message { payload } } }"""
    assert await acme.execute(document, {"app": app["id"], "more": [1]}) == {"message": {"payload": {"a": [1]}}}
    with pytest.raises(Refused) as refused:
        await acme.execute(document, {"app": app["id"]})
    assert refused.value.code == "BAD_USER_INPUT"


async def test_a_fault_in_one_message_of_a_batch_names_that_message(acme: Tenant) -> None:
    inputs = [{"eventType": "a", "payload": {}, "application": {"uid": uid, "name": "n"}} for uid in ("mine", "other")]

    results = (await acme.run("MessageCreateBatch", appId="mine", inputs=inputs))["results"]

    assert [[error["path"] for error in result["errors"]] for result in results] == [[], [["inputs", "1", "application", "uid"]]]


async def test_a_mistake_of_a_caller_is_not_logged_as_a_fault(acme: Tenant, deployment: Deployment) -> None:
    with pytest.raises(Refused):
        await acme.run("Applications", first=-7_654_321)

    assert "7654321" not in deployment.server.output
