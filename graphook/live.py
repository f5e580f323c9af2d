"""The live bus: after a commit it says which applications, organisations and tasks have news, so that readers look at the database at once.

It carries ids only. When it is down, readers look once a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from graphook.postgresql import CONNECT_FAILURES

log = logging.getLogger(__name__)

CHANNEL = "graphook_live"
Listener = Callable[[str], None]


class Bus(Protocol):
    """Tells every process that listens, this one included, what has news: applications, organisations and background tasks, by their ids."""

    async def open(self, listener: Listener | None) -> None:
        """Begin; `listener` is called with the id of each that has news."""

    def publish(self, ids: Iterable[str]) -> None:
        """Say that those with these ids have news. Never waits, never raises."""

    async def close(self) -> None:
        """Stop."""


class LocalBus:
    """The bus within one process."""

    def __init__(self) -> None:
        self._listener: Listener | None = None

    async def open(self, listener: Listener | None) -> None:
        self._listener = listener

    def publish(self, ids: Iterable[str]) -> None:
        if self._listener is not None:
            for key in ids:
                self._listener(key)

    async def close(self) -> None:
        self._listener = None


class _RemoteBus:
    """What the buses between processes share: sending in the background, and listening again after a failure."""

    def __init__(self) -> None:
        self._pending: dict[str, None] = {}
        self._sending: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self, listener: Listener | None) -> None:
        if listener is not None:
            self._listening = asyncio.create_task(self._listen_forever(listener))

    def publish(self, ids: Iterable[str]) -> None:
        self._pending.update(dict.fromkeys(ids))
        if self._pending and self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_all())

    async def close(self) -> None:
        for task in (self._sending, self._listening):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _send_all(self) -> None:
        try:
            while self._pending:
                ids, self._pending = list(self._pending), {}
                try:
                    await self._send(",".join(ids))
                except (RedisError, *CONNECT_FAILURES) as error:
                    log.debug("live news were not sent: %s", error)
                except Exception:
                    # What came meanwhile would wait for the next news.
                    log.exception("live news were not sent")
        finally:
            self._sending = None

    async def _listen_forever(self, listener: Listener) -> None:
        def heard(payload: str) -> None:
            for key in payload.split(","):
                listener(key)

        while True:
            try:
                await self._listen(heard)
            except (RedisError, *CONNECT_FAILURES) as error:
                log.warning("the live bus is away, subscriptions look once a second: %s", error)
            except Exception:
                # Nobody would begin again for a listener that is gone.
                log.exception("the live bus stumbled and listens again")
            await asyncio.sleep(1)

    async def _send(self, payload: str) -> None:
        raise NotImplementedError

    async def _listen(self, heard: Callable[[str], None]) -> None:
        raise NotImplementedError


class RedisBus(_RemoteBus):
    """The bus on Redis pub/sub."""

    def __init__(self, url: str, ask_every: float = 10.0) -> None:
        """`ask_every`: seconds without news after which the server is asked whether it is still there, and that it has to answer."""
        super().__init__()
        self._ask_every = ask_every
        self._publisher = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        # A reader that waits for news must not time out.
        self._subscriber = Redis.from_url(url, socket_timeout=None, socket_connect_timeout=2)

    async def close(self) -> None:
        await super().close()
        await self._publisher.aclose()
        await self._subscriber.aclose()

    async def _send(self, payload: str) -> None:
        await self._publisher.publish(CHANNEL, payload)

    async def _listen(self, heard: Callable[[str], None]) -> None:
        async with self._subscriber.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            asked = False
            while True:
                message = await channel.get_message(timeout=self._ask_every)
                if message is not None:
                    asked = False
                    if message["type"] == "message":
                        heard(message["data"].decode())
                elif asked:
                    raise TimeoutError(f"Redis did not answer within {self._ask_every:g} seconds.")
                else:
                    await channel.ping()
                    asked = True


class PostgresBus(_RemoteBus):
    """The bus on PostgreSQL's NOTIFY, with a connection of its own; for many processes without Redis."""

    PAYLOAD_LIMIT = 7000  # of PostgreSQL's 8,000 bytes

    def __init__(self, url: str, ask_every: float = 10.0) -> None:
        """`ask_every`: seconds after which the server is asked whether it is still there, since who only listens is not told that it is gone."""
        super().__init__()
        self._url = url
        self._ask_every = ask_every
        self._connection: asyncpg.Connection | None = None

    async def close(self) -> None:
        await super().close()
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.close(timeout=2)

    async def _send(self, payload: str) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._url, timeout=2, command_timeout=2)
        for part in _parts(payload, self.PAYLOAD_LIMIT):
            await self._connection.execute("SELECT pg_notify($1, $2)", CHANNEL, part)

    async def _listen(self, heard: Callable[[str], None]) -> None:
        connection = await asyncpg.connect(self._url, timeout=2, command_timeout=2)
        try:
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(CHANNEL, lambda _connection, _pid, _channel, payload: heard(str(payload)))
            while not closed.is_set():
                await connection.execute("SELECT 1")
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._ask_every):
                        await closed.wait()
        finally:
            await connection.close(timeout=2)


def _parts(payload: str, limit: int) -> list[str]:
    parts: list[str] = [""]
    for item in payload.split(","):
        joined = f"{parts[-1]},{item}" if parts[-1] else item
        if len(joined) > limit:
            parts.append(item)
        else:
            parts[-1] = joined
    return parts


def create_bus(database_url: str, redis_url: str | None) -> Bus:
    """The bus that fits: Redis where there is one, else NOTIFY on PostgreSQL, else within the process."""
    if redis_url is not None:
        return RedisBus(redis_url)
    if database_url.startswith("sqlite"):
        return LocalBus()
    return PostgresBus(database_url)
