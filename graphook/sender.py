"""The sender of the hot path: one guarded POST on aiohttp, under one wall-clock limit, with everything a receiver can do turned into an outcome."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from graphook.errors import GraphookError
from graphook.ssrf import BlockedURL, Policy, address_allowed, check_url, port_allowed

ErrorCode = Literal["timeout", "dns", "connection", "tls", "blocked", "protocol"]

# What a tenant is told: nothing about the network we are in.
_SENTENCES: dict[ErrorCode, str] = {
    "timeout": "The request timed out.",
    "dns": "The host name could not be resolved.",
    "connection": "The connection could not be made or was closed before an answer came.",
    "tls": "The TLS handshake failed or the certificate is not valid for this host.",
    "blocked": "Requests to this address are not allowed.",
    "protocol": "The answer was not valid HTTP.",
}
_DNS_KEPT = 5.0
_DNS_THREADS = 64

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request. `status_code` is 0 when no response began; an `error_code` means failure whatever the status.

    `body` holds the first bytes as they came, never decompressed. `retry_after` and `duration_ms` are in seconds and milliseconds.
    """

    status_code: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    truncated: bool = False
    error_code: ErrorCode | None = None
    retry_after: float | None = None
    duration_ms: int = 0

    @property
    def error(self) -> str | None:
        """A sentence for the tenant."""
        return None if self.error_code is None else _SENTENCES[self.error_code]


class _Blocked(Exception):
    """Nothing that a name resolves to may be dialled."""


class _NoAddress(OSError):
    """A name does not resolve."""


class GuardedResolver(AbstractResolver):
    """Looks a name up once, in threads of its own, and answers with allowed addresses only: what is dialled is what was checked."""

    def __init__(self, policy: Policy, lookup: Lookup | None = None) -> None:
        self._policy = policy
        # The default pool has a handful of threads: a few dead names would hold up every delivery.
        self._threads = ThreadPoolExecutor(_DNS_THREADS, thread_name_prefix="graphook-dns")
        self._lookup = lookup or self._getaddrinfo
        self._kept: dict[tuple[str, int], tuple[float, tuple[str, ...] | _NoAddress]] = {}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        if not port_allowed(port, self._policy):
            raise _Blocked
        addresses = await self._addresses(host, port)
        allowed = [address for address in addresses if address_allowed(address, self._policy)][: self._policy.max_addresses]
        if not allowed:
            raise _Blocked
        allowed.sort(key=lambda address: ":" in address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in allowed
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str, port: int) -> tuple[str, ...]:
        known = self._kept.get((host, port))
        if known is None or known[0] < time.monotonic():
            try:
                async with asyncio.timeout(self._policy.dns_timeout):
                    found: tuple[str, ...] | _NoAddress = tuple(dict.fromkeys(await self._lookup(host, port))) or _NoAddress(host)
            except (TimeoutError, OSError, UnicodeError):
                found = _NoAddress(host)
            if len(self._kept) > 10_000:
                self._kept.clear()
            known = self._kept[host, port] = (time.monotonic() + _DNS_KEPT, found)
        if isinstance(known[1], _NoAddress):
            raise known[1]
        return known[1]

    async def _getaddrinfo(self, host: str, port: int) -> Sequence[str]:
        def look_up() -> list[str]:
            return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)


class GuardedConnector(aiohttp.TCPConnector):
    """Checks literal addresses too, which aiohttp dials without asking the resolver."""

    def __init__(self, policy: Policy, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._policy = policy

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        found = await super()._resolve_host(host, port, traces)
        if not all(address_allowed(entry["host"], self._policy) for entry in found) or not port_allowed(port, self._policy):
            raise _Blocked
        return found


class Sender:
    """Sends deliveries. Open it on the event loop that uses it."""

    def __init__(
        self,
        policy: Policy,
        *,
        timeout_seconds: float = 15.0,
        response_limit: int = 20_000,
        connections: int = 512,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self._policy = policy
        self._timeout = timeout_seconds
        self._limit = response_limit
        self._connections = connections
        self._tls = tls
        self._lookup = lookup
        self._resolver: GuardedResolver | None = None
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make ready to send."""
        self._resolver = GuardedResolver(self._policy, self._lookup)
        connector = GuardedConnector(
            self._policy,
            resolver=self._resolver,
            ssl=self._tls or ssl.create_default_context(),
            limit=self._connections,
            keepalive_timeout=5,
            use_dns_cache=False,
            happy_eyeballs_delay=None,
        )
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            trace_configs=[trace],
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            max_line_size=8190,
            max_field_size=32_768,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Outcome:
        """POST the body. Everything that goes wrong is in the outcome; only cancellation is raised."""
        began = time.monotonic()
        progress = _Progress()
        try:
            async with asyncio.timeout(self._timeout):
                check_url(url, self._policy)
                try:
                    await self._exchange(url, headers, body, progress)
                except aiohttp.ClientConnectionError:
                    # The receiver closed an idle connection as we took it up: nothing was answered, so one more try is fair.
                    if not progress.reused or progress.status_code:
                        raise
                    await self._exchange(url, headers, body, progress)
            error_code: ErrorCode | None = None
        except Exception as error:
            error_code = _classify(error)
        return Outcome(
            status_code=progress.status_code,
            headers=progress.headers,
            body=bytes(progress.body),
            truncated=progress.truncated,
            error_code=error_code,
            retry_after=_retry_after(progress.headers),
            duration_ms=round((time.monotonic() - began) * 1000),
        )

    async def _exchange(self, url: str, headers: Sequence[tuple[str, str]], body: bytes, progress: _Progress) -> None:
        assert self._session is not None, "open the sender first"
        # `Accept-Encoding: identity`: what is kept is what was sent. `encoded=True`: the path goes out as the tenant wrote it.
        request = [("Accept", "*/*"), ("Accept-Encoding", "identity"), *headers]
        async with self._session.post(
            URL(url, encoded=True), data=body, headers=request, allow_redirects=False, trace_request_ctx=progress
        ) as response:
            progress.status_code = response.status
            progress.headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
            async for chunk in response.content.iter_any():
                room = self._limit - len(progress.body)
                progress.body += chunk[:room]
                if len(chunk) > room:
                    progress.truncated = True
                    response.close()  # the rest is never read, so the connection cannot be used again
                    return


class _Progress:
    """How far an exchange came, kept when it breaks off."""

    __slots__ = ("body", "headers", "reused", "status_code", "truncated")

    def __init__(self) -> None:
        self.reused = False
        self.status_code = 0
        self.headers: tuple[tuple[str, str], ...] = ()
        self.body = bytearray()
        self.truncated = False


async def _note_reuse(_session: Any, context: Any, _params: Any) -> None:
    context.trace_request_ctx.reused = True


def _classify(error: Exception) -> ErrorCode:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _Blocked | BlockedURL):
            return "blocked"
        if isinstance(cause, _NoAddress):
            return "dns"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError | aiohttp.ServerFingerprintMismatch):
        return "tls"
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return "connection"
    if isinstance(error, aiohttp.ClientError | ValueError | GraphookError):
        return "protocol"
    raise error


def _retry_after(headers: Sequence[tuple[str, str]]) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or the time until an HTTP date."""
    text = next((value for name, value in headers if name.lower() == "retry-after"), "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
