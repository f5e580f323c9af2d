"""The contract in the schema: each property with its type, nullability and default, each operation with its arguments."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from graphql import (
    GraphQLEnumType,
    GraphQLNonNull,
    Undefined,
    get_named_type,
    introspection_from_schema,
    is_input_object_type,
    parse_value,
    value_from_ast_untyped,
)
from tests.cases import is_patch
from tests.contract import (
    COMPONENTS,
    HERE,
    NOT_FIELDS,
    OPERATIONS,
    ROOTS,
    SCHEMA,
    TYPES,
    argument,
    enum_names,
    of_component,
    of_operation,
    of_parameter,
    rows,
)

# What a property is called here where it has another name.
RENAMES = {
    ("HttpErrorOut", "detail"): "message",
    ("CompletionChoice", "finish_reason"): "finishReason",
    ("ValidationError", "loc"): "path",
    ("ValidationError", "msg"): "message",
    ("ValidationError", "type"): "code",
    **{
        ("MessageEndpointOut", name): f"endpoint.{name}"
        for name in COMPONENTS["MessageEndpointOut"]["properties"]
        if name not in ("status", "nextAttempt")
    },
    **{
        ("EndpointMessageOut", name): f"message.{name}"
        for name in COMPONENTS["EndpointMessageOut"]["properties"]
        if name not in ("status", "nextAttempt")
    },
}
# Deliberate departures in type, all of them on the page.
OTHER_TYPES = {
    ("BackgroundTaskOut", "data"): "JSON",
    ("HttpErrorOut", "code"): "ErrorCode",
    ("ValidationError", "type"): "ErrorCode",
    ("MessageIn", "payloadRetentionPeriod"): "Int",
    ("ApplicationTokenExpireIn", "expiry"): "Int",
    ("RetryScheduleInOut", "retrySchedule"): "[Float!]",
    ("MessageBroadcastIn", "payloadRetentionPeriod"): "Int",
    ("ApplicationStats", "messageDestinations"): "Int64",
    ("EndpointHeadersOut", "headers"): "[HttpHeader!]",
    ("EndpointHeadersPatchIn", "headers"): "[HttpHeaderPatch!]",
    ("MessageAttemptHeadersOut", "sentHeaders"): "[HttpHeader!]",
    ("MessageAttemptHeadersOut", "responseHeaders"): "[HttpHeader!]",
}
# Components that the contract both reads and writes: what they are written as.
WRITTEN_AS = {"RetryScheduleInOut": "RetryScheduleIn"}
# Required by the contract and nullable here: the other form of a payload, and an error that is about no argument.
NULLABLE = {("MessageIn", "payload"), ("MessageOut", "payload"), ("EndpointMessageOut", "payload"), ("ValidationError", "loc")}

ADDED_VALUES = {
    "CANCELED",
    "ENDPOINT_BULK_REPLAY",
    "APPLICATION_CANCEL_MESSAGES",
    "APPLICATION_PURGE_CONTENT",
    "TEMPLATE_GENERATE",
    "EVENT_TYPE_GENERATE_SCHEMA",
}
# What cannot be repeated: a one-time token and a code are used up, and a token that logged out is dead.
ONCE = {
    "v1.authentication.exchange-one-time-token",
    "v1.authentication.logout",
    "v1.transformation-template.oauth.discord",
    "v1.transformation-template.oauth.slack",
}
assert SCHEMA.query_type is not None
QUERIES = list(SCHEMA.query_type.fields.values())
KINDS = {"string": "String", "integer": "Int", "boolean": "Boolean", "date-time": "DateTime", "uri": "URL", "int64": "Int64"}
OBJECTS = [
    name
    for name, component in COMPONENTS.items()
    if "properties" in component and (here := of_component(name)) is not None and re.fullmatch(r"\w+", here)
]
ENUMS = [name for name, component in COMPONENTS.items() if "enum" in component and of_component(name) is not None]


def type_of(component: str, name: str, fact: dict[str, Any], *, given: bool = False) -> str:
    """The GraphQL type of a property, without whether it may be null. What is both given and answered has two names, the last for input."""
    if (component, name) in OTHER_TYPES:
        return OTHER_TYPES[component, name]
    if "ref" in fact:
        return rows("Component schemas")[fact["ref"]].here[-1 if given else 0]
    if fact["type"] == "array":
        return f"[{type_of(component, '', fact['items'], given=given)}!]"
    if fact["type"] == "object":
        return "StringMap" if fact.get("values", {}).get("type") == "string" else "JSON"
    if name in ("id", "appId", "endpointId", "msgId"):
        return "ID"
    return KINDS.get(fact.get("format", ""), KINDS[fact["type"]])


def defaults() -> dict[tuple[str, str], Any]:
    """Every default of an input field or of a root field's argument, as introspection prints it."""
    found: dict[tuple[str, str], Any] = {}
    introspection: Any = introspection_from_schema(SCHEMA)
    for kind in introspection["__schema"]["types"]:
        for field in kind.get("inputFields") or ():
            found[kind["name"], field["name"]] = field["defaultValue"]
        for field in kind.get("fields") or ():
            for given in field["args"]:
                found[field["name"], given["name"]] = given["defaultValue"]
    return {key: Undefined if text is None else value_from_ast_untyped(parse_value(text)) for key, text in found.items()}


