"""Loaders that batch reads, and remember what they read: for one request, or for one event of a subscription."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cached_property
from typing import TypeVar

from strawberry.dataloader import DataLoader

from graphook.errors import LimitExceeded
from models.breaker import Opened, opened
from models.endpoint import Endpoint
from models.event_type import EventType
from models.message import MAX_CONTENTS, TOO_MUCH_CONTENT, Message
from models.where import Where

K = TypeVar("K")
V = TypeVar("V")


class Loaders:
    """What is read by key, each batch within a `turn`. A failure is remembered too, so whoever goes on takes new ones."""

    def __init__(self, turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext) -> None:
        self._turn = turn
        self._unread = self._unshown = MAX_CONTENTS

    def _in_turn(self, load: Callable[[Sequence[K]], Awaitable[list[V]]]) -> Callable[[list[K]], Awaitable[list[V]]]:
        async def loaded(keys: list[K]) -> list[V]:
            async with self._turn():
                return await load(keys)

        return loaded

    @cached_property
    def contents(self) -> DataLoader[Message, bytes | None]:
        """Payloads; None where one is no longer kept."""
        return DataLoader(self._in_turn(self._load_contents), cache_key_fn=lambda message: message.id)

    async def read_contents(self, messages: Sequence[Message]) -> Mapping[str, bytes]:
        """Payloads by message id, without those that are no longer kept. Raises `LimitExceeded` for more than all of an answer may have."""
        async with self._reading:
            found = await Message.contents(messages, self._unread)
            self._unread -= sum(map(len, found.values()))
        return found

    def show(self, content: bytes) -> None:
        """Count a payload, or schemas, for the answer, once more wherever it is asked for, and where an object is completed anew because of an error.

        Raises `LimitExceeded`.
        """
        self._unshown -= len(content)
        if self._unshown < 0:
            raise LimitExceeded(TOO_MUCH_CONTENT)

    @cached_property
    def _reading(self) -> asyncio.Lock:
        return asyncio.Lock()

    async def _load_contents(self, messages: Sequence[Message]) -> list[bytes | None]:
        found = await self.read_contents(messages)
        return [found.get(message.id) for message in messages]

    @cached_property
    def schemas(self) -> DataLoader[EventType, bytes | None]:
        """The schemas of event types that were listed, as they are now."""
        return DataLoader(self._in_turn(self._load_schemas), cache_key_fn=lambda row: (row.id, row.updated_at))

    async def _load_schemas(self, rows: Sequence[EventType]) -> list[bytes | None]:
        async with self._reading:
            found = await EventType.schemas_of(rows, self._unread)
            self._unread -= sum(map(len, found.values()))
        return [found.get(row.id) for row in rows]

    @cached_property
    def messages(self) -> DataLoader[tuple[str, str], Message | None]:
        """Messages by application id and id."""
        return DataLoader(self._in_turn(_load_messages))

    @cached_property
    def endpoints(self) -> DataLoader[str, Endpoint | None]:
        """Endpoints by id."""
        return DataLoader(self._in_turn(_load_endpoints))

    @cached_property
    def breakers(self) -> DataLoader[str, Opened | None]:
        """What is open, by endpoint id."""
        return DataLoader(self._in_turn(_load_breakers))


async def _load_messages(keys: Sequence[tuple[str, str]]) -> list[Message | None]:
    by_app: dict[str, list[str]] = {}
    for app_id, message_id in keys:
        by_app.setdefault(app_id, []).append(message_id)
    found: dict[str, Message] = {}
    for app_id, ids in by_app.items():
        found |= await Message.load_many(app_id, ids)
    return [found.get(message_id) for _, message_id in keys]


async def _load_endpoints(ids: Sequence[str]) -> list[Endpoint | None]:
    found = {endpoint.id: endpoint for endpoint in await Where().any_of("id", ids).load(Endpoint)}
    return [found.get(endpoint_id) for endpoint_id in ids]


async def _load_breakers(endpoint_ids: Sequence[str]) -> list[Opened | None]:
    found = await opened(list(endpoint_ids))
    return [found.get(endpoint_id) for endpoint_id in endpoint_ids]
