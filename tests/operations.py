"""The named documents of graphql/operations/, each with the fragments it uses: what tests, docs and front ends run."""

from __future__ import annotations

from functools import cache

from graphook.package_data import graphql_folder
from graphql import DocumentNode, FragmentDefinitionNode, FragmentSpreadNode, OperationDefinitionNode, Visitor, parse, print_ast, visit


@cache
def operations() -> dict[str, str]:
    """Operation name → document."""
    fragments: dict[str, FragmentDefinitionNode] = {}
    found: dict[str, OperationDefinitionNode] = {}
    for path in sorted((graphql_folder() / "operations").glob("*.graphql")):
        for node in parse(path.read_text()).definitions:
            if isinstance(node, FragmentDefinitionNode):
                fragments[node.name.value] = node
            elif isinstance(node, OperationDefinitionNode):
                assert node.name is not None, f"an operation in {path.name} has no name"
                found[node.name.value] = node
    return {name: _with_fragments(node, fragments) for name, node in found.items()}


def _with_fragments(operation: OperationDefinitionNode, fragments: dict[str, FragmentDefinitionNode]) -> str:
    used: dict[str, FragmentDefinitionNode] = {}

    class Collect(Visitor):
        def enter_fragment_spread(self, node: FragmentSpreadNode, *_: object) -> None:
            name = node.name.value
            if name not in used:
                used[name] = fragments[name]
                visit(fragments[name], self)

    visit(operation, Collect())
    return print_ast(DocumentNode(definitions=(operation, *used.values())))
