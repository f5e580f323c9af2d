"""The live bus: what it hears from other processes."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from graphook.live import CHANNEL, RedisBus
from tests.conftest import Backend
from tests.waiting import until


@pytest.mark.postgresql_only
async def test_a_bus_that_hears_what_it_cannot_read_goes_on_listening(backend: Backend) -> None:
    url = backend.fresh_redis()
    assert url is not None
    heard: list[str] = []
    bus, stranger = RedisBus(url), Redis.from_url(url)

    async def hears() -> bool:
        await stranger.publish(CHANNEL, "app_a")
        return "app_a" in heard

    await bus.open(heard.append)
    try:
        await until(hears, "the bus to listen")
        await stranger.publish(CHANNEL, b"\xff")
        heard.clear()
        await until(hears, "the bus to listen again")
    finally:
        await stranger.aclose()
        await bus.close()
