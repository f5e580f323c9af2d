"""The corpus of bad inputs against the running service: each is refused at its place or accepted as it says, and a refusal writes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.arguments import of_every_operation, replaced
from tests.chaos.compare import rows
from tests.client import http_client
from tests.conftest import Furnished, mint, organisation_of
from tests.deployment import Deployment
from tests.operations import operations
from tests.tenant import Tenant

DATA = Path(__file__).parents[1] / "data"
CORPUS = json.loads((DATA / "bad_inputs.json").read_text())
HEADERS = json.loads((DATA / "header_cases.json").read_text())["cases"]
# Whose rows say whose they are.
TABLES = {
    "postgresql": "SELECT table_name AS name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'org_id'",
    "sqlite": "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'org_id'",
}
MARK = "the value goes here"


async def count(deployment: Deployment, org_id: str) -> dict[str, int]:
    """How many rows of an organisation there are in each table: those of earlier tests may still be sent."""
    url = deployment.database_url
    tables = await rows(url, TABLES["sqlite" if url.startswith("sqlite") else "postgresql"])
    counts = [f"SELECT '{table}', count(*) FROM {table} WHERE org_id = '{org_id}'" for (table,) in tables]  # at once, for hundreds of tests
    return dict(await rows(url, " UNION ALL ".join(counts)))


def written(case: dict[str, Any]) -> str:
    """The value of a case as JSON text."""
    if "parts" in case:
        return "".join(part["s"] * part.get("n", 1) for part in case["parts"])
    return str(case["text"]) if "text" in case else json.dumps(case["value"])


async def answer(deployment: Deployment, token: str, operation: str, variables: dict[str, Any], value: str) -> httpx.Response:
    """The response to an operation with a JSON text in the place of the mark."""
    content = json.dumps({"query": operations()[operation], "variables": variables}).replace(json.dumps(MARK), value)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with http_client() as http:
        return await http.post(deployment.graphql, content=content.encode(), headers=headers)


def errors_of(response: httpx.Response) -> list[tuple[str, list[str]]]:
    """Code and path of every error, of the payload or at the top level."""
    found = response.json()
    if found.get("errors"):
        return [(error["extensions"]["code"], error["extensions"].get("path", [])) for error in found["errors"]]
    root = next(iter(found["data"].values()))
    return [(error["code"], error["path"]) for error in root.get("errors", ())]


def sent(case: dict[str, Any], valid: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """The variables of a case, with the mark where its value goes, and that value as JSON text."""
    given = valid[case["operation"]]
    at, value = case["at"], written(case)
    if case["operation"] == "ApplicationCreate":
        given = replaced(given, ("getIfExists",), False)
    if "parts" in case and case["operation"] == "MessageCreate":
        given = replaced(given, ("input", "payload"), None)
        at, value = ["input", "rawPayload"], json.dumps(value)
    if case["at"][-1] == "specRaw":
        given = replaced(given, ("input", "spec"), None)
        value = json.dumps(value) if "parts" in case else value
    return replaced(given, tuple(at), MARK), value


def named(case: dict[str, Any]) -> str:
    return f"{case['id']}-{case['name']}"


@pytest.mark.parametrize("case", [case for case in CORPUS["cases"] if not case.get("accepted")], ids=named)
async def test_a_bad_input_is_refused_at_its_place_and_nothing_is_written(
    furnished: Furnished, deployment: Deployment, case: dict[str, Any]
) -> None:
    before = await count(deployment, furnished.org_id)

    response = await answer(deployment, furnished.token, case["operation"], *sent(case, furnished.arguments))

    assert response.status_code == case.get("status", 200), response.text[:300]
    if "status" not in case:
        assert errors_of(response) == [(case["code"], case["path"])]
    assert await count(deployment, furnished.org_id) == before


@pytest.mark.parametrize("case", [case for case in CORPUS["cases"] if case.get("accepted")], ids=named)
async def test_an_input_that_only_looks_bad_is_taken(acme: Tenant, deployment: Deployment, case: dict[str, Any]) -> None:
    response = await answer(deployment, acme.token, case["operation"], *sent(case, await of_every_operation(acme)))

    assert (response.status_code, errors_of(response)) == (case.get("status", 200), []), response.text[:300]


@pytest.mark.parametrize("case", HEADERS, ids=lambda case: case["id"])
async def test_a_custom_header_of_the_corpus_is_taken_or_refused_at_its_name(acme: Tenant, case: dict[str, Any]) -> None:
    app = await acme.application()
    headers = {case["name"]: case["value"] * case.get("times", 1)}

    payload = await acme.run("EndpointCreate", appId=app["id"], input={"url": "https://example.com/", "headers": headers})

    paths = [error["path"] for error in payload["errors"]]
    assert (paths == []) == case["accepted"]
    assert case["accepted"] or ["input", "headers", case["name"]] in paths
    assert len((await acme.run("Endpoints", appId=app["id"]))["nodes"]) == case["accepted"]


@pytest.mark.parametrize("case", CORPUS["tokens"], ids=lambda case: f"{case['id']}-{case['name']}")
async def test_what_is_no_token_of_ours_is_unauthenticated(deployment: Deployment, case: dict[str, Any]) -> None:
    token = case["token"] * case.get("times", 1)
    async with http_client() as http:
        response = await http.post(deployment.graphql, json={"query": "{ __typename }"}, headers={"Authorization": f"Bearer {token}"})

    assert response.status_code in ((401,) if len(token) < 8192 else (400, 401, 431))


async def test_a_token_in_the_url_is_not_looked_at(acme: Tenant) -> None:
    async with http_client() as http:
        response = await http.post(f"{acme.url}?token={acme.token}", json={"query": "{ __typename }"})

    assert response.status_code == 401


async def test_a_token_of_an_application_is_none_of_the_organisation(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    org_id = await organisation_of(deployment, app)
    async with Tenant(deployment.graphql, await mint(deployment, org_id=org_id, kind="app", app_id=app["id"])) as portal:
        code, _ = await portal.fault("ApplicationCreate", input={"name": "another"})

    assert code == "FORBIDDEN"
