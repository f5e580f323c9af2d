"""GraphiQL as it is served: offline, with the first steps, and with a token only for its own page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from graphql.execution.values import get_variable_values
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from graphook.graphiql import Step, graphiql_routes, read_steps
from graphook.package_data import graphql_folder, static_folder
from graphql import OperationDefinitionNode, get_operation_ast, parse, validate
from schema.api import schema

TOKEN = "orgsk_for_the_tests"
BUNDLE = static_folder() / "graphiql"
FILES = {
    "/graphiql": "text/html; charset=utf-8",
    "/graphiql/assets/graphiql.js": "text/javascript; charset=utf-8",
    "/graphiql/assets/graphiql.css": "text/css; charset=utf-8",
    "/graphiql/assets/third-party-licences.md": "text/markdown; charset=utf-8",
}
# Ways to load from another host. Namespaces, links to click and texts of messages load nothing.
LOADS = re.compile(
    r"""(?:<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']?|@import\s*(?:url\()?["']?|url\(\s*["']?|\bimport\s*\(\s*["'`]|\bfrom\s*["'`]"""
    r"""|\bfetch\(\s*["'`]|\bimportScripts\(\s*["'`]|new\s+(?:WebSocket|EventSource|Worker|SharedWorker)\(\s*["'`]|\.src\s*=\s*["'`])"""
    r"""(?:(?:https?|wss?):)?//"""
)


def client(token: str | None = None, base_url: str = "http://127.0.0.1:8000", version: str = "1.1") -> AsyncClient:
    app = Starlette(routes=graphiql_routes(token=token, documents=graphql_folder()))

    async def spoken(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "http_version": version}, receive, send)

    return AsyncClient(transport=ASGITransport(app=spoken), base_url=base_url)


@pytest.mark.parametrize(("path", "media_type"), FILES.items())
async def test_a_file_comes_with_its_type_and_the_policy(path: str, media_type: str) -> None:
    async with client() as http:
        response = await http.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"


async def test_a_known_file_is_not_sent_again() -> None:
    async with client() as http:
        first = await http.get("/graphiql/assets/graphiql.js")
        again = await http.get("/graphiql/assets/graphiql.js", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
        other = await http.get("/graphiql/assets/graphiql.js", headers={"If-None-Match": '"other"'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert other.content == first.content


async def test_every_file_of_the_bundle_is_served_and_every_file_of_the_page_is_there() -> None:
    page = (BUNDLE / "index.html").read_text("utf-8")
    named = set(re.findall(r"""(?:src|href)="(/[^"]+)""", page))
    assert named == {"/graphiql/assets/graphiql.js", "/graphiql/assets/graphiql.css"}
    assert {f"/graphiql/assets/{path.name}" for path in (BUNDLE / "assets").iterdir()} == set(FILES) - {"/graphiql"}


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://unpkg.com/react">',
        '<link rel="stylesheet" href=//cdn.example/x.css>',
        '@import "https://fonts.example/a.css"',
        "src: url( 'http://fonts.example/a.woff2')",
        'fetch("https://api.example/")',
        "import(`https://cdn.example/x.js`)",
        "new WebSocket('wss://live.example')",
    ],
)
def test_the_search_for_foreign_hosts_finds_them(text: str) -> None:
    assert LOADS.search(text)


@pytest.mark.parametrize(
    "path", sorted(path for path in BUNDLE.rglob("*") if path.suffix != ".md" and path.is_file()), ids=lambda path: path.name
)
def test_nothing_is_loaded_from_another_host(path: Path) -> None:
    assert LOADS.findall(path.read_text("utf-8")) == []


def test_the_bundle_is_small_enough_to_be_committed() -> None:
    assert sum(path.stat().st_size for path in BUNDLE.rglob("*") if path.is_file()) < 2_500_000


async def test_the_configuration_lists_the_first_steps_in_order() -> None:
    async with client() as http:
        response = await http.get("/graphiql/config.json")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body["url"] == "/graphql"
    assert [tab["title"] for tab in body["tabs"]] == [
        "1 Create application",
        "2 Create event type",
        "3 Create endpoint",
        "4 Watch attempts",
        "5 Send message",
        "6 List attempts",
        "7 Resend message",
    ]
    assert [tab["variables"] is not None for tab in body["tabs"]] == [False, True, True, False, True, False, False]


@pytest.mark.parametrize("step", read_steps(graphql_folder() / "graphiql"), ids=lambda step: step.title)
def test_a_step_is_valid_and_begins_with_an_explanation(step: Step) -> None:
    document = parse(step.query)
    assert validate(schema._schema, document) == []
    operation = get_operation_ast(document)
    assert isinstance(operation, OperationDefinitionNode)
    values = get_variable_values(schema._schema, operation.variable_definitions or (), json.loads(step.variables or "{}"))
    assert not isinstance(values, list), values  # a list would be one of errors
    assert step.query.startswith(f"# Step {step.title[0]} of 7. ")
    assert operation.name is not None
    assert operation.name.value.lower() == re.sub(r"[^a-z]", "", step.title.lower())


async def test_the_token_is_absent_unless_given() -> None:
    async with client() as http:
        assert (await http.get("/graphiql/config.json")).json()["headers"] is None
    async with client(TOKEN) as http:
        assert (await http.get("/graphiql/config.json")).json()["headers"] == {"Authorization": f"Bearer {TOKEN}"}
        assert TOKEN not in (await http.get("/graphiql")).text


@pytest.mark.parametrize("base_url", ["http://localhost:8000", "http://[::1]:8000", "http://127.0.0.1"])
async def test_the_token_is_given_under_every_name_of_this_machine(base_url: str) -> None:
    async with client(TOKEN, base_url) as http:
        assert TOKEN in (await http.get("/graphiql/config.json", headers={"Sec-Fetch-Site": "same-origin"})).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example:8000"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": "192.0.2.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Forwarded-Host": "graphook.example.com"},
        {"X-Real-IP": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
        {"Via": "1.1 proxy"},
    ],
    ids=lambda headers: "-".join(*headers.items()),
)
async def test_the_token_is_withheld_from_other_pages(headers: dict[str, str]) -> None:
    async with client(TOKEN) as http:
        response = await http.get("/graphiql/config.json", headers=headers)
    assert response.status_code == 200
    assert response.json()["headers"] is None
    assert TOKEN not in response.text


