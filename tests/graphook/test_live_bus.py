"""The live bus: what it hears from other processes."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from graphook.live import CHANNEL, RedisBus, _RemoteBus
from tests.chaos.proxy import Proxy
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


@pytest.mark.postgresql_only
async def test_who_listens_notices_that_redis_is_silent_and_listens_anew(backend: Backend) -> None:
    url = backend.fresh_redis()
    assert url is not None
    parts = urlsplit(url)
    heard: set[str] = set()
    async with Proxy(parts.port or 6379) as proxy:
        bus, other = RedisBus(parts._replace(netloc=f"127.0.0.1:{proxy.port}").geturl(), ask_every=0.2), RedisBus(url)
        stranger = Redis.from_url(url)

        async def hears(news: str) -> bool:
            other.publish([news])
            return news in heard

        async def keeps_its_connection() -> bool:
            clients = await stranger.client_list(_type="pubsub")
            return any(int(client["age"]) >= 2 for client in clients if client["db"] == parts.path.strip("/"))

        await bus.open(heard.add)
        try:
            await until(lambda: hears("before"), "news before the silence")
            await until(keeps_its_connection, "a time without news")
            proxy.forget()
            await until(lambda: hears("after"), "news after the silence")
        finally:
            await bus.close()
            await other.close()
            await stranger.aclose()


async def test_a_bus_that_stumbles_over_news_sends_those_that_came_meanwhile() -> None:
    sent: list[str] = []

    class Stumbling(_RemoteBus):
        async def _send(self, payload: str) -> None:
            if payload == "app_a":
                self.publish(["app_b"])
                raise asyncpg.InternalClientError("got result for unknown protocol state 3")
            sent.append(payload)

    bus = Stumbling()
    bus.publish(["app_a"])

    await until(lambda: sent == ["app_b"], "the news", patience=5)
    await bus.close()
