"""The rules for custom headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphook.headers import FORBIDDEN_NAMES, FORBIDDEN_PREFIXES, check_headers, is_sensitive

CASES = json.loads(Path(__file__, "../../data/header_cases.json").resolve().read_text())["cases"]
PATH = ("input", "headers")


def faults(headers: dict[str, str]) -> list[tuple[str, ...]]:
    """The paths of what is wrong."""
    return [fault.path for fault in check_headers(headers, PATH)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_header_is_taken_or_refused_at_its_name(case: dict[str, Any]) -> None:
    value = case["value"] * case.get("times", 1)
    at_its_name = [(*PATH, case["name"])]
    in_all = [PATH] if len(value) > 32 * 1024 else []

    assert faults({case["name"]: value}) == ([] if case["accepted"] else in_all + at_its_name)
    assert is_sensitive(case["name"]) or not case.get("sensitive")


@pytest.mark.parametrize("name", sorted(FORBIDDEN_NAMES | {f"{prefix}x" for prefix in FORBIDDEN_PREFIXES}))
def test_a_header_of_the_service_or_of_infrastructure_is_refused_in_any_case(name: str) -> None:
    assert faults({name.title(): "x"}) == [(*PATH, name.title())]


def test_every_fault_is_reported_at_once() -> None:
    assert faults({"Host": "x", "X-Fine": "x", "X-Bad": "a\nb", "": "x"}) == [(*PATH, name) for name in ("Host", "X-Bad", "")]


def test_names_that_differ_in_case_only_are_the_same() -> None:
    assert faults({"X-A": "1", "x-a": "2"}) == [(*PATH, "x-a")]


def test_the_limits_themselves_are_allowed() -> None:
    assert faults({"n" * 128: "v" * 4096}) == []
    assert faults({f"X-{number}": "v" for number in range(50)}) == []
    full = {f"X-{number}": "v" * 4093 for number in range(8)}
    assert sum(len(name) + len(value) for name, value in full.items()) == 32 * 1024
    assert faults(full) == []


def test_beyond_a_limit_is_refused() -> None:
    assert faults({"n" * 129: "v"}) == [(*PATH, "n" * 129)]
    assert faults({"X-A": "v" * 4097}) == [(*PATH, "X-A")]
    assert faults({f"X-{number}": "v" for number in range(51)}) == [PATH]
    assert faults({f"X-{number}": "v" * 4093 for number in range(8)} | {"Y": ""}) == [PATH]


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "X-API-Key", "x-auth-token", "Cookie", "WWW-Authenticate", "X-Hub-Signature", "My-SESSION", "X-Password",
        "X-Passwd", "X-Access-Passphrase", "X-PWD", "X-JWT-Assertion", "Proxy-Bearer", "X-Credentials",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_sensitive(name: str) -> None:
    assert is_sensitive(name)


@pytest.mark.parametrize("name", ["X-Tenant", "Content-Type", "User-Agent", "webhook-signature", "svix-signature", "Webhook-Id"])
def test_what_helps_to_find_a_fault_is_shown(name: str) -> None:
    assert not is_sensitive(name)
