"""What is said of the settings: their names, defaults and meanings, and which variables are none."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from graphook.settings import PREFIX, Settings


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that begins like a setting and is none, such as a misspelt one. Those of the tests are not meant."""
    known = [name.upper() for name in Settings.model_fields]
    said = []
    for name in sorted(environment):
        own = name.upper().removeprefix(PREFIX)
        if own == name.upper() or own in known or own.startswith("TEST_"):
            continue
        close = get_close_matches(own, known, 1)
        said.append(f"{name} is no setting" + (f"; is {PREFIX}{close[0]} meant?" if close else ""))
    return said


def describe() -> list[tuple[str, str, str]]:
    """Each setting's variable, default and meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, tuple | frozenset):
            default = ",".join(f"{item:g}" if isinstance(item, float) else str(item) for item in default)
        elif isinstance(default, bool):
            default = str(default).lower()
        allowed = _allowed(field)
        text = f"{field.description} Values: {allowed}." if allowed else str(field.description)
        rows.append((PREFIX + name.upper(), "" if default in (None, "") else str(default), text))
    return rows


def _allowed(field: FieldInfo) -> str:
    """The values that a setting can have, as its type and its bounds say; empty where the description says it."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    if field.annotation is bool:
        return "true, false"
    bounds = {name: found for rule in field.metadata for name in ("ge", "gt", "le") if (found := getattr(rule, name, None)) is not None}
    low = f"above {bounds['gt']:g}" if "gt" in bounds else f"{bounds['ge']:.0f}" if "ge" in bounds else ""
    if "le" not in bounds:
        return f"{low} or more" if low else ""
    return f"{low}{', up to' if 'gt' in bounds else ' to'} {bounds['le']:.0f}"


def describe_in_markdown() -> str:
    """The reference page of the settings."""
    rows = [f"| `{name}` | {f'`{default}`' if default else '–'} | {text} |" for name, default, text in describe()]
    head = (
        "# Settings",
        "",
        "Environment variables, read once at start. Lists are separated by commas. `graphook settings --markdown` wrote this page.",
    )
    return "\n".join((*head, "", "| variable | default | meaning |", "|---|---|---|", *rows, ""))
