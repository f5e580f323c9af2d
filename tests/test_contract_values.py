"""The contract over HTTP: a value at the edge of each constraint is read back, one just beyond is refused and leaves nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Iterable
from typing import Any

import pytest

from tests.cases import ABSENT, Case, beyonds, edges, facts, is_patch, required
from tests.contract import COMPONENTS, HERE, NOT_FIELDS, OPERATIONS, ROOTS, TYPES, enum_names, of_component, of_operation, of_parameter
from tests.tenant import Refused, Tenant

# What begins a task has stories of its own, and so have retry schedules, examples, imports, whole configurations and test attempts.
OWN_STORIES = (
    None, "RecoverIn", "ReplayIn", "RetryScheduleInOut", "EventTypeSchemaIn", "EventExampleIn", "EventTypeImportOpenApiIn", "AppUsageStatsIn",
    "MessageBroadcastIn", "EnvironmentIn", "EndpointTransformationIn", "EndpointTransformationSimulateIn", "OauthPayloadIn",
    "TransformationSimulateIn", "GenerateIn",
)  # fmt: skip
WRITES = [name for name in HERE if OPERATIONS[name]["input"] not in OWN_STORIES and name != "create_message_attempt_for_endpoint"]
# What answers a secret has stories of its own; what it refuses is tried here.
READABLE = [name for name in WRITES if OPERATIONS[name]["input"] not in ("AppPortalAccessIn", "ApplicationTokenExpireIn", "OneTimeTokenIn")]
# Root field → what the operations that it answers take in their query strings.
LISTS: dict[str, dict[str, Any]] = {}
for _name, _operation in OPERATIONS.items():
    _here = of_operation(_name)
    # Statistics have stories of their own: their times depend on each other.
    if (
        _here is not None
        and _operation["method"] == "GET"
        and _operation["query"]
        and not {"since", "startDate"} & set(_operation["query"])
    ):
        LISTS.setdefault(re.split(r"[.(]", _here)[0], {}).update(_operation["query"])
# What can be given and not read back.
NOT_READ = {"payloadRetentionPeriod", "application", "transformationsParams"}
SECRETS = {"secret", "key"}
# The name of a template, which a blank one in an update leaves as it is.
KEPT = "as it was"
# A secret that the service made.
MADE = re.compile(r"whsec_[a-zA-Z0-9+/=]{32}")
_NODES = {
    "trtmpl_": "Template",
    "integ_": "Integration",
    "app_": "Application",
    "ep_": "Endpoint",
    "evtype_": "EventType",
    "msg_": "Message",
}
_numbers = itertools.count(1)


class Scene:
    """An organisation with an application, in which inputs are tried."""

    def __init__(self, acme: Tenant, app: dict[str, Any]) -> None:
        self.acme = acme
        self.app = app

    async def target(self, root: str) -> dict[str, Any]:
        """Arguments beside the input: the application, and something new to change."""
        found: dict[str, Any] = {}
        for name in ROOTS[root].args:
            if name == "appId":
                found[name] = self.app["id"]
            elif name == "id" and root.startswith("application"):
                found[name] = (await self.acme.application())["id"]
            elif name == "id" and root.startswith("integration"):
                found[name] = (await self.acme.do("IntegrationCreate", appId=self.app["id"], input={"name": "target"}))["id"]
            elif name == "id" and root.startswith("template"):
                found[name] = (await self.acme.do("TemplateCreate", input=required("TemplateIn") | {"name": KEPT}))["id"]
            elif name in ("id", "endpointId"):
                found[name] = (await self.acme.endpoint(self.app, "http://127.0.0.1/"))["id"]
            elif name == "name":
                found[name] = (await self.acme.event_type(f"target.{next(_numbers)}"))["name"]
        return found

    async def write(self, root: str, target: dict[str, Any], given: dict[str, Any]) -> tuple[Any, list[tuple[str, list[str]]]]:
        """What was written, and the codes and paths of the errors."""
        try:
            payload = await self.acme.run(root[0].upper() + root[1:], **target, input=given)
        except Refused as refused:
            return None, [(error["extensions"]["code"], error["extensions"].get("path", [])) for error in refused.errors]
        entity = next(value for key, value in payload.items() if key not in ("errors", "created"))
        return entity, [(error["code"], error["path"]) for error in payload["errors"]]

    async def secret(self, endpoint: dict[str, Any]) -> str:
        """An endpoint's secret."""
        return str((await self.acme.run("EndpointSecret", appId=self.app["id"], endpointId=endpoint["id"]))["key"])

    async def read(self, entity: dict[str, Any], names: list[str]) -> dict[str, Any]:
        """Properties of what was written, read anew."""
        found: dict[str, Any] = {name: await self.secret(entity) for name in names if name in SECRETS}
        fields = ["headers { headers { name value } }" if name == "headers" else name for name in names if name not in SECRETS]
        if fields:
            kind = next(kind for prefix, kind in _NODES.items() if entity["id"].startswith(prefix))
            document = f"query ($id: ID!) {{ node(id: $id) {{ ... on {kind} {{ id {' '.join(fields)} }} }} }}"
            found |= (await self.acme.execute(document, {"id": entity["id"]})) or {}
        if "headers" in names:
            found["headers"] = {header["name"]: header["value"] for header in found["headers"]["headers"]}
        return found

    async def everything(self) -> list[Any]:
        """All there is."""
        app = {"appId": self.app["id"], "limit": 250}
        lists = [
            await self.acme.run("Applications", limit=250),
            await self.acme.run("EventTypes", limit=250, includeArchived=True),
            await self.acme.run("Endpoints", **app),
            await self.acme.run("Messages", **app),
            await self.acme.run("Integrations", **app),
            await self.acme.run("Templates", limit=250),
        ]
        assert all(found["done"] for found in lists)
        secrets = [await self.secret(endpoint) for endpoint in lists[2]["nodes"]]
        # On PostgreSQL the place behind what is committed moves with whatever is written, be it something else.
        return [*({**found, "liveCursor": None} for found in lists), secrets]


