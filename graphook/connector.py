"""The guarded way out: names are resolved to allowed addresses only, and what is dialled is checked before and after."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TypeVar

from graphook.errors import Overloaded
from graphook.lookups import LookupThreads
from graphook.ssrf import Policy, Target, address_allowed, port_allowed

DNS_KEPT = 5.0
DNS_GOOD = 3600.0
_DNS_ENTRIES = 10_000
# What one address of several has to answer, before the next is tried; the last one has all the time that is left.
_DIAL_SECONDS = 2.0

# The addresses of a host name. Raises OSError or UnicodeError when there are none.
Lookup = Callable[[str], Awaitable[Sequence[str]]]
P = TypeVar("P", bound=asyncio.Protocol)
# Host name → until when by the monotonic clock, and its addresses.
_Answers = dict[str, tuple[float, tuple[str, ...]]]


class NotAllowed(Exception):
    """What would be dialled is not allowed by the policy."""


class NoAddress(Exception):
    """A name does not resolve, or not in time."""


class GuardedResolver:
    """Looks each name up once and answers with allowed addresses only: what is dialled is what was checked.

    An answer, also an empty one, is kept for `kept` seconds. Everybody who asks for a name while it is looked up shares that lookup, which may take
    longer than they wait. Where a lookup brings no answer in time, the last answer with addresses is taken again, up to `good` seconds after it came.
    """

    def __init__(self, policy: Policy, lookup: Lookup | None = None, *, kept: float = DNS_KEPT, good: float = DNS_GOOD) -> None:
        self._policy = policy
        self._kept = kept
        self._good = good
        self._threads = LookupThreads(policy.dns_timeout)
        self._lookup = lookup or self._threads
        self._answers: _Answers = {}
        # Apart, so that names which are never answered do not push them out.
        self._good_answers: _Answers = {}
        self._running: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def resolve(self, host: str) -> list[str]:
        """The allowed addresses of a name, IPv4 first. Raises `NoAddress` or `NotAllowed`."""
        addresses = await self._addresses(host)
        if not addresses:
            raise NoAddress
        allowed = self._allowed(addresses)
        if not allowed:
            raise NotAllowed
        return allowed

    async def close(self) -> None:
        """Give up lookups in progress."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._threads.close()

    async def _addresses(self, host: str) -> tuple[str, ...]:
        known = _unexpired(self._answers, host)
        if known is not None:
            return known
        task = self._running.get(host)
        if task is None:
            task = self._running[host] = asyncio.create_task(self._ask(host))
            task.add_done_callback(lambda _: self._running.pop(host, None))
        try:
            async with asyncio.timeout(self._policy.dns_timeout):
                # One request that gives up does not end the lookup for the others.
                return await asyncio.shield(task)
        except TimeoutError:
            return self._without_answer(host)

    async def _ask(self, host: str) -> tuple[str, ...]:
        try:
            found = tuple(dict.fromkeys(await self._lookup(host)))
        except (OSError, UnicodeError, Overloaded) as error:
            if isinstance(error, Overloaded) or (isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN):
                return self._without_answer(host)
            found = ()
        # Of a thousand addresses those that may be dialled are kept, or one that says why there is none.
        found = tuple(self._allowed(found)) or found[:1]
        _keep(self._answers, host, found, self._kept)
        if found:
            _keep(self._good_answers, host, found, self._good)
        else:
            self._good_answers.pop(host, None)
        return found

    def _without_answer(self, host: str) -> tuple[str, ...]:
        """What is taken for the answer for a while where none came: the last good one, or that there is no address."""
        found = _unexpired(self._good_answers, host) or ()
        _keep(self._answers, host, found, self._kept)
        return found

    def _allowed(self, addresses: Sequence[str]) -> list[str]:
        allowed = [address for address in addresses if address_allowed(address, self._policy)]
        allowed.sort(key=lambda address: ":" in address)
        return allowed[: self._policy.max_addresses]


def _unexpired(answers: _Answers, host: str) -> tuple[str, ...] | None:
    known = answers.get(host)
    return known[1] if known is not None and time.monotonic() < known[0] else None


def _keep(answers: _Answers, host: str, found: tuple[str, ...], seconds: float) -> None:
    """Keep an answer, at the expense of the one that was kept first where there are too many."""
    answers.pop(host, None)
    if len(answers) >= _DNS_ENTRIES:
        del answers[next(iter(answers))]
    answers[host] = (time.monotonic() + seconds, found)


async def dial(target: Target, resolver: GuardedResolver, policy: Policy, tls: ssl.SSLContext, protocol: Callable[[], P]) -> P:
    """A new connection to where a URL leads, with TLS if its scheme says so.

    Raises `NoAddress`, `NotAllowed`, or OSError (of which ssl.SSLError is one).
    """
    addresses = await resolver.resolve(target.host) if target.address is None else [str(target.address)]
    found = await _first(addresses, target.port, policy)
    try:
        # The peer is what answers, whatever the network made of the address.
        address, port, *_ = found.getpeername()
        _check(address, port, policy)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_tls = target.scheme == "https"
        _, made = await asyncio.get_running_loop().create_connection(
            protocol, sock=found, ssl=tls if is_tls else None, server_hostname=target.host if is_tls else None
        )
    except BaseException:
        found.close()
        raise
    return made


async def _first(addresses: Sequence[str], port: int, policy: Policy) -> socket.socket:
    """A socket connected to the first address that takes it."""
    for address in addresses[:-1]:
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                return await _connected(address, port, policy)
        except OSError:  # a timeout is one
            continue
    return await _connected(addresses[-1], port, policy)


async def _connected(address: str, port: int, policy: Policy) -> socket.socket:
    _check(address, port, policy)
    found = socket.socket(socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setblocking(False)
        await asyncio.get_running_loop().sock_connect(found, (address, port))
    except BaseException:
        found.close()
        raise
    return found


def _check(address: str, port: int, policy: Policy) -> None:
    if not address_allowed(address, policy) or not port_allowed(port, policy):
        raise NotAllowed
