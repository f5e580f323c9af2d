"""What every resolver is given: who asks, the process's services, and loaders that batch reads within one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import strawberry
from strawberry.dataloader import DataLoader

from graphook.auth import Caller
from graphook.batch import Batcher
from graphook.errors import InvalidInput
from graphook.feed import Feed
from graphook.rules import IDEMPOTENCY_KEY
from graphook.settings import Settings
from graphook.ssrf import Policy
from models.attempt import Attempt
from models.attempt_feed import Cursors
from models.endpoint import Endpoint
from models.idempotency import IdempotencyKey
from models.message import Accepted, Message, NewMessage
from schema.fields import check_value


class Wake(Protocol):
    """Tells a worker that these ids have something to do."""

    def __call__(self, actor_name: str, ids: Iterable[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What a process has once, whoever asks."""

    settings: Settings
    policy: Policy
    accept: Batcher[NewMessage, Accepted]
    wake: Wake
    attempts: Feed[Attempt]
    cursors: Cursors


@dataclass
class Context:
    """One request's, or one subscription's, surroundings."""

    caller: Caller
    services: Services
    headers: Mapping[str, str]
    authorization: str | None = None
    connection_params: dict[str, Any] | None = None
    contents: DataLoader[Message, bytes | None] = field(init=False)
    messages: DataLoader[tuple[str, str], Message | None] = field(init=False)
    endpoints: DataLoader[str, Endpoint | None] = field(init=False)

    def __post_init__(self) -> None:
        self.contents = DataLoader(_load_contents, cache_key_fn=lambda message: message.id)
        self.messages = DataLoader(_load_messages)
        self.endpoints = DataLoader(_load_endpoints)

    def idempotency(self, info: Info, key: str | None, arguments: Mapping[str, Any]) -> IdempotencyKey | None:
        """The key of a mutation: its argument, else the `Idempotency-Key` header where the document has only this one mutation."""
        if key is None and info.path.prev is None and len(info._raw_info.operation.selection_set.selections) == 1:
            key = self.headers.get("idempotency-key")
        if key is None:
            return None
        check_value(IDEMPOTENCY_KEY, key, ("idempotencyKey",))
        return IdempotencyKey.of(self.caller.org_id, info.field_name, key, arguments)


Info = strawberry.Info[Context, None]


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
