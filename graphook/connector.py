"""The guard inside aiohttp: a resolver and a connector that dial checked addresses only, and count what a connection brings."""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from graphook.ssrf import Policy, address_allowed, port_allowed

DNS_THREADS = 64
DNS_KEPT = 5.0
_DNS_ENTRIES = 10_000

# The addresses of a host name. Raises OSError or UnicodeError when there are none.
Lookup = Callable[[str], Awaitable[Sequence[str]]]


class NotAllowed(Exception):
    """What would be dialled is not allowed by the policy."""


class NoAddress(Exception):
    """A name does not resolve, or not in time."""


class TooMuch(Exception):
    """A connection brought more bytes than any acceptable response has."""


class Wire:
    """What a connection did for one request: whether an earlier request used it, and how many bytes came back."""

    __slots__ = ("received", "reused")

    def __init__(self) -> None:
        self.reused = False
        self.received = 0


# Set by the sender around each request; aiohttp has no other way to tell a failed request from its connection.
current_wire: ContextVar[Wire] = ContextVar("current_wire")


class GuardedResolver(AbstractResolver):
    """Looks each name up once, in threads of its own, and answers with allowed addresses only: what is dialled is what was checked.

    Answers, also empty ones, are kept for `kept` seconds; everybody who asks for a name meanwhile shares one lookup.
    """

    def __init__(self, policy: Policy, lookup: Lookup | None = None, *, kept: float = DNS_KEPT) -> None:
        self._policy = policy
        self._kept = kept
        # The loop's own pool has a handful of threads: a few dead names would hold up every delivery.
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="graphook-dns")
        self._lookup = lookup or self._getaddrinfo
        self._answers: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._running: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The allowed addresses of a name, IPv4 first. Raises `NoAddress` or `NotAllowed`."""
        addresses = await self._addresses(host)
        if not addresses:
            raise NoAddress
        allowed = [address for address in addresses if address_allowed(address, self._policy)]
        if not allowed:
            raise NotAllowed
        allowed.sort(key=lambda address: ":" in address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in allowed[: self._policy.max_addresses]
        ]

    async def close(self) -> None:
        """Give up lookups in progress."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str) -> tuple[str, ...]:
        known = self._answers.get(host)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        task = self._running.get(host)
        if task is None:
            task = self._running[host] = asyncio.create_task(self._ask(host))
            task.add_done_callback(lambda _: self._running.pop(host, None))
        # One request that gives up does not end the lookup for the others.
        return await asyncio.shield(task)

    async def _ask(self, host: str) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(self._policy.dns_timeout):
                found = tuple(dict.fromkeys(await self._lookup(host)))
        except (OSError, UnicodeError):  # a timeout is an OSError
            found = ()
        if len(self._answers) >= _DNS_ENTRIES:
            self._answers.clear()
        self._answers[host] = (time.monotonic() + self._kept, found)
        return found

    async def _getaddrinfo(self, host: str) -> Sequence[str]:
        def look_up() -> list[str]:
            return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)


class GuardedConnector(aiohttp.TCPConnector):
    """Checks every address when its socket is made, also literals, which aiohttp dials without the resolver, and the peer once connected."""

    def __init__(self, policy: Policy, *, budget: int, **kwargs: Any) -> None:
        super().__init__(socket_factory=self._checked_socket, **kwargs)
        self._policy = policy
        # A private name of aiohttp: a test of a flood of interim responses fails if it moves.
        self._factory = functools.partial(_CountingHandler, self._loop, budget)  # type: ignore[assignment]

    def _checked_socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, (address, port, *_rest) = info
        self._check(address, port)
        return socket.socket(family, kind, proto)

    async def _create_connection(self, *args: Any, **kwargs: Any) -> ResponseHandler:
        handler = await super()._create_connection(*args, **kwargs)
        transport = handler.transport
        peer = None if transport is None else transport.get_extra_info("peername")
        try:
            if not isinstance(peer, tuple):  # closed again already, or not an internet socket
                raise aiohttp.ClientConnectionError
            self._check(peer[0], peer[1])
        except BaseException:
            handler.abort()
            raise
        return handler

    def _check(self, address: str, port: int) -> None:
        if not address_allowed(address, self._policy) or not port_allowed(port, self._policy):
            raise NotAllowed


class _CountingHandler(ResponseHandler):
    """Ends a request whose response has more than `budget` bytes on the wire, such as interim responses or trailers without end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget: int) -> None:
        super().__init__(loop)
        self._budget = budget
        self._wire: Wire | None = None

    def set_response_params(self, **params: Any) -> None:
        """Begin the next response."""
        wire = current_wire.get()
        wire.reused = self._wire is not None
        self._wire = wire
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what came in, within the budget."""
        if self._wire is not None:
            self._wire.received += len(data)
            if self._wire.received > self._budget and self.transport is not None:
                self.set_exception(TooMuch())
                self.transport.abort()
                return
        super().data_received(data)
