"""Feeds: who watches looks when there is news and not more often than need be, and few read at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise

import pytest

from graphook import feed as feed_module
from graphook.feed import READS, READS_PER_TENANT, Chunk, Feed, Position
from models.attempt import Attempt
from models.feeds import ATTEMPTS
from tests.waiting import PATIENCE, until

# Long enough to be told from what a busy machine adds to anything, where that must be.
PAUSE, LONG_PAUSE = 0.5, 1.5


async def now() -> float:
    """A look: when it is."""
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def waking(feed: Feed[Attempt], key: str) -> AsyncIterator[None]:
    """News without end."""

    async def wake() -> None:
        while True:
            feed.wake(key)
            await asyncio.sleep(0)

    task = asyncio.create_task(wake())
    try:
        yield
    finally:
        task.cancel()


async def test_looks_are_a_pause_apart_however_much_news_there_is() -> None:
    feed = Feed(ATTEMPTS, pause=PAUSE)
    async with waking(feed, "app_a"), aclosing(feed.watch("org_a", "app_a", now)) as looks, asyncio.timeout(PATIENCE):
        seen = [await anext(looks) for _ in range(3)]

    apart = [later - earlier for earlier, later in pairwise(seen)]
    assert min(apart) >= PAUSE, apart


async def test_news_after_a_quiet_time_are_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "TICK", 3600.0)
    feed = Feed(ATTEMPTS, pause=LONG_PAUSE)
    async with aclosing(feed.watch("org_a", "app_a", now)) as looks, asyncio.timeout(PATIENCE):
        first = await anext(looks)
        following = asyncio.ensure_future(anext(looks))
        await until(lambda: asyncio.get_running_loop().time() > first + LONG_PAUSE, "the pause to pass")
        assert not following.done()
        feed.wake("app_a")
        woken = await now()
        assert await following - woken < LONG_PAUSE


async def test_few_look_at_a_time_and_fewer_of_one_tenant() -> None:
    feed = Feed(ATTEMPTS, pause=0)
    under_way: dict[str, int] = {"org_busy": 0, "org_quiet": 0, "org_third": 0}
    done = asyncio.Event()

    async def follow(tenant: str) -> None:
        async def look() -> None:
            under_way[tenant] += 1
            await done.wait()

        async with aclosing(feed.watch(tenant, "app_a", look)) as looks:
            await anext(looks)

    busy = [asyncio.create_task(follow("org_busy")) for _ in range(20)]
    await until(lambda: under_way["org_busy"] == READS_PER_TENANT, "the first of the busy organisation")
    others = [asyncio.create_task(follow(tenant)) for tenant in ("org_quiet", "org_third") for _ in range(5)]
    await until(lambda: sum(under_way.values()) == READS, "as many as there may be")
    assert under_way == {"org_busy": READS_PER_TENANT, "org_quiet": 2, "org_third": 0}

    done.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*busy, *others)
    assert under_way == {"org_busy": 20, "org_quiet": 5, "org_third": 5}


async def test_who_begins_to_watch_does_not_wait_for_all_who_watch_already() -> None:
    feed = Feed(ATTEMPTS, pause=0)
    order: list[str] = []
    held = asyncio.Event()
    held.set()

    async def look(name: str) -> str:
        order.append(name)
        await held.wait()
        return name

    watching = [feed.watch("org_a", "app_a", lambda: look("again")) for _ in range(20)]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(anext(looks) for looks in watching))
        held.clear()
        feed.wake("app_a")
        order.clear()
        following = [asyncio.ensure_future(anext(looks)) for looks in watching]
        await until(lambda: len(order) == READS_PER_TENANT, "turns to be taken")
        newcomer = feed.watch("org_a", "app_a", lambda: look("first"))
        begun = asyncio.ensure_future(anext(newcomer))
        await asyncio.sleep(0)
        held.set()
        assert await begun == "first"
        await asyncio.gather(*following)
    for looks in (newcomer, *watching):
        await looks.aclose()

    assert order.index("first") <= READS_PER_TENANT + 1, order


async def test_few_who_follow_read_at_a_time_however_many_keys_one_tenant_has() -> None:
    under_way: list[str] = []
    done = asyncio.Event()

    class Slow:
        async def head(self) -> Position:
            return Position(1, "~")

        async def read(self, key: str, after: Position, limit: int) -> Chunk[str]:
            under_way.append(key)
            await done.wait()
            return Chunk([], hidden=False)

    feed = Feed(Slow())
    following = [feed.follow("org_busy", f"app_{number}", None) for number in range(20)]
    resumed = [feed.follow("org_busy", f"app_{number}", Position(0, "")) for number in range(20)]
    tasks = [asyncio.ensure_future(anext(rows)) for rows in (*following, *resumed)]
    await until(lambda: len(under_way) == READS_PER_TENANT, "the first reads")
    for number in range(20):
        feed.wake(f"app_{number}")
    quiet = asyncio.ensure_future(anext(feed.follow("org_quiet", "app_quiet", Position(0, ""))))
    await until(lambda: "app_quiet" in under_way, "another organisation")
    assert len([key for key in under_way if key != "app_quiet"]) == READS_PER_TENANT

    done.set()
    await until(lambda: len(under_way) >= 41, "all that read")
    for task in (*tasks, quiet):
        task.cancel()
    await asyncio.wait((*tasks, quiet))
    await feed.close()
