"""The documentation says what the code does: its tables are complete, its links lead somewhere and its GraphQL is valid."""

from __future__ import annotations

import argparse
import ast
import base64
import json
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client.metrics import MetricWrapperBase

from graphook import __version__, metrics
from graphook.cli import _parser
from graphook.completion import Failure
from graphook.sender import ErrorCode as AttemptErrorCode
from graphook.settings import Settings
from graphook.settings_reference import describe, describe_in_markdown
from graphook.signing import SigningKey, generate_secret, parse_secret, public_form, signed_headers
from graphook.transformation import Code as TransformationCode
from graphql import GraphQLSchema, parse, validate
from schema.api import schema
from schema.errors import ErrorCode
from tests.documents import ROOT, Block, blocks, pages

REFERENCE = ROOT / "docs" / "reference"
GRAPHQL_SCHEMA: GraphQLSchema = schema._schema
PAGES = pages()


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# Completeness


def test_the_page_of_the_settings_is_what_the_command_writes() -> None:
    assert (REFERENCE / "settings.md").read_text("utf-8") == describe_in_markdown(), "run `make sdl`"


def test_every_setting_that_the_documentation_names_exists() -> None:
    known = {name for name, _, _ in describe()}
    test_servers = {"GRAPHOOK_TEST_DATABASE_URL", "GRAPHOOK_TEST_REDIS_URL"}
    for page in PAGES:
        named = set(re.findall(r"\bGRAPHOOK_[A-Z_]+\b", page.read_text("utf-8")))
        assert named <= known | test_servers, f"{_name(page)} names what is no setting"


def test_the_guide_names_every_metric_with_its_labels_and_no_other() -> None:
    """In its table and in the alerts, whose expressions would otherwise never be true."""
    series = set[str]()
    told = set[str]()
    for metric in (found for found in vars(metrics).values() if isinstance(found, MetricWrapperBase)):
        (family,) = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        told.add(name + (f"{{{','.join(metric._labelnames)}}}" if metric._labelnames else ""))
        series |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"} if family.type == "histogram" else {name}
    told.add("graphook_build_info{version}")
    page = ROOT / "docs" / "guide" / "operating-production.md"
    rows = "\n".join(line.split("|")[1] for line in page.read_text("utf-8").splitlines() if line.startswith("| `graphook_"))
    assert set(re.findall(r"`(graphook_[^`]+)`", rows)) == told
    (rules,) = blocks(page, "yaml")
    assert set(re.findall(r"graphook_\w+", rules.text)) <= series


def codes_in_the_code() -> set[str]:
    """Every error code that the API can answer: those that are named where an error is made, and the statuses of refusals."""
    found: set[str] = {code.name for code in ErrorCode}
    for package in ("graphook", "models", "resolvers", "schema", "workers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                found |= {code for code in _codes(node) if re.fullmatch(r"[A-Z][A-Z_]*[A-Z]", code)}
    return found


def _codes(node: ast.AST) -> Iterator[str]:
    """The texts in `code=…`, `code = …`, `{"code": …}`, `_refusal(status, message, …)` and what `_code` returns."""
    values: list[ast.expr] = []
    match node:
        case ast.keyword(arg="code", value=value) | ast.Assign(targets=[ast.Name(id="code")], value=value):
            values = [value]
        case ast.Dict():
            values = [
                value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant) and key.value == "code"
            ]
        case ast.Call(func=ast.Name(id="_refusal")):
            values = node.args
        case ast.FunctionDef(name="_code"):
            values = [found.value for found in ast.walk(node) if isinstance(found, ast.Return) and found.value is not None]
    for value in values:
        for part in ast.walk(value):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def statuses_in_the_code() -> set[str]:
    """The statuses of requests that are refused before they are GraphQL, as codes."""
    text = "\n".join(module.read_text("utf-8") for module in sorted((ROOT / "graphook").glob("*.py")))
    statuses = set(re.findall(r"HTTPException\((\d+)", text)) - {"400"}
    # 415 is what Strawberry's refusal of a content type is turned into, and 431 is answered before there is a request.
    return {f"HTTP_{status}" for status in {*statuses, "415", "431"}}


def rows(page: Path) -> set[str]:
    """What the first column of the page's tables names."""
    return set(re.findall(r"^\| `([^`]+)` \|", page.read_text("utf-8"), re.MULTILINE))


def test_every_error_code_is_in_the_reference_and_nothing_else_is() -> None:
    attempts = {*get_args(AttemptErrorCode), "interrupted", *(f"transformation_{code.lower()}" for code in get_args(TransformationCode))}
    generations = {failure.value for failure in Failure}
    codes = codes_in_the_code() | statuses_in_the_code()
    assert {"CURSOR_EXPIRED", "GRAPHQL_PARSE_FAILED", "BAD_REQUEST", "TIMEOUT", "HTTP_413"} <= codes, "the search misses codes"
    assert rows(REFERENCE / "errors.md") == codes | attempts | generations


def test_no_error_code_is_told_twice_in_one_table() -> None:
    for section in re.split(r"^## ", (REFERENCE / "errors.md").read_text("utf-8"), flags=re.MULTILINE):
        told = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
        assert len(told) == len(set(told)), section.partition("\n")[0]


