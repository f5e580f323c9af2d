"""The contract's facts, the page that says what each of them is called here, and the schema it speaks of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from graphql import GraphQLEnumType, GraphQLField, GraphQLSchema, get_named_type
from schema.api import schema

_CONTRACT = json.loads((Path(__file__).parent / "data" / "contract.json").read_text())
COMPONENTS: dict[str, dict[str, Any]] = _CONTRACT["components"]
OPERATIONS: dict[str, dict[str, Any]] = {operation["operationId"]: operation for operation in _CONTRACT["operations"]}
PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "component-map.md").read_text()
SCHEMA: GraphQLSchema = schema._schema
TYPES = {name: kind for name, kind in SCHEMA.type_map.items() if not name.startswith("__")}
ROOTS: dict[str, GraphQLField] = {
    name: field
    for root in (SCHEMA.subscription_type, SCHEMA.mutation_type, SCHEMA.query_type)
    if root is not None
    for name, field in root.fields.items()
}


@dataclass(frozen=True)
class Row:
    """One row of the page: the names here, and the area of work when they are only planned."""

    here: list[str]
    planned: str | None


@cache
def rows(heading: str) -> dict[str, Row]:
    """The rows of the tables under a heading of the page, by their first cell."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found: dict[str, Row] = {}
    for line in section.splitlines():
        if not line.startswith("| ") or line.startswith(("| Component |", "| Operation |", "| Parameter |", "| Here |")):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] not in found, f"{cells[0]} has two rows"
        here = cells[-2]
        planned = re.match(r"planned \((.+?)\): ", here)
        found[cells[0]] = Row(re.findall(r"`([^`]+)`", here), planned[1] if planned else None)
    return found


def of_component(name: str) -> str | None:
    """What a component is called here; None while it is planned."""
    row = rows("Component schemas")[name]
    return None if row.planned else row.here[0]


def of_operation(name: str) -> str | None:
    """What an operation is called here; None while it is planned."""
    row = rows("Operations")[name]
    return None if row.planned else row.here[0]


def of_parameter(name: str, root: str) -> tuple[str, ...] | None:
    """The argument of a root field that a query parameter is, as a path; None when it is none, or planned."""
    row = rows("Parameters and headers")[name]
    named = [found for here in row.here if (found := re.fullmatch(r"(\w+)\((.+):\)", here)) is not None]
    if row.planned or not named:
        return None
    return tuple(next((found for found in named if found[1] == root), named[0])[2].split("."))


def argument(root: str, path: tuple[str, ...]) -> Any:
    """The argument of a root field, or the field of the input it takes. Raises `KeyError` when there is none."""
    found: Any = ROOTS[root].args[path[0]]
    for step in path[1:]:
        found = get_named_type(found.type).fields[step]
    return found


def exists(name: str) -> bool:
    """Whether a name of the page is in the schema: `Type`, `Type.field`, `Enum.VALUE`, `rootField` or `rootField(argument.field:)`."""
    form = re.fullmatch(r"(\w+)(?:\.(\w+))?(?:\(([\w.]+):\))?", name)
    if form is None:
        return False
    head, member, place = form.groups()
    if place is not None:
        try:
            argument(head, tuple(place.split(".")))
        except (KeyError, AttributeError):
            return False
        return True
    if member is None:
        return head in TYPES or head in ROOTS
    kind: Any = TYPES.get(head)
    return kind is not None and member in (kind.values if isinstance(kind, GraphQLEnumType) else getattr(kind, "fields", {}))


def enum_names(component: str) -> dict[str, Any]:
    """The values of an enum of the contract, by what they are called there: their names here."""
    kind: Any = TYPES[str(of_component(component))]
    return {value.value: name for name, value in kind.values.items()}


HERE = [name for name in OPERATIONS if (root := of_operation(name)) is not None and re.fullmatch(r"\w+", root)]
# Properties that are no field, and why.
NOT_FIELDS = {
    ("EventTypeImportOpenApiOut", "data"): "what it wraps is the payload's own",
    ("HTTPValidationError", "detail"): "each of them is one of a payload's errors",
}
