"""GraphQL documents, each parsed, validated and weighed once however often it is sent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Any

from strawberry import Schema

from graphook.compiled_inputs import Unusual
from graphook.compiled_operations import DirectOperation
from graphook.graphql_limits import MAX_TOKENS, breach, page_size, size_variables
from graphook.input_sizes import Look, looks, oversize
from graphql import (
    ASTValidationRule,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    validate,
)

MAX_ERRORS = 9
# Bytes of what is kept, as far as `_size` can tell.
_MOST_KEPT = 48 * 1024 * 1024
_SIZES_KEPT = 32

Rules = tuple[type[ASTValidationRule], ...]


@dataclass(slots=True)
class Document:
    """A parsed document, and what is wrong with it as far as that has been looked at."""

    node: DocumentNode
    _size_variables: tuple[str, ...]
    _invalid: list[GraphQLError] | None = None
    _breaches: dict[tuple[int, ...], GraphQLError | None] = field(default_factory=dict)
    _direct: dict[int, DirectOperation | None] = field(default_factory=dict)
    _looks: list[tuple[str, Look]] | None = None
    operations: list[OperationDefinitionNode] = field(init=False)

    def __post_init__(self) -> None:
        self.operations = [definition for definition in self.node.definitions if isinstance(definition, OperationDefinitionNode)]

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The operation of that name; the first one when no name is asked for."""
        for operation in self.operations:
            if name is None or (operation.name is not None and operation.name.value == name):
                return operation
        return None

    def direct(self, schema: Schema, operation: OperationDefinitionNode) -> DirectOperation | None:
        """The operation as it is run without graphql-core, if it can be."""
        key = id(operation)
        if key not in self._direct:
            fragments = {node.name.value: node for node in self.node.definitions if isinstance(node, FragmentDefinitionNode)}
            try:
                self._direct[key] = DirectOperation(schema, operation, fragments)
            except Unusual:
                self._direct[key] = None
        return self._direct[key]

    def refusals(self, schema: GraphQLSchema, rules: Rules, variables: Mapping[str, Any] | None, name: str | None) -> list[GraphQLError]:
        """Why the document is not executed: a limit it or its variables break, an operation that is not named, or faults of its own.

        The limits come before validation, which costs more than linear time.
        """
        if self._looks is None:
            self._looks = looks(schema, self.node)
        refusal = self._breach(variables) or oversize(variables or {}, self._looks) or self._ambiguity(name)
        if refusal is not None:
            return [refusal]
        if self._invalid is None:
            # Named here: afterwards their messages look like those of variables with wrong values.
            self._invalid = [_coded(error) for error in validate(schema, self.node, rules, max_errors=MAX_ERRORS)]
        return list(self._invalid)

    def _breach(self, variables: Mapping[str, Any] | None) -> GraphQLError | None:
        given = variables or {}
        # Null is no size, and also not the default that stands for what is absent.
        sizes = tuple([0 if name not in given else -1 if given[name] is None else page_size(given[name]) for name in self._size_variables])
        if sizes not in self._breaches:
            found = breach(self.node, variables)
            if len(self._breaches) >= _SIZES_KEPT:
                return found
            self._breaches[sizes] = found
        return self._breaches[sizes]

    def _ambiguity(self, name: str | None) -> GraphQLError | None:
        """Several operations and no name for one: Strawberry would run the first."""
        if name is None and len(self.operations) > 1:
            return GraphQLError(
                "The document has several operations; say which one with operationName.",
                extensions={"code": "OPERATION_RESOLUTION_FAILURE"},
            )
        return None


class Documents:
    """Documents by schema and text, the least recently used dropped first: at once, since nothing in them is a cycle."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._kept: OrderedDict[tuple[GraphQLSchema, str], Document] = OrderedDict()
        self._most = most
        self._bytes = 0

    def get(self, schema: GraphQLSchema, text: str) -> Document:
        """The document of a text. Raises `GraphQLError` when it cannot be parsed."""
        key = (schema, text)
        found = self._kept.get(key)
        if found is None:
            node = parse(text, no_location=False, max_tokens=MAX_TOKENS)
            _unlink_tokens(node)
            found = self._kept[key] = Document(node, size_variables(node))
            self._bytes += _size(text, node)
            while self._bytes > self._most:
                (_, dropped), document = self._kept.popitem(last=False)
                self._bytes -= _size(dropped, document.node)
        else:
            self._kept.move_to_end(key)
        return found


def _size(text: str, node: DocumentNode) -> int:
    """The bytes of a document, roughly: some 400 for the nodes of a token, as many for what is compiled of it, and its text twice."""
    return 10_000 + 800 * node.token_count + 2 * getsizeof(text)


def _unlink_tokens(node: DocumentNode) -> None:
    """Undo the chain of all tokens, comments too, which keeps them alive and needs the garbage collector to go; nodes hold those they need."""
    token = node.loc.start_token if node.loc else None
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following


def _coded(error: GraphQLError) -> GraphQLError:
    return GraphQLError(
        error.message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": "GRAPHQL_VALIDATION_FAILED"},
    )


# What every path of this process shares.
documents = Documents()
