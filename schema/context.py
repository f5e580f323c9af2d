"""What every resolver is given: who asks, the process's services, and loaders that batch reads within one request or event."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol, TypeVar

import strawberry

from graphook.auth import Caller
from graphook.batch import Batcher
from graphook.errors import InvalidInput
from graphook.feed import Feed
from graphook.rules import IDEMPOTENCY_KEY
from graphook.sandbox import Sandbox
from graphook.seats import Seats
from graphook.settings import Settings
from graphook.ssrf import Policy
from graphook.turns import Turns
from graphql import FieldNode, FragmentSpreadNode
from models.attempt import Attempt
from models.backlog import Backlog
from models.cursor import Cursors
from models.endpoint import Endpoint
from models.idempotency import IdempotencyKey
from models.message import Accepted, Message, NewMessage
from models.payload_check import PayloadChecks
from schema.fields import check_value
from schema.loaders import Loaders

T = TypeVar("T")


class Wake(Protocol):
    """Tells a worker that these ids have something to do."""

    def __call__(self, actor_name: str, ids: Iterable[str]) -> None: ...


class TrialSender(Protocol):
    """Sends a message to one endpoint at once, and returns when the attempt is recorded; False when it has a delivery there already."""

    async def send(self, message: Message, endpoint: Endpoint, body: bytes, params: str | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What a process has once, whoever asks."""

    settings: Settings
    policy: Policy
    accept: Batcher[NewMessage, Accepted]
    backlog: Backlog
    wake: Wake
    attempts: Feed[Attempt]
    messages: Feed[Message]
    trial: TrialSender
    cursors: Cursors
    payload_checks: PayloadChecks
    sandbox: Sandbox
    connections: Seats
    subscriptions: Seats
    turns: Turns


@dataclass
class Context:
    """The surroundings of one request, or of all operations of one WebSocket."""

    caller: Caller
    services: Services
    headers: Mapping[str, str]
    authorization: str | None = None
    connection_params: dict[str, Any] | None = None
    loaders: Loaders = field(default_factory=Loaders)

    @cached_property
    def seat(self) -> ExitStack:
        """What is given back when its WebSocket has ended."""
        return ExitStack()

    def forget(self) -> None:
        """Read everything anew from here on: an operation begins."""
        self.loaders = Loaders()

    def forget_before_event(self) -> None:
        """Read everything anew from here on, in turns: an event of a subscription is to be shown, maybe to thousands at once."""
        self.loaders = Loaders(partial(self.turn, "what is shown"))

    def turn(self, line: str) -> AbstractAsyncContextManager[None]:
        """A turn at reading for a subscription, in one of the organisation's lines."""
        return self.services.turns.turn(self.caller.org_id, line, math.inf)

    def idempotency(
        self, info: Info, key: str | None, arguments: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    ) -> IdempotencyKey | None:
        """The key of a mutation: its argument, or the `Idempotency-Key` header where the document has only this one mutation.

        `arguments` is what it is held to, or what makes that, called only where there is a key. Raises `InvalidInput` where the two differ.
        """
        alone = info.path.prev is None and len(info._raw_info.operation.selection_set.selections) == 1
        header = self.headers.get("idempotency-key") if alone else None
        if header is not None and key not in (None, header):
            raise InvalidInput("idempotencyKey differs from the header Idempotency-Key; send one of them.", ("idempotencyKey",))
        key = header if key is None else key
        if key is None:
            return None
        check_value(IDEMPOTENCY_KEY, key, ("idempotencyKey",))
        # Customers of the same organisation choose keys without knowing of each other.
        app_id = self.caller.app_id
        operation = info.field_name if app_id is None else f"{info.field_name}:{app_id}"
        return IdempotencyKey.of(self.caller.org_id, operation, key, arguments() if callable(arguments) else arguments)


Info = strawberry.Info[Context, None]


def when_loaded(value: Awaitable[T], show: Callable[[T], Any]) -> Any:
    """What a loader's value is shown as: at once when it is there already, else to be awaited. Lists that load ahead are completed faster."""
    if isinstance(value, asyncio.Future) and value.done():
        return show(value.result())

    async def later() -> Any:
        return show(await value)

    return later()


def selects(info: Info, *names: str) -> bool:
    """Whether the selection below a field has one of these fields, at any depth."""
    fragments = info._raw_info.fragments

    def within(node: Any) -> bool:
        if isinstance(node, FragmentSpreadNode):
            return below(fragments[node.name.value])
        return (isinstance(node, FieldNode) and node.name.value in names) or below(node)

    def below(node: Any) -> bool:
        return any(within(child) for child in (node.selection_set.selections if node.selection_set else ()))

    return any(below(node) for node in info._raw_info.field_nodes)


def one_of(path: tuple[str, ...], **choices: Any) -> None:
    """Raise `InvalidInput` unless exactly one of the named values is given."""
    given = [name for name, value in choices.items() if value not in (None, strawberry.UNSET)]
    if len(given) != 1:
        raise InvalidInput(f"Give exactly one of {' and '.join(choices)}.", path)
