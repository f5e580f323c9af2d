"""Where the files are that the package carries besides its code."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def graphql_folder() -> Path:
    """The folder of the GraphQL documents: `graphql/` of a checkout, or the copy inside an installed wheel."""
    installed = _PACKAGE / "_graphql"
    return installed if installed.is_dir() else _PACKAGE.parent / "graphql"


def static_folder() -> Path:
    """The folder of the built pages, one folder each."""
    return _PACKAGE / "static"


def templates_folder() -> Path:
    """The folder of the code of the built-in templates."""
    return _PACKAGE / "templates"
