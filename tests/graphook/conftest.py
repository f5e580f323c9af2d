"""The small schema's server for the tests of the transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.graphook.toy import TOKEN, Toy, serving
from tests.waiting import until


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
    async with httpx.AsyncClient(base_url=toy.url.removesuffix("/graphql"), headers={"Authorization": TOKEN}, timeout=20) as client:
        yield client