DEFAULTS = defaults()


@pytest.mark.parametrize("component", OBJECTS)
def test_each_property_has_its_field_with_type_nullability_and_default(component: str) -> None:
    kind: Any = TYPES[str(of_component(component))]
    for name, fact in COMPONENTS[component]["properties"].items():
        if (component, name) in NOT_FIELDS:
            assert name not in kind.fields
            continue
        field: Any = None
        for step in RENAMES.get((component, name), name).split("."):
            fields = kind.fields if field is None else get_named_type(field.type).fields
            assert step in fields, f"{component}.{name}: {step} is missing"
            field = fields[step]
        strict = isinstance(field.type, GraphQLNonNull)
        assert str(field.type).removesuffix("!") == type_of(component, name, fact, given=is_input_object_type(kind)), f"{component}.{name}"
        if (component, name) in NULLABLE or fact.get("nullable"):
            assert not strict, f"{component}.{name} may be null"
        elif fact.get("required") or ("default" in fact and fact["default"] != {}):
            assert strict, f"{component}.{name} may not be null"
        if is_input_object_type(kind):
            default = DEFAULTS[kind.name, name]
            given = enum_names(fact["ref"])[fact["default"]] if "ref" in fact and "default" in fact else fact.get("default")
            # What is absent is an empty object, though no default says so: clients in JavaScript could not print one.
            shown = "default" in fact and given != {}
            allowed = [given] if shown else [Undefined] if is_patch(component) or strict or given == {} else [Undefined, None]
            assert default in allowed, f"{component}.{name} is {default!r} by default"


@pytest.mark.parametrize("component", ENUMS)
def test_each_enum_has_the_values_of_the_contract(component: str) -> None:
    kind: Any = TYPES[str(of_component(component))]
    assert isinstance(kind, GraphQLEnumType)
    facts = COMPONENTS[component]
    names = {
        re.sub(r"(?<=[a-z])(?=[A-Z0-9])|[.-]", "_", name).upper(): value
        for value, name in zip(facts["enum"], facts.get("names", facts["enum"]), strict=True)
    }
    values = {name: value.value for name, value in kind.values.items()}
    assert {name: value for name, value in values.items() if name not in ADDED_VALUES} == names


@pytest.mark.parametrize("operation", HERE)
def test_each_operation_takes_its_input_and_answers_its_output(operation: str) -> None:
    facts = OPERATIONS[operation]
    root = ROOTS[str(of_operation(operation))]
    if facts["input"] is not None:
        assert str(root.args["input"].type) == f"{WRITTEN_AS.get(facts['input'], of_component(facts['input']))}!"
    if facts["output"] is not None:
        answered: Any = get_named_type(root.type)
        wanted = of_component(facts["output"])
        shown = (
            {answered.name, *(get_named_type(field.type).name for field in answered.fields.values())}
            if answered.name.endswith("Payload")
            else {answered.name}
        )
        assert wanted in shown
    # What only reads is a query, which needs no key.
    assert ("idempotencyKey" in root.args) == (bool(facts.get("idempotent")) and operation not in ONCE and root not in QUERIES)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if of_operation(name) is not None and OPERATIONS[name]["query"]])
def test_each_query_parameter_is_an_argument(operation: str) -> None:
    here = re.split(r"[.(]", str(of_operation(operation)))[0]
    for name, fact in OPERATIONS[operation]["query"].items():
        path = of_parameter(name, here)
        if path is None:
            continue
        found = argument(here, path)
        assert not isinstance(found.type, GraphQLNonNull) or "default" in fact or fact.get("required") or name == "order"
        if "default" in fact and name != "limit":  # the default size of every page
            assert DEFAULTS[here, path[0]] == fact["default"]
        if fact.get("ref"):
            assert get_named_type(found.type).name == of_component(fact["ref"])


def test_the_facts_are_whole() -> None:
    assert len(COMPONENTS) == 128
    assert json.dumps(COMPONENTS).count('"ref"') == sum(json.dumps(COMPONENTS).count(f'"ref": "{name}"') for name in COMPONENTS)
