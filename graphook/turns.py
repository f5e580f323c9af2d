"""Turns at something of which there is little: so many at a time, so many of them for one tenant, and the tenants that wait one after another.

A tenant may have several lines, which take its turns one after another: a busy line keeps no other of its tenant waiting, and many lines get
their tenant no more turns than one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graphook.errors import Overloaded


class Turns:
    """`slots` turns at a time, of which a tenant has at most `per_tenant`. At most `max_waiting` may wait for one, `waiting_per_tenant` of the same
    tenant; more are refused.

    Belongs to one event loop.
    """

    def __init__(self, slots: int, per_tenant: int, max_waiting: int, waiting_per_tenant: int) -> None:
        self._free = slots
        self._per_tenant = per_tenant
        self._max_waiting = max_waiting
        self._waiting_per_tenant = waiting_per_tenant
        self._having: Counter[str] = Counter()
        # The tenants in the order of their turns, and the lines of each in theirs.
        self._waiting: dict[str, dict[str, deque[asyncio.Future[None]]]] = {}

    @asynccontextmanager
    async def turn(self, tenant: str, line: str, patience: float) -> AsyncIterator[None]:
        """A turn, waited for at most `patience` seconds. Raises `Overloaded`."""
        await self._take(tenant, line, patience)
        try:
            yield
        finally:
            self._give_back(tenant)

    async def _take(self, tenant: str, line: str, patience: float) -> None:
        if self._free and tenant not in self._waiting and self._having[tenant] < self._per_tenant:
            self._grant(tenant)
            return
        if self._length(tenant) >= self._waiting_per_tenant or sum(map(self._length, self._waiting)) >= self._max_waiting:
            raise Overloaded("Too many wait already.")
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, {}).setdefault(line, deque()).append(waiter)
        try:
            async with asyncio.timeout(patience):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():  # granted in the same moment
                self._give_back(tenant)
            else:
                self._forget(tenant, line, waiter)
            if isinstance(error, TimeoutError):
                raise Overloaded(f"No turn came within {patience:g} seconds.") from None
            raise

    def _length(self, tenant: str) -> int:
        return sum(map(len, self._waiting.get(tenant, {}).values()))

    def _grant(self, tenant: str) -> None:
        self._free -= 1
        self._having[tenant] += 1

    def _give_back(self, tenant: str) -> None:
        self._free += 1
        self._having[tenant] -= 1
        if not self._having[tenant]:
            del self._having[tenant]
        while self._free:
            found = next((name for name in self._waiting if self._having[name] < self._per_tenant), None)
            if found is None:
                return
            if (waiter := self._next_of(found)) is not None:
                self._grant(found)
                waiter.set_result(None)

    def _next_of(self, tenant: str) -> asyncio.Future[None] | None:
        """Who waits longest in the next line of a tenant; line and tenant go to their ends without it. None when all of it have given up."""
        lines = self._waiting.pop(tenant)
        while lines:
            name = next(iter(lines))
            line = lines.pop(name)
            while line:
                # Who has given up in this moment has not left the line yet.
                if not (waiter := line.popleft()).done():
                    if line:
                        lines[name] = line
                    if lines:
                        self._waiting[tenant] = lines
                    return waiter
        return None

    def _forget(self, tenant: str, line: str, waiter: asyncio.Future[None]) -> None:
        lines = self._waiting.get(tenant, {})
        if waiter in lines.get(line, ()):
            lines[line].remove(waiter)
            if not lines[line]:
                del lines[line]
            if not lines:
                del self._waiting[tenant]
