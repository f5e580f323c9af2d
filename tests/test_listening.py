"""Whoever connects as a server of a test ends is let go of properly: nothing stays open whose warning would fail a later test."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from contextlib import ExitStack

import pytest

from tests.graphook.hostile import hostile
from tests.receiver import Receiver

pytestmark = pytest.mark.sqlite_only


@pytest.mark.parametrize("server", [Receiver, hostile])
@pytest.mark.parametrize("steps", range(6))
async def test_a_connection_that_comes_as_its_server_ends_is_closed(server: type[Receiver], steps: int) -> None:
    """Whichever step of asyncio's the server's end falls into."""
    with warnings.catch_warnings(record=True) as unclosed, ExitStack() as clients:
        warnings.simplefilter("always", ResourceWarning)
        async with server() as listening:
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", listening.port))
            for _ in range(steps):
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()
    assert [str(warning.message) for warning in unclosed] == []