def commands(parser: argparse.ArgumentParser, prefix: str = "graphook") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command with its parser, such as `graphook token create`."""
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not subparsers:
        yield prefix, parser
    for action in subparsers:
        for name, command in action.choices.items():
            yield from commands(command, f"{prefix} {name}")


def test_the_schema_names_every_error_code_of_an_attempt() -> None:
    attempt: Any = GRAPHQL_SCHEMA.type_map["MessageAttempt"]
    said = attempt.fields["errorCode"].description
    assert [code for code in (*get_args(AttemptErrorCode), "interrupted", "transformation_") if code not in said] == []


def test_every_command_and_option_is_in_the_reference() -> None:
    sections = re.split(r"^## ", (REFERENCE / "cli.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    told = {section.partition("\n")[0].strip("`"): section for section in sections}
    found = dict(commands(_parser()))
    assert list(told) == list(found)
    for name, parser in found.items():
        options = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", told[name])) - {"--processes"} == options, name


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert project["version"] == __version__ == released[0]


# Links and names


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert file.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(file), f"{target}: there is no such heading"


def anchors(page: Path) -> set[str]:
    """The headings of a page as they are linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    folders = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")))
    # The schema is served under that name, and written by `make sdl`.
    named = set(re.findall(rf"`((?:{folders})/[\w./-]+)`", text)) - {"graphql/schema.graphql"}
    assert [name for name in sorted(named) if "graphook-data" not in name and not (ROOT / name).exists()] == []


def test_every_module_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"\b(?:graphook|schema|models|workers|resolvers)\.[a-z_]+\b", text))
    assert named
    assert [name for name in sorted(named) if not _module_exists(name)] == []


def _module_exists(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def test_recipes_are_all_listed_where_one_looks_for_them() -> None:
    listed = set(re.findall(r"\(docs/recipes/([\w-]+\.md)\)", (ROOT / "CONTRIBUTING.md").read_text("utf-8")))
    assert listed == {path.name for path in (ROOT / "docs" / "recipes").glob("*.md")}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=_name)
def test_a_decision_has_a_title_a_context_and_a_price(page: Path) -> None:
    text = page.read_text("utf-8")
    number, title = re.match(r"# (\d+)\. (.+)\n", text).groups()  # type: ignore[union-attr]
    assert page.name == f"{int(number):04d}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.md"
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Context", "Decision", "Price"]


# Examples


def graphql_blocks() -> list[Block]:
    """Every GraphQL document of the pages, those in the JSON that the README sends included."""
    found = [block for page in PAGES for block in blocks(page, "graphql")]
    for page in PAGES:
        for block in blocks(page, "bash", "sh"):
            sent = [
                *re.findall(r"<<'JSON'\n(.*?)\nJSON$", block.text, re.DOTALL | re.MULTILINE),
                *re.findall(r"-d '(\{.*?\})'", block.text),
            ]
            found += [Block(block.page, block.line, json.loads(text)["query"]) for text in sent]
        for block in blocks(page, "python", "js"):
            found += [
                Block(block.page, block.line, text)
                for text in re.findall(r'(?:"""|`)\s*(subscription .*?\})(?:"""|`)', block.text, re.DOTALL)
            ]
    return found


@pytest.mark.parametrize("block", graphql_blocks(), ids=str)
def test_every_graphql_example_is_valid(block: Block) -> None:
    assert validate(GRAPHQL_SCHEMA, parse(block.text)) == []


def test_every_application_and_endpoint_of_an_example_is_made_by_one() -> None:
    text = "\n".join(block.text for block in graphql_blocks())
    made = set(re.findall(r'\b(application|endpoint)Create\(.*?\buid: "([\w-]+)"', text))
    endpoints = re.findall(r'\bendpointId: "([^"]+)"|\bendpoint(?:Patch|Update)?\([^)]*?\bid: "([^"]+)"', text)
    named = {("application", uid) for uid in re.findall(r'\bappId: "([^"]+)"', text)} | {
        ("endpoint", one or other) for one, other in endpoints
    }
    assert named == made == {("application", "acme"), ("endpoint", "main")}


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "json")], ids=str)
def test_every_json_example_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
def test_the_receivers_of_the_guide_tell_genuine_requests_from_others(kind: Any) -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "guide" / "signatures.md", "python"):
        exec(compile(block.text, str(block), "exec"), names)
    is_genuine = names["is_genuine" if kind == "hmac" else "is_genuine_v1a"]
    secret, other = generate_secret(kind), generate_secret(kind)
    public, body, now = public_form(secret), b'{"invoice": "1001"}', int(time.time())

    def signed(at: int, *secrets: str) -> dict[str, str]:
        return dict(signed_headers([parse_secret(text) for text in secrets], "msg_1", at, body))

    assert is_genuine(signed(now, secret), body, public)
    assert is_genuine(signed(now, other, secret), body, public), "one right signature is enough"
    assert not is_genuine(signed(now, other), body, public)
    assert not is_genuine(signed(now, secret), body + b" ", public)
    assert not is_genuine(signed(now - 301, secret), body, public)


def test_the_asymmetric_secret_that_the_guide_makes_is_one() -> None:
    names: dict[str, Any] = {}
    (block,) = (block for block in blocks(ROOT / "docs" / "guide" / "signatures.md", "python") if "whsk_" in block.text)
    exec(compile(block.text, str(block), "exec"), names)
    assert parse_secret(names["secret"]) == SigningKey("ed25519", base64.b64decode(names["secret"].removeprefix("whsk_")))


def test_a_composed_worker_has_the_time_to_stop_that_the_guide_asks_for() -> None:
    worker = (ROOT / "compose.yaml").read_text("utf-8").partition("\n  worker:\n")[2].partition("\n\n")[0]
    found = re.search(r"stop_grace_period: (\d+)s", worker)
    assert found, worker
    assert int(found[1]) >= Settings.model_fields["request_timeout"].default + 10
