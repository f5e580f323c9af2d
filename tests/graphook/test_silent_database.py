"""A database that falls silent: every wait for it ends, its connections are given up, and what comes next goes through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from tortoise import Tortoise

from graphook import database
from graphook.app import READY_SECONDS, ready
from graphook.clock import now
from graphook.errors import Unavailable
from graphook.live import PostgresBus
from graphook.postgresql import CONFIRM_SECONDS, CONNECT_SECONDS
from models import partitions
from tests.chaos.proxy import Proxy
from tests.models import make
from tests.waiting import until

pytestmark = pytest.mark.postgresql_only
# Seconds that a command may take here, and what a busy machine adds to anything: far below what anybody would wait who is not told.
COMMAND, BUSY = 1.0, 10.0
CONNECTIONS = 4
SLOW_MOVE = f"""
    CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({2 * COMMAND}); RETURN OLD; END $$;
    CREATE TRIGGER slowly BEFORE DELETE ON message_default FOR EACH ROW EXECUTE FUNCTION slowly()"""


def through(url: str, proxy: Proxy) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}").geturl()


@pytest.fixture
async def proxy(db: str) -> AsyncIterator[Proxy]:
    """What is between the test and its database."""
    async with Proxy(urlsplit(db).port or 5432) as found:
        yield found
        # The proxy is the last to go: who closes a connection is told.
        await database.disconnect()


@pytest.fixture
async def usual_link(db: str, proxy: Proxy) -> Proxy:
    """The same, with a test that is connected through it."""
    await database.disconnect()
    await database.connect(through(db, proxy))
    return proxy


@pytest.fixture
async def link(db: str, proxy: Proxy) -> Proxy:
    """The same, with little patience and few connections."""
    await database.disconnect()
    await database.connect(through(db, proxy), CONNECTIONS, command_seconds=COMMAND)
    return proxy


async def ask(statement: str = "SELECT 1") -> None:
    async with database.read() as session:
        await session.fetch_text(statement)


async def write(statement: str = "SELECT 1") -> None:
    async with database.transaction() as session:
        await session.fetch_text(statement)


async def ask_tortoise(statement: str = "SELECT 1") -> None:
    await Tortoise.get_connection("default").execute_query(statement)


ways = pytest.mark.parametrize("way", [ask, write, ask_tortoise])
Way = Callable[..., Awaitable[None]]


async def seconds_of(call: Awaitable[None]) -> float:
    began = time.monotonic()
    await call
    return time.monotonic() - began


@ways
async def test_who_waits_is_told_in_time_and_the_next_gets_a_new_connection(link: Proxy, way: Way) -> None:
    await way()
    link.forget()

    async def fails() -> None:
        with pytest.raises((Unavailable, TimeoutError)):
            await way()

    assert await seconds_of(fails()) < COMMAND + CONFIRM_SECONDS + BUSY
    await way()


@pytest.mark.parametrize("way", [ask, write])
async def test_once_one_connection_is_silent_no_other_of_that_time_is_used(link: Proxy, way: Way) -> None:
    await asyncio.gather(*(ask("SELECT pg_sleep(0.1)") for _ in range(CONNECTIONS)))
    assert sum(database.connections()) == CONNECTIONS
    link.forget()

    with pytest.raises(Unavailable):
        await way()

    await asyncio.gather(*(way("SELECT pg_sleep(0.1)") for _ in range(CONNECTIONS)))


@ways
async def test_who_is_cancelled_does_not_wait_for_a_silent_server_to_confirm_it(usual_link: Proxy, way: Way) -> None:
    await way()
    usual_link.forget()

    async def cancelled() -> None:
        with pytest.raises((Unavailable, TimeoutError)):
            async with asyncio.timeout(COMMAND / 5):
                await way()

    assert await seconds_of(cancelled()) < COMMAND / 5 + CONFIRM_SECONDS + BUSY


async def test_a_server_that_lets_nobody_in_is_told_in_time_and_used_when_it_answers_again(link: Proxy) -> None:
    await ask()
    link.become("silent")

    async def fails() -> None:
        with pytest.raises(Unavailable):
            await ask()

    assert await seconds_of(fails()) < COMMAND + CONFIRM_SECONDS + BUSY
    assert await seconds_of(fails()) < CONNECT_SECONDS + BUSY
    link.become("open")

    async def answers() -> bool:
        try:
            await ask()
        except Unavailable:
            return False
        return True

    await until(answers, "an answer")


async def test_an_outage_is_told_in_one_line_and_by_nobody_else(link: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    await ask()
    link.become("refused")

    for _ in range(20):
        with pytest.raises(Unavailable):
            await ask()

    assert {record.name for record in caplog.records} == {"graphook.outage"}


@ways
async def test_a_statement_that_is_only_slow_is_ended_and_its_connection_kept(link: Proxy, way: Way) -> None:
    await way()

    async def fails() -> None:
        with pytest.raises((Unavailable, TimeoutError)):
            await way("SELECT pg_sleep(30)")

    assert await seconds_of(fails()) < COMMAND + BUSY
    await way()


@pytest.mark.usefixtures("link")
async def test_moving_rows_into_their_partition_may_take_longer_than_other_statements() -> None:
    ahead = now() + timedelta(weeks=30)
    await make.message(await make.application(), created_at=ahead)
    await Tortoise.get_connection("default").execute_script(SLOW_MOVE)

    await partitions.ensure(ahead)

    async with database.read() as session:
        assert set((await partitions.strays(session)).values()) == {0}


async def test_readiness_is_answered_within_seconds(usual_link: Proxy) -> None:
    request = Request({"type": "http"})
    assert (await ready(request)).status_code == 200
    usual_link.forget()

    began = time.monotonic()
    response = await ready(request)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert time.monotonic() - began < READY_SECONDS + CONFIRM_SECONDS + BUSY
    assert (await ready(request)).status_code == 200


async def test_who_listens_for_news_notices_the_silence_and_listens_anew(db: str, proxy: Proxy) -> None:
    heard: set[str] = set()
    bus, other = PostgresBus(through(db, proxy), ask_every=0.2), PostgresBus(db)
    await bus.open(heard.add)

    async def hears(news: str) -> bool:
        other.publish([news])
        return news in heard

    await until(lambda: hears("before"), "news before the silence")
    proxy.forget()
    await until(lambda: hears("after"), "news after the silence")
    await bus.close()
    await other.close()
