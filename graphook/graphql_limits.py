"""Limits on a GraphQL document, found in time linear in its size: every fragment is walked once.

Strawberry's own depth and alias limiters walk a fragment again at every spread, so a few hundred bytes cost seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    Visitor,
    visit,
)

# The parser takes half a second for a million characters, in which nobody else is served.
MAX_CHARACTERS = 256 * 1024
TOO_LONG = f"The document has more than {MAX_CHARACTERS} characters; send long values as variables."
MAX_TOKENS = 5_000
DEPTH = 12
ALIASES = 50
ROOT_FIELDS = 20
COST = 10_000
DIRECTIVES = 50
DEFINITIONS = 60
# Twice what the standard query comes to. It is answered without a pause, in which nobody else is served.
INTROSPECTION_COST = 500_000
PAYLOAD_COST = 10
MAX_PAGE, DEFAULT_PAGE = 250, 50

_SIZES = ("first", "last", "limit")
# The lists within a page: without a size argument the page has the default size.
_PAGE_LISTS = frozenset(("edges", "nodes", "data"))
# Up to a megabyte each, parsed and written anew wherever it is asked for.
_HEAVY = frozenset(("payload", "rawPayload"))
# Fifteen levels deep in the standard query, and a limit of its own.
_INTROSPECTION = frozenset(("__schema", "__type"))
# How long the lists of introspection are, roughly; all others hold one.
_LISTED = {
    "types": 250,
    "directives": 5,
    "fields": 5,
    "args": 2,
    "inputFields": 5,
    "enumValues": 5,
    "interfaces": 2,
    "possibleTypes": 5,
}
_CEILING = 10**9


@dataclass(slots=True)
class Weight:
    """What a selection set amounts to. `cost` counts objects and fields; what is within a page counts as often as the page has items.

    `introspection` is the cost of what stands below `__schema` and `__type`. `paged` is the cost within `edges`, `nodes` and `data`, for one item. It
    is kept apart because the page size belongs to the field around the selection, and a fragment, walked once, may be spread under several.
    """

    fields: int = 0
    depth: int = 0
    aliases: int = 0
    directives: int = 0
    cost: int = 0
    paged: int = 0
    introspection: int = 0

    def include(self, other: Weight) -> None:
        """Add what stands in a fragment."""
        self.fields = min(self.fields + other.fields, _CEILING)
        self.cost = min(self.cost + other.cost, _CEILING)
        self.paged = min(self.paged + other.paged, _CEILING)
        self._include(other, other.depth)

    def include_field(self, below: Weight, page: int, *, in_page: bool) -> None:
        """Add a field with what stands below it; `page` is the size of the page it returns, `in_page` says that it lists one."""
        cost = below.cost + page * below.paged
        self.fields = min(self.fields + 1, _CEILING)
        self.cost = min(self.cost + 1 + (0 if in_page else cost), _CEILING)
        self.paged = min(self.paged + (cost if in_page else 0), _CEILING)
        self._include(below, below.depth + 1)

    def _include(self, other: Weight, depth: int) -> None:
        self.depth = max(self.depth, depth)
        self.aliases = min(self.aliases + other.aliases, _CEILING)
        self.introspection = min(self.introspection + other.introspection, _CEILING)
        self.directives = min(self.directives + other.directives, _CEILING)


def breach(document: DocumentNode, variables: Mapping[str, Any] | None) -> GraphQLError | None:
    """The first limit the document breaks with these variables, or None."""
    if len(document.definitions) > DEFINITIONS:
        return _refusal(f"The document has more than {DEFINITIONS} definitions.")
    walker = _Walker(document, variables or {})
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            weight = walker.weigh(definition.selection_set, 0)
            if weight.fields > ROOT_FIELDS:
                return _refusal(f"The operation has more than {ROOT_FIELDS} root fields.")
        elif isinstance(definition, FragmentDefinitionNode) and not definition.type_condition.name.value.startswith("__"):
            weight = walker.weigh_fragment(definition.name.value, 0)
        else:
            continue
        for found, limit, what in (
            (weight.depth, DEPTH, "levels of depth"),
            (weight.aliases, ALIASES, "aliases"),
            (weight.directives, DIRECTIVES, "directives"),
            (weight.cost + weight.paged, COST, "points of cost"),
            (weight.introspection, INTROSPECTION_COST, "points of introspection"),
        ):
            if found > limit:
                return _refusal(f"The operation has more than {limit} {what}; ask for less at once.")
    return None


def _refusal(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "COST_LIMIT_EXCEEDED"})


class _Walker:
    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._weights: dict[str, Weight] = {}
        self._open: set[str] = set()
        self._variables = {**_default_sizes(document), **variables}

    def weigh_fragment(self, name: str, level: int) -> Weight:
        # A cycle or an unknown name is validation's to report.
        if name in self._open or name not in self._fragments:
            return Weight()
        if name not in self._weights:
            self._open.add(name)
            fragment = self._fragments[name]
            self._weights[name] = self.weigh(fragment.selection_set, level, fragment.type_condition.name.value.startswith("__"))
            self._open.discard(name)
        return self._weights[name]

    def weigh(self, selections: SelectionSetNode | None, level: int, introspecting: bool = False) -> Weight:
        total = Weight()
        # The parser's token limit keeps this recursion shallow in all but hostile documents, which end here.
        if selections is None or level > 8 * DEPTH:
            total.depth = total.cost = 0 if selections is None else _CEILING
            return total
        for node in selections.selections:
            total.directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                name = node.name.value
                total.aliases += node.alias is not None
                below = self.weigh(node.selection_set, level + 1, introspecting or name in _INTROSPECTION)
                if introspecting:
                    below.cost = min(below.cost * _LISTED.get(name, 1), _CEILING)
                    total.include_field(below, 1, in_page=False)
                elif name in _INTROSPECTION:
                    total.include(Weight(1, aliases=below.aliases, directives=below.directives, introspection=below.cost))
                else:
                    below.cost += PAYLOAD_COST - 1 if name in _HEAVY else 0
                    total.include_field(below, self._page_size(node), in_page=name in _PAGE_LISTS)
            elif isinstance(node, InlineFragmentNode):
                total.include(self.weigh(node.selection_set, level + 1, introspecting))
            elif isinstance(node, FragmentSpreadNode):
                total.include(self.weigh_fragment(node.name.value, level + 1))
        if total.depth == 0 and selections.selections:
            total.depth = 1
        return total

    def _page_size(self, node: FieldNode) -> int:
        """The largest size that is asked for: all are written where only one is given."""
        sizes = [self._size(argument.value) for argument in node.arguments or () if argument.name.value in _SIZES]
        return max((page_size(size) for size in sizes if size is not None), default=DEFAULT_PAGE)

    def _size(self, value: ValueNode) -> Any:
        if isinstance(value, IntValueNode):
            return int(value.value[:9])
        return self._variables.get(value.name.value) if isinstance(value, VariableNode) else None


def page_size(size: Any) -> int:
    """How many items count for a size that was asked for; one out of range is the resolver's to refuse. JSON has 250.0 for 250 too."""
    return min(max(int(size), 1), MAX_PAGE) if isinstance(size, int | float) and not isinstance(size, bool) else DEFAULT_PAGE


def size_variables(document: DocumentNode) -> tuple[str, ...]:
    """The variables that page sizes, and so the cost of the document, depend on."""
    found: dict[str, None] = {}

    class Sizes(Visitor):
        def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
            if node.name.value in _SIZES and isinstance(node.value, VariableNode):
                found[node.value.name.value] = None

    visit(document, Sizes())
    return tuple(found)


def _default_sizes(document: DocumentNode) -> dict[str, int]:
    """Variable name → its default, where that is a number; the largest where operations differ."""
    found: dict[str, int] = {}
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            for definition in operation.variable_definitions or ():
                if isinstance(definition.default_value, IntValueNode):
                    name = definition.variable.name.value
                    found[name] = max(found.get(name, 0), int(definition.default_value.value[:9]))
    return found
