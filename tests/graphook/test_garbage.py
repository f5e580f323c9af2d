"""Memory that is given back at once or after so many bytes, where the collector by itself would wait for a hundred thousand objects."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from graphook import garbage
from graphook.access import Access
from graphook.batch import Batcher
from graphook.errors import Conflict
from resolvers.expected import mutation
from tests.graphook.hostile import hostile
from tests.graphook.test_http_connection import sender


class Sent:
    """Something large that a stranger sent."""


@pytest.fixture(autouse=True)
def only_when_told() -> Iterator[None]:
    """The collector does not come by itself."""
    garbage.came_in(garbage.EVERY)
    gc.disable()
    yield
    gc.enable()


def discarded() -> weakref.ref[Sent]:
    """Something in a cycle that nobody refers to any more."""
    sent = Sent()
    sent.__dict__["itself"] = sent
    return weakref.ref(sent)


async def received(kind: str, **content: bytes | str | None) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": kind, **content}

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()

    await Access(app)({"type": kind.partition(".")[0], "headers": [], "method": "GET", "path": "/"}, receive, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "name", "half"),
    [
        ("http.request", "body", bytes(garbage.EVERY // 2)),
        ("websocket.receive", "text", "x" * (garbage.EVERY // 2)),
        ("websocket.receive", "bytes", bytes(garbage.EVERY // 2)),
    ],
)
async def test_garbage_is_collected_after_so_many_bytes_of_bodies_and_frames(kind: str, name: str, half: bytes | str) -> None:
    gone = discarded()

    await received(kind, **{"bytes": None, name: half})
    assert gone() is not None
    await received(kind, **{"bytes": None, name: half})
    assert gone() is None


async def test_a_refused_mutation_gives_back_what_was_sent_with_it() -> None:
    kept: list[weakref.ref[Sent]] = []

    @mutation(lambda errors: errors, None)
    async def refuse(info: Any) -> Any:
        sent = Sent()
        kept.append(weakref.ref(sent))
        failure = Conflict("There is one already.", ("input",))
        raise failure

    assert await refuse(info=SimpleNamespace(context=SimpleNamespace(caller=None)))
    assert kept[0]() is None


async def test_the_error_of_an_item_of_a_batch_is_given_back_with_its_answer() -> None:
    async def flush(items: Sequence[int]) -> list[int | Exception]:
        return [Conflict("There is one already.", ("input",)) for _ in items]

    async def submit() -> weakref.ref[BaseException]:
        (outcome,) = await batcher.submit_all([1])
        assert isinstance(outcome, Conflict)
        return weakref.ref(outcome)

    batcher: Batcher[int, int] = Batcher(flush, max_items=10, concurrency=1)
    error = await submit()
    await batcher.drain()
    assert error() is None


async def test_a_kept_connection_gives_back_what_it_sent() -> None:
    body = bytes(1_000_000)
    async with hostile() as receiver, sender() as sending:
        before = sys.getrefcount(body)
        assert (await sending.send(receiver.url(), [], body)).body == b"ok"
        await asyncio.sleep(0)

        assert sys.getrefcount(body) == before
        assert (await sending.send(receiver.url(), [], b"{}")).body == b"ok"
        assert receiver.connections == 1
