"""What every resolver is given: who asks, the process's services, and loaders that batch reads within one request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import strawberry
from strawberry.dataloader import DataLoader

from graphook.auth import Caller
from graphook.batch import Batcher
from graphook.errors import InvalidInput
from graphook.feed import Feed
from graphook.rules import IDEMPOTENCY_KEY
from graphook.sandbox import Sandbox
from graphook.seats import Seats
from graphook.settings import Settings
from graphook.ssrf import Policy
from graphql import FieldNode, FragmentSpreadNode
from models.attempt import Attempt
from models.backlog import Backlog
from models.breaker import Opened, opened
from models.cursor import Cursors
from models.endpoint import Endpoint
from models.idempotency import IdempotencyKey
from models.message import Accepted, Message, NewMessage
from models.payload_check import PayloadChecks
from schema.fields import check_value

T = TypeVar("T")


class Wake(Protocol):
    """Tells a worker that these ids have something to do."""

    def __call__(self, actor_name: str, ids: Iterable[str]) -> None: ...


class TrialSender(Protocol):
    """Sends a message to one endpoint at once, and returns when the attempt is recorded."""

    async def send(self, message: Message, endpoint: Endpoint, body: bytes, params: str | None = None) -> None: ...


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


@dataclass
class Context:
    """One request's, or one subscription's, surroundings."""

    caller: Caller
    services: Services
    headers: Mapping[str, str]
    authorization: str | None = None
    connection_params: dict[str, Any] | None = None

    @cached_property
    def seat(self) -> ExitStack:
        """What is given back when its WebSocket has ended."""
        return ExitStack()

    @cached_property
    def contents(self) -> DataLoader[Message, bytes | None]:
        """Payloads; None where one is no longer kept."""
        return DataLoader(_load_contents, cache_key_fn=lambda message: message.id)

    @cached_property
    def messages(self) -> DataLoader[tuple[str, str], Message | None]:
        """Messages by application id and id."""
        return DataLoader(_load_messages)

    @cached_property
    def endpoints(self) -> DataLoader[str, Endpoint | None]:
        """Endpoints by id."""
        return DataLoader(_load_endpoints)

    @cached_property
    def breakers(self) -> DataLoader[str, Opened | None]:
        """What is open, by endpoint id."""
        return DataLoader(_load_breakers)

    def idempotency(
        self, info: Info, key: str | None, arguments: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    ) -> IdempotencyKey | None:
        """The key of a mutation: its argument, else the `Idempotency-Key` header where the document has only this one mutation.

        `arguments` is what it is held to, or what makes that, called only where there is a key.
        """
        if key is None and info.path.prev is None and len(info._raw_info.operation.selection_set.selections) == 1:
            key = self.headers.get("idempotency-key")
        if key is None:
            return None
        check_value(IDEMPOTENCY_KEY, key, ("idempotencyKey",))
        return IdempotencyKey.of(self.caller.org_id, info.field_name, key, arguments() if callable(arguments) else arguments)


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


async def _load_contents(messages: Sequence[Message]) -> list[bytes | None]:
    found = await Message.contents(messages)
    return [found.get(message.id) for message in messages]


async def _load_messages(keys: Sequence[tuple[str, str]]) -> list[Message | None]:
    by_app: dict[str, list[str]] = {}
    for app_id, message_id in keys:
        by_app.setdefault(app_id, []).append(message_id)
    found: dict[str, Message] = {}
    for app_id, ids in by_app.items():
        found |= await Message.load_many(app_id, ids)
    return [found.get(message_id) for _, message_id in keys]


async def _load_endpoints(ids: Sequence[str]) -> list[Endpoint | None]:
    found = {endpoint.id: endpoint for endpoint in await Endpoint.filter(id__in=list(ids))}
    return [found.get(endpoint_id) for endpoint_id in ids]


async def _load_breakers(endpoint_ids: Sequence[str]) -> list[Opened | None]:
    found = await opened(list(endpoint_ids))
    return [found.get(endpoint_id) for endpoint_id in endpoint_ids]