@pytest.fixture
async def scene(acme: Tenant) -> Scene:
    """An application of its own for each test."""
    return Scene(acme, await acme.application())


async def together(tries: Iterable[Awaitable[str | None]]) -> None:
    """Run the tries, a few at a time, and fail with all that went wrong."""
    turns = asyncio.Semaphore(6)

    async def one(attempt: Awaitable[str | None]) -> str | None:
        async with turns:
            return await attempt

    wrong = [found for found in await asyncio.gather(*map(one, tries)) if found is not None]
    assert wrong == [], "\n".join(wrong)


def short(value: Any) -> str:
    """A value, cut for a message."""
    text = repr(value)
    return text if len(text) < 80 else f"{text[:60]}… ({len(text)})"


def input_of(component: str, **values: Any) -> dict[str, Any]:
    """A valid input but for some of its properties, as it is sent."""
    given = required(component) | ({"name": f"a.{next(_numbers)}"} if component == "EventTypeIn" else {}) | values
    if component == "EndpointHeadersPatchIn" and isinstance(given["headers"], dict):
        given["headers"] = [{"name": header, "value": text} for header, text in given["headers"].items()]
    return {key: item for key, item in given.items() if item is not ABSENT}


def properties_of(component: str) -> list[str]:
    """The properties that can be given."""
    return [name for name in COMPONENTS[component]["properties"] if (component, name) not in NOT_FIELDS]


def read_back(component: str, name: str, given: dict[str, Any], before: dict[str, Any]) -> Any:
    """What must be read after an input was written over what was there before; a pattern for a secret that is made."""
    if (component, name) == ("TemplateUpdate", "name") and not given.get(name):
        return KEPT
    default = facts(component, name).get("default")
    if "ref" in facts(component, name) and default is not None:
        default = enum_names(facts(component, name)["ref"])[default]
    if name not in given:
        return before[name] if is_patch(component) else MADE if name in SECRETS else default
    value = given[name]
    if name in SECRETS:
        return f"whsec_{value.removeprefix('whsec_')}" if value is not None else before[name] if is_patch(component) else MADE
    if name == "headers":
        headers = value.items() if isinstance(value, dict) else ((header["name"], header["value"]) for header in value)
        return {header: text for header, text in headers if text is not None}
    return default if value is None else value


@pytest.mark.parametrize("operation", READABLE)
async def test_values_at_the_edge_are_accepted_and_read_back(scene: Scene, operation: str) -> None:
    component, root = OPERATIONS[operation]["input"], str(of_operation(operation))
    values = {name: list(edges(facts(component, name))) for name in properties_of(component)}
    readable = [name for name in values if name not in NOT_READ]
    for event_type in {item for listed in values.get("filterTypes", ()) for item in listed or ()}:
        await scene.acme.event_type(event_type)

    async def attempt(turn: int) -> str | None:
        """Write the value of this turn of every property; a property that has had all of its turns is left out."""
        given = input_of(component, **{name: listed[turn] for name, listed in values.items() if turn < len(listed)})
        target = await scene.target(root)
        before: dict[str, Any] = {}
        if is_patch(component):
            same, errors = await scene.write(root, target, {})
            assert errors == []
            before = await scene.read(same, readable)
        entity, errors = await scene.write(root, target, given)
        if errors:
            return f"refused: {[(short(given.get(path[1])), code, path) for code, path in errors]}"
        found = await scene.read(entity, readable)
        wanted = {name: read_back(component, name, given, before) for name in readable}
        wrong = [
            f"{name} is {short(found[name])}, not {short(want)}"
            for name, want in wanted.items()
            if not (MADE.fullmatch(found[name]) if want is MADE else found[name] == want)
        ]
        return "; ".join(wrong) or None

    await together(attempt(turn) for turn in range(max(map(len, values.values())) + 1))


