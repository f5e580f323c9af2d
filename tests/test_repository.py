"""Manners of the repository that no other tool checks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("graphook", "models", "resolvers", "schema", "workers", "benchmarks")
MODULES = sorted(path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_the_folder_graphql_holds_no_python() -> None:
    # A package of that name would hide the library graphql-core.
    assert (ROOT / "graphql").is_dir()
    assert list((ROOT / "graphql").rglob("*.py")) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_begins_with_one_sentence_that_says_what_it_is(module: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / module).read_text(encoding="utf-8")))
    assert docstring, f"{module} has no docstring"
    first_line = docstring.splitlines()[0]
    assert first_line.endswith("."), f"{module}: the first line of the docstring is no sentence: {first_line!r}"


def test_every_make_target_is_explained_by_make_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = " ".join(re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)).split()
    explained = re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE)
    assert sorted(phony) == sorted(explained)
