"""Values at the edge of a constraint, and just beyond it, made from the contract's facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphook.tokens import ONE_TIME_PATTERN
from tests.contract import COMPONENTS

# The property is left out.
ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "absent"})()

CODE = "function handler(webhook) { return webhook; }"
SLUG = r"^[a-zA-Z0-9\-_.]+$"
# What may stand in a header.
VISIBLE = r"^[\x20-\x7e]*$"
# Where we are stricter than the contract: its patches leave out what holds at creation, and everything a stranger can send has an end.
STRICTER: dict[tuple[str, str], dict[str, Any]] = {
    ("ApplicationPatch", "name"): {"minLength": 1, "maxLength": 4096},
    ("ApplicationPatch", "rateLimit"): {"minimum": 1},
    ("ApplicationIn", "name"): {"maxLength": 4096},
    ("EndpointPatch", "rateLimit"): {"minimum": 1},
    ("EndpointPatch", "channels"): {"minItems": 1, "maxItems": 10},
    ("EndpointPatch", "filterTypes"): {"minItems": 1},
    ("EndpointPatch", "url"): {"minLength": 1, "maxLength": 65_536},
    ("EndpointHeadersIn", "headers"): {"values": {"type": "string", "pattern": VISIBLE}},
    ("EndpointHeadersPatchIn", "headers"): {"values": {"type": "string", "pattern": VISIBLE, "nullable": True}},
    ("IntegrationIn", "name"): {"minLength": 1, "maxLength": 4096},
    ("IntegrationUpdate", "name"): {"minLength": 1, "maxLength": 4096},
    **{(component, "name"): {"minLength": 1, "maxLength": 4096} for component in ("TemplateIn", "TemplatePatch")},
    # Code that cannot run is refused; the shortest that does something has so many characters.
    **{
        (component, "transformation"): {"minLength": len(CODE), "code": True}
        for component in ("TemplateIn", "TemplateUpdate", "TemplatePatch")
    },
    ("TemplateUpdate", "name"): {"maxLength": 4096},
    # Pages show them; the service does not ask for them.
    **{
        (component, name): {"maxLength": 65_536, "asked": False}
        for component in ("TemplateIn", "TemplateUpdate", "TemplatePatch")
        for name in ("logo", "instructionsLink")
    },
    **{(component, "instructions"): {"maxLength": 65_536} for component in ("TemplateIn", "TemplateUpdate", "TemplatePatch")},
    ("AppPortalAccessIn", "featureFlags"): {"maxItems": 25},
    ("OneTimeTokenIn", "oneTimeToken"): {"pattern": ONE_TIME_PATTERN},
    **{
        (f"{noun}{kind}", "description"): {"maxLength": 65_536}
        for noun in ("Endpoint", "EventType", "Template")
        for kind in ("In", "Update", "Patch")
    },
}
INTEGERS = {"uint16": (0, 65_535), "uint64": (0, 2**64 - 1), "int64": (-(2**63), 2**63 - 1)}
_SLUG_CHARACTERS = "azAZ09-_."
OWN_PREFIXES = ("app_", "ep_", "msg_", "evtype_", "atmpt_", "org_", "trtmpl_")


@dataclass(frozen=True)
class Case:
    """A value for a property; beyond the edge also where in the value the fault is, and the code of the error."""

    value: Any
    at: tuple[str, ...] = ()
    code: str = "BAD_USER_INPUT"


def facts(component: str, name: str) -> dict[str, Any]:
    """The constraints of a property, ours where they are stricter."""
    return {**COMPONENTS[component]["properties"][name], **STRICTER.get((component, name), {})}


def is_patch(component: str) -> bool:
    """Whether absent means: as it is."""
    return component.endswith("Patch")


def text(length: int, fact: dict[str, Any]) -> str:
    """A valid text of that length."""
    if fact.get("code"):
        return CODE.ljust(length)
    if fact.get("format") == "uri":
        return "http://127.0.0.1/".ljust(length, "a")
    if "{32,100}" in fact.get("pattern", ""):
        return "QUJD".ljust(length, "A")
    characters = _SLUG_CHARACTERS if "pattern" in fact else "é <x>"
    return (characters * (length // len(characters) + 1))[:length]


def edges(fact: dict[str, Any]) -> Iterator[Any]:
    """Values that are just allowed."""
    if fact.get("nullable"):
        yield None
    kind = fact.get("type")
    if kind == "string":
        yield from (text(length, fact) for length in _lengths(fact))
        if "whsec_" in fact.get("pattern", ""):
            yield "whsec_" + text(32, fact)
    elif kind == "integer":
        low, high = _range(fact)
        yield from (low, high)
    elif kind == "boolean":
        yield from (True, False)
    elif kind == "array":
        longest = fact["items"].get("maxLength", 10)
        for count in dict.fromkeys((fact.get("minItems", 0), fact.get("maxItems", 2))):
            yield [text(longest - index, fact["items"]) for index in range(count)]
    elif kind == "object" and "values" in fact:
        yield from ({}, {"1": sample(fact["values"]), "X-b": sample(fact["values"])})
        if fact["values"].get("nullable"):
            yield {"1": None}
    elif kind == "object":
        yield from ({}, {"deep": [{"text": "é", "number": 1.5, "nothing": None}]})


def beyonds(fact: dict[str, Any]) -> Iterator[Case]:
    """Values that are not allowed any more."""
    if fact.get("required"):
        yield Case(ABSENT)
    if not fact.get("nullable"):
        yield Case(None)
    kind = fact.get("type")
    if kind == "string":
        yield from _beyond_text(fact)
    elif kind == "integer":
        low, high = _range(fact)
        yield from (Case(low - 1), Case(high + 1), Case(str(low)), Case(low + 0.5))
    elif kind == "boolean":
        yield from (Case("true"), Case(1))
    elif kind == "array":
        yield from _beyond_list(fact)
    elif kind == "object":
        yield from (Case("text"), Case(5))
        if "values" in fact:
            yield Case({"1": 5})
        if fact.get("values", {}).get("pattern") == VISIBLE:
            yield from (Case({"X-b": wrong}, ("X-b",)) for wrong in ("é", "a\nb", " a", "a ", "a" * 4097))
    elif "ref" in fact:
        yield Case("text")
        yield from _beyond_nested(fact["ref"])


def sample(fact: dict[str, Any]) -> Any:
    """An ordinary valid value."""
    kind = fact.get("type")
    if kind == "string":
        return text(max(19, fact.get("minLength", 0)), fact)
    return {"integer": fact.get("minimum", 1), "boolean": True, "array": [], "object": {}}[str(kind)]


def required(component: str) -> dict[str, Any]:
    """An input with what it must have and no more."""
    return {name: sample(fact) for name, fact in COMPONENTS[component]["properties"].items() if fact.get("required")}


def _lengths(fact: dict[str, Any]) -> list[int]:
    if "{32,100}" in fact.get("pattern", ""):
        return [32, 100]
    shortest = 19 if fact.get("format") == "uri" else fact.get("minLength", 1 if "pattern" in fact else 0)
    return [shortest, fact.get("maxLength", 4096)]


def _range(fact: dict[str, Any]) -> tuple[int, int]:
    low, high = INTEGERS[fact["format"]]
    return max(low, fact.get("minimum", low)), min(high, fact.get("maximum", high))


def _beyond_text(fact: dict[str, Any]) -> Iterator[Case]:
    yield from (Case(5), Case(["a", "b"]), Case(f"{CODE}\0" if fact.get("code") else "a\0b"))
    if fact.get("minLength") or "pattern" in fact:
        yield Case("")
    if "maxLength" in fact:
        yield Case(text(fact["maxLength"] + 1, fact))
    if fact.get("pattern") == SLUG:
        yield from (Case(wrong) for wrong in ("a b", "ä", "a/b", "a\n", "a:b"))
        if _is_uid(fact):
            yield from (Case(f"{prefix}1", code="INVALID_UID_PREFIX") for prefix in OWN_PREFIXES)
    elif "pattern" in fact:
        # Shorter and longer than the pattern wants, another alphabet, another prefix, and what is no base64 though the pattern lets it pass.
        yield from (Case(wrong) for wrong in (text(31, fact), text(104, fact), "-" * 32, "whpk_" + text(32, fact), "=" * 32))
    if fact.get("format") == "uri":
        yield from (Case(wrong) for wrong in ("127.0.0.1", "ftp://127.0.0.1/", "http://"))
        if fact.get("asked", True):
            yield Case("http://10.0.0.1/")


def _beyond_list(fact: dict[str, Any]) -> Iterator[Case]:
    items = fact["items"]
    good = [text(9 + index, items) for index in range(fact.get("maxItems", 2) + 1)]
    yield from (Case(5), Case({}))
    if fact.get("minItems"):
        yield Case([])
    if "maxItems" in fact:
        yield Case(good)
    if fact.get("uniqueItems"):
        yield Case([good[0], good[0]], ("1",))
    for case in beyonds(items):
        if case.value is not ABSENT and not isinstance(case.value, list):
            yield Case([good[0], case.value], ("1",))


def _beyond_nested(component: str) -> Iterator[Case]:
    for name in COMPONENTS[component].get("properties", ()):
        for case in beyonds(facts(component, name)):
            value = required(component) | {name: case.value}
            yield Case({key: item for key, item in value.items() if item is not ABSENT}, (name, *case.at), case.code)


def _is_uid(fact: dict[str, Any]) -> bool:
    """Whether a property is somebody's own id for a thing, which may not look like one of ours."""
    return fact.get("pattern") == SLUG and fact.get("minLength") == 1 and bool(fact.get("nullable"))
