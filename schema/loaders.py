"""Loaders that batch reads, and remember what they read: for one request, or for one event of a subscription."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cached_property
from typing import TypeVar

from strawberry.dataloader import DataLoader

from models.breaker import Opened, opened
from models.endpoint import Endpoint
from models.message import Message

K = TypeVar("K")
V = TypeVar("V")


class Loaders:
    """What is read by key, each batch within a `turn`. A failure is remembered too, so whoever goes on takes new ones."""

    def __init__(self, turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext) -> None:
        self._turn = turn

    def _in_turn(self, load: Callable[[Sequence[K]], Awaitable[list[V]]]) -> Callable[[list[K]], Awaitable[list[V]]]:
        async def loaded(keys: list[K]) -> list[V]:
            async with self._turn():
                return await load(keys)

        return loaded

    @cached_property
    def contents(self) -> DataLoader[Message, bytes | None]:
        """Payloads; None where one is no longer kept."""
        return DataLoader(self._in_turn(_load_contents), cache_key_fn=lambda message: message.id)

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
