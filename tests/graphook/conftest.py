"""The small schema's server for the tests of the transport, and the event loops that the sender is tried on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import httpx
import pytest
import uvloop

from tests.client import http_client
from tests.graphook.toy import TOKEN, Toy, serving
from tests.waiting import until


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The sender is tried on the loop of a worker too: each has transports of its own."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    return factories | {"uvloop": uvloop.new_event_loop} if item.path.stem in {"test_sender", "test_http_connection"} else factories


@pytest.fixture(scope="session")
def toy_server() -> Iterator[Toy]:
    with serving() as running:
        yield running


@pytest.fixture
async def toy(toy_server: Toy) -> AsyncIterator[Toy]:
    """The running server with its switches in place; nothing that a test started there may outlive it."""
    yield toy_server
    toy_server.failure, toy_server.looks = None, 0
    toy_server.revoked.clear()
    toy_server.written.clear()
    await until(lambda: toy_server.listeners == 0, lambda: f"{toy_server.listeners} subscriptions to end")


@pytest.fixture
async def http(toy: Toy) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends a valid token to the server."""
    async with http_client(base_url=toy.url.removesuffix("/graphql"), headers={"Authorization": TOKEN}) as client:
        yield client
