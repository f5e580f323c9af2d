"""The connections that requests use: kept ones by origin, latest first, and no more out at once than allowed."""

from __future__ import annotations

import asyncio
import ssl

from graphook.connector import GuardedResolver, dial
from graphook.http_connection import Answer, Connection, ConnectionClosed
from graphook.ssrf import Policy, Target

KEPT_SECONDS = 5.0
# A busy connection is never idle: after so many seconds another is made, to where the name leads by then.
LONGEST_SECONDS = 60.0
# A receiver that closes a kept connection as it is taken up is heard of within so many seconds. One that closes it later has read the request.
RACE_SECONDS = 1.0

Origin = tuple[str, str, int]


class Pool:
    """Gives each request a connection of its own. Of one event loop.

    `connections` is how many requests are out at the same time, more wait; as many connections at most are kept for later ones.
    """

    def __init__(
        self,
        policy: Policy,
        resolver: GuardedResolver,
        tls: ssl.SSLContext,
        *,
        connections: int,
        response_limit: int,
        kept_seconds: float = KEPT_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        race_seconds: float = RACE_SECONDS,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._connections = connections
        self._response_limit = response_limit
        self._kept_seconds = kept_seconds
        self._longest_seconds = longest_seconds
        self._race_seconds = race_seconds
        self._slots = asyncio.Semaphore(connections)
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._out: set[Connection] = set()
        # The longest kept first, each with the time when it is given up; and the same connections by origin.
        self._kept: dict[Connection, float] = {}
        self._by_origin: dict[Origin, dict[Connection, None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def exchange(self, target: Target, head: bytes, body: bytes, answer: Answer) -> None:
        """Send a request and read its response into `answer`. Raises what the connection and dialling raise."""
        async with self._slots:
            if self._closed:
                raise ConnectionClosed
            origin = (target.scheme, target.host, target.port)
            connection = self._take(origin)
            if connection is not None:
                began = self._loop.time()
                try:
                    await self._use(connection, head, body, answer)
                    return
                except ConnectionClosed:
                    # The receiver closed a kept connection as we took it up: nothing was answered, so one more try on a new one is fair.
                    if connection.received or self._loop.time() - began > self._race_seconds:
                        raise
            connection = await dial(target, self._resolver, self._policy, self._tls, lambda: Connection(origin, self._response_limit))
            await self._use(connection, head, body, answer)

    def close(self) -> None:
        """Close every connection. Requests that are out fail."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in [*self._kept, *self._out]:
            connection.close()
        self._kept.clear()
        self._by_origin.clear()

    async def _use(self, connection: Connection, head: bytes, body: bytes, answer: Answer) -> None:
        self._out.add(connection)
        try:
            if self._closed:
                raise ConnectionClosed
            await connection.request(head, body, answer)
        finally:
            self._out.discard(connection)
            if connection.reusable and self._loop.time() - connection.made_at < self._longest_seconds:
                self._keep(connection)
            else:
                connection.close()

    def _take(self, origin: Origin) -> Connection | None:
        """The connection to an origin that was used last, if one is alive."""
        while kept := self._by_origin.get(origin):
            connection = next(reversed(kept))
            self._forget(connection)
            if connection.reusable:
                return connection
        return None

    def _keep(self, connection: Connection) -> None:
        if len(self._kept) >= self._connections:
            self._drop(next(iter(self._kept)))
        self._kept[connection] = self._loop.time() + self._kept_seconds
        self._by_origin.setdefault(connection.origin, {})[connection] = None
        if self._timer is None:
            self._timer = self._loop.call_later(self._kept_seconds, self._sweep)

    def _forget(self, connection: Connection) -> None:
        del self._kept[connection]
        of_origin = self._by_origin[connection.origin]
        del of_origin[connection]
        if not of_origin:
            del self._by_origin[connection.origin]

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.close()

    def _sweep(self) -> None:
        """Give up what was kept long enough, and come again for the next."""
        self._timer = None
        while self._kept:
            connection, until = next(iter(self._kept.items()))
            if until > self._loop.time():
                self._timer = self._loop.call_at(until, self._sweep)
                return
            self._drop(connection)