@pytest.mark.parametrize("operation", WRITES)
async def test_a_value_beyond_the_edge_is_refused_with_its_path_and_nothing_is_written(scene: Scene, operation: str) -> None:
    component, root = OPERATIONS[operation]["input"], str(of_operation(operation))
    target = await scene.target(root)

    async def attempt(name: str, case: Case) -> str | None:
        entity, errors = await scene.write(root, target, input_of(component, **{name: case.value}))
        said = f"{name} = {short(case.value)}"
        if entity is not None or not errors:
            return f"{said} was accepted"
        where = ["input", name, *case.at]
        wrong = [(code, path) for code, path in errors if code != case.code or (path or [])[: len(where)] != where]
        return f"{said} was refused with {wrong}, not with {case.code} at {where}" if wrong else None

    before = await scene.everything()
    await together(attempt(name, case) for name in properties_of(component) for case in beyonds(facts(component, name)))
    assert await scene.everything() == before


UNIQUE = [("ApplicationIn", "uid"), ("EndpointIn", "uid"), ("EventTypeIn", "name"), ("MessageIn", "eventId")]


@pytest.mark.parametrize(("component", "name"), UNIQUE)
async def test_what_is_unique_is_taken_once(scene: Scene, component: str, name: str) -> None:
    operation = next(operation for operation in WRITES if OPERATIONS[operation]["input"] == component)
    root = str(of_operation(operation))
    target = await scene.target(root)
    _, errors = await scene.write(root, target, input_of(component, **{name: "taken"}))
    assert errors == []
    before = await scene.everything()
    _, errors = await scene.write(root, target, input_of(component, **{name: "taken"}))
    assert errors == [("CONFLICT", ["input", name])]
    assert await scene.everything() == before


CHANGES = [name for name in WRITES if "uid" in COMPONENTS[OPERATIONS[name]["input"]]["properties"] and OPERATIONS[name]["method"] != "POST"]


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_change_to_a_uid_that_is_taken_is_refused(scene: Scene, operation: str) -> None:
    component, root = OPERATIONS[operation]["input"], str(of_operation(operation))
    (first, second) = (await scene.target(root), await scene.target(root))
    _, errors = await scene.write(root, first, input_of(component, uid="taken"))
    assert errors == []
    before = await scene.everything()
    _, errors = await scene.write(root, second, input_of(component, uid="taken"))
    assert errors == [("CONFLICT", ["input", "uid"])]
    assert await scene.everything() == before


@pytest.mark.parametrize("root", LISTS)
async def test_the_arguments_of_a_list_keep_their_rules(scene: Scene, root: str) -> None:
    document = root[0].upper() + root[1:]
    message = await scene.acme.message(scene.app)
    endpoint = await scene.acme.endpoint(scene.app, "http://127.0.0.1/")
    known = {"appId": scene.app["id"], "messageId": message["id"], "id": message["id"]}
    if root == "endpointMessages":
        known["endpointId"] = endpoint["id"]
    target = {name: value for name, value in known.items() if name in ROOTS[root].args}

    async def attempt(path: tuple[str, ...], value: Any, *, allowed: bool) -> str | None:
        given: Any = value
        for step in reversed(path[1:]):
            given = {step: given}
        said = f"{'.'.join(path)} = {short(value)}"
        try:
            await scene.acme.run(document, **target, **{path[0]: given})
        except Refused as refused:
            if allowed:
                return f"{said} was refused: {refused}"
            wrong = refused.code != "BAD_USER_INPUT" or refused.path[: len(path)] != list(path)
            return f"{said} was refused with {refused.code} at {refused.path}" if wrong else None
        return None if allowed else f"{said} was accepted"

    tries = []
    for name, fact in LISTS[root].items():
        path = of_parameter(name, root)
        if path is None:
            continue
        if name == "limit":
            for argument_name in {"limit", "first", "last"} & set(ROOTS[root].args):
                tries += [attempt((argument_name,), value, allowed=True) for value in (fact["minimum"], fact["maximum"])]
                tries += [attempt((argument_name,), value, allowed=False) for value in (fact["minimum"] - 1, fact["maximum"] + 1, "1")]
        elif name == "iterator":
            tries += [
                attempt((argument_name,), "no\0cursor", allowed=False)
                for argument_name in {"iterator", "after", "before"} & set(ROOTS[root].args)
            ]
        elif name == "endpoint_id":
            tries += [attempt(path, value, allowed=True) for value in (endpoint["id"], None)]
        elif "ref" in fact:
            kind: Any = TYPES[str(of_component(fact["ref"]))]
            tries += [attempt(path, value, allowed=True) for value in kind.values]
            tries += [attempt(path, value, allowed=False) for value in ("NOTHING", 0)]
        elif fact.get("format") == "date-time":
            tries += [
                attempt(path, value, allowed=True)
                for value in ("2026-01-31T12:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", None)
            ]
            tries += [attempt(path, value, allowed=False) for value in ("2026-01-31", "2026-02-30T00:00:00Z", 5)]
        else:
            tries += [attempt(path, value, allowed=True) for value in edges(fact)]
            tries += [attempt(path, case.value, allowed=False) for case in beyonds(fact) if case.value is not None]
    await together(tries)
