"""Manners of the repository that no other tool checks."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
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


def test_make_makes_the_environment_anew_where_its_folder_has_another_name_or_its_python_has_gone(tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}

    def made(folder: Path) -> bool:
        command = ["make", "--no-print-directory", "--silent", ".venv/.made"]
        return (
            subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=30, check=True).stdout == "made\n"
        )

    folder = tmp_path / "a folder é"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "scripts" / "uv.txt").touch()
    # Instead of an installation of some seconds: what venv leaves behind that is looked at.
    (folder / "scripts" / "make-venv").write_text(
        f"""#!/bin/sh
        rm -rf .venv
        mkdir -p .venv/bin
        printf '#!/bin/sh\\nexec "{sys.executable}" "$@"\\n' > .venv/bin/python
        chmod +x .venv/bin/python
        echo "command = /usr/bin/python3 -m venv --clear $(pwd -P)/.venv" > .venv/pyvenv.cfg
        echo made
        """
    )
    (folder / "scripts" / "make-venv").chmod(0o755)

    assert made(folder)
    assert not made(folder)
    renamed = folder.rename(tmp_path / "renamed")
    assert made(renamed)
    assert not made(renamed)
    shutil.copytree(renamed, folder, symlinks=True)
    assert made(folder)
    assert not made(renamed)
    (renamed / ".venv" / "bin" / "python").unlink()
    (renamed / ".venv" / "bin" / "python").symlink_to("/usr/bin/python that was removed")
    assert made(renamed)