async def test_the_token_is_withheld_from_a_proxy_that_asks_under_the_name_of_this_machine() -> None:
    """As nginx does when it is told no more than where to pass requests on to."""
    async with client(TOKEN, version="1.0") as http:
        assert (await http.get("/graphiql/config.json")).json()["headers"] is None


def test_steps_are_ordered_by_number_not_by_letter(tmp_path: Path) -> None:
    for name in ("10-last", "9-middle", "1-first"):
        (tmp_path / f"{name}.graphql").write_text("{ __typename }")
    (tmp_path / "9-middle.variables.json").write_text('{"a": 1}')
    steps = read_steps(tmp_path)
    assert [step.title for step in steps] == ["1 First", "9 Middle", "10 Last"]
    assert [step.variables for step in steps] == [None, '{"a": 1}', None]


@pytest.mark.parametrize("variables", ["{", "[]", "1"])
def test_variables_that_are_no_object_are_refused(tmp_path: Path, variables: str) -> None:
    (tmp_path / "1-first.graphql").write_text("{ __typename }")
    (tmp_path / "1-first.variables.json").write_text(variables)
    with pytest.raises(ValueError, match=r"."):
        read_steps(tmp_path)


def test_a_step_without_a_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "first.graphql").write_text("{ __typename }")
    with pytest.raises(ValueError, match="does not begin with a number"):
        read_steps(tmp_path)
