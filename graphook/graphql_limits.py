"""Limits on a GraphQL document, found in time linear in its size: every fragment is walked once.

Strawberry's own depth and alias limiters walk a fragment again at every spread, so a few hundred bytes cost seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

MAX_TOKENS = 5_000
DEPTH = 12
ALIASES = 50
ROOT_FIELDS = 20
COST = 10_000
DIRECTIVES = 50
DEFINITIONS = 60
MAX_PAGE, DEFAULT_PAGE = 250, 50

_SIZES = ("first", "last", "limit")
# The lists within a page: without a size argument the page has the default size.
_PAGE_LISTS = frozenset(("edges", "nodes", "data"))
# Introspection is fifteen levels deep by itself.
_EXEMPT = frozenset(("__schema", "__type"))
_CEILING = 10**9


@dataclass(slots=True)
class Weight:
    """What a selection set amounts to. `cost` counts objects and fields, page sizes multiplying what they contain."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    cost: int = 0

    def include(self, other: Weight, *, deeper: int = 0, times: int = 1) -> None:
        """Add what stands below a field (`deeper=1`) or in a fragment."""
        self.depth = max(self.depth, other.depth + deeper)
        self.aliases = min(self.aliases + other.aliases, _CEILING)
        self.directives = min(self.directives + other.directives, _CEILING)
        self.cost = min(self.cost + times * other.cost, _CEILING)


def breach(document: DocumentNode, variables: Mapping[str, Any] | None) -> GraphQLError | None:
    """The first limit the document breaks with these variables, or None."""
    if len(document.definitions) > DEFINITIONS:
        return _refusal(f"The document has more than {DEFINITIONS} definitions.")
    walker = _Walker(document, variables or {})
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            if len(definition.selection_set.selections) > ROOT_FIELDS:
                return _refusal(f"The operation has more than {ROOT_FIELDS} root fields.")
            weight = walker.weigh(definition.selection_set, 0)
        elif isinstance(definition, FragmentDefinitionNode):
            weight = walker.weigh_fragment(definition.name.value, 0)
        else:
            continue
        for found, limit, what in (
            (weight.depth, DEPTH, "levels of depth"),
            (weight.aliases, ALIASES, "aliases"),
            (weight.directives, DIRECTIVES, "directives"),
            (weight.cost, COST, "points of cost"),
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
        self._variables = variables

    def weigh_fragment(self, name: str, level: int) -> Weight:
        # A cycle or an unknown name is validation's to report.
        if name in self._open or name not in self._fragments:
            return Weight()
        if name not in self._weights:
            self._open.add(name)
            self._weights[name] = self.weigh(self._fragments[name].selection_set, level)
            self._open.discard(name)
        return self._weights[name]

    def weigh(self, selections: SelectionSetNode | None, level: int, page: int = 1) -> Weight:
        total = Weight()
        # The parser's token limit keeps this recursion shallow in all but hostile documents, which end here.
        if selections is None or level > 8 * DEPTH:
            total.depth = 0 if selections is None else _CEILING
            return total
        for node in selections.selections:
            total.directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                name = node.name.value
                total.aliases += node.alias is not None
                if name in _EXEMPT:
                    continue
                size = self._page_size(node)
                below = self.weigh(node.selection_set, level + 1, size or (DEFAULT_PAGE if node.selection_set else 1))
                times = page if name in _PAGE_LISTS else 1
                total.cost = min(total.cost + 1, _CEILING)
                total.include(below, deeper=1, times=times)
            elif isinstance(node, InlineFragmentNode):
                total.include(self.weigh(node.selection_set, level + 1, page))
            elif isinstance(node, FragmentSpreadNode):
                below = self.weigh_fragment(node.name.value, level + 1)
                total.include(below, times=1)
        if total.depth == 0 and selections.selections:
            total.depth = 1
        return total

    def _page_size(self, node: FieldNode) -> int | None:
        for argument in node.arguments or ():
            if argument.name.value in _SIZES:
                size: Any = None
                if isinstance(argument.value, IntValueNode):
                    size = int(argument.value.value[:9])
                elif isinstance(argument.value, VariableNode):
                    size = self._variables.get(argument.value.name.value)
                # A size out of range is the resolver's to refuse.
                return min(max(size, 1), MAX_PAGE) if isinstance(size, int) and not isinstance(size, bool) else DEFAULT_PAGE
        return None
