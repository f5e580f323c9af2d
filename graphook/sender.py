"""The sender of the hot path: one guarded request under one wall-clock limit, with everything a receiver can do turned into an outcome."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from typing import Literal

from graphook.connector import DNS_KEPT, GuardedResolver, Lookup, NoAddress, NotAllowed
from graphook.http_connection import Answer, ConnectionClosed, Malformed, TooMuch
from graphook.http_pool import Pool
from graphook.shared_timeout import SharedTimeout
from graphook.ssrf import BlockedURL, Policy, Target, check_url

_logger = logging.getLogger(__name__)

ErrorCode = Literal[
    "timeout", "dns", "connection", "tls", "blocked", "https_required", "protocol", "response_header_limit", "request", "internal"
]

# What a tenant is told: nothing about the network we are in.
_SENTENCES: dict[str, str] = {
    "timeout": "The request timed out.",
    "dns": "The host name could not be resolved.",
    "connection": "The connection could not be made or was closed before an answer came.",
    "tls": "The TLS handshake failed or the certificate is not valid for this host.",
    "blocked": "Requests to this address are not allowed.",
    "https_required": "The organisation's settings want https, and this endpoint's URL is http.",
    "protocol": "The answer was not valid HTTP or broke off.",
    "response_header_limit": "The headers of the answer were too large.",
    "request": "The endpoint's URL or headers do not make a valid request.",
    "internal": "The request could not be sent because of a fault of the service.",
}

_RETRY_AFTER_LENGTH = 64
# How many checked URLs are remembered, and of what length at most: tenants choose them, and a transformation can make a new one each time.
_CHECKED_URLS = 4096
_CHECKED_LENGTH = 2048
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# They say where a request ends, whom it is for, or that the connection changes: the sender's own.
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


@dataclass(slots=True)
class Outcome:
    """What came of one request. `status_code` is 0 when no response began; an `error_code` means failure whatever the status.

    So a response whose body does not end in time keeps its status but is a `timeout`. `body` holds the first bytes as they came, never
    decompressed; a longer one is `truncated`, which is no error. `duration_ms` is in milliseconds.
    """

    status_code: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    truncated: bool = False
    error_code: str | None = None
    duration_ms: int = 0
    # What a sentence of its own says of the error.
    detail: str | None = None
    # Nothing was to be sent.
    canceled: bool = False

    @property
    def error(self) -> str | None:
        """A sentence for the tenant, the same one for every address that is blocked."""
        return None if self.error_code is None else self.detail or _SENTENCES[self.error_code]

    @property
    def retry_after(self) -> float | None:
        """Seconds that its `Retry-After` header asks for: a number, or the time until an HTTP date."""
        text = next((value for name, value in self.headers if name.lower() == "retry-after"), "").strip()
        if not text.isascii() or not 0 < len(text) <= _RETRY_AFTER_LENGTH:
            return None
        if text.replace(".", "", 1).isdigit():
            return float(text)
        try:
            return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError, OverflowError, IndexError):  # whatever the parser makes of a receiver's text
            return None


@cache
def _trusted() -> ssl.SSLContext:
    """By the roots of the system. They take longer to read than many a request: once in a process, whoever sends in it."""
    return ssl.create_default_context()


class Sender:
    """Sends deliveries. Open it on the event loop that uses it.

    `timeout_seconds` is from looking up the name to the last byte read. `response_limit` is in bytes. `connections` is how many requests
    are out at the same time; more wait, at the expense of their time. Certificates are always verified: `tls` can only say by which roots.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        timeout_seconds: float = 15.0,
        response_limit: int = 20_000,
        connections: int = 512,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
        dns_kept: float = DNS_KEPT,
    ) -> None:
        if tls is not None and (tls.verify_mode != ssl.CERT_REQUIRED or not tls.check_hostname):
            raise ValueError("the sender verifies certificates and their names")
        self._policy = policy
        # Whether a URL may be asked for depends on nothing else; which addresses its host has is looked at anew for every connection.
        self._checked = lru_cache(_CHECKED_URLS)(lambda url: check_url(url, policy))
        self._limit_time = SharedTimeout(timeout_seconds)
        self._response_limit = response_limit
        self._connections = connections
        self._tls = tls
        self._lookup = lookup
        self._dns_kept = dns_kept
        self._resolver: GuardedResolver | None = None
        self._pool: Pool | None = None

    async def open(self) -> None:
        """Make ready to send."""
        tls = self._tls or _trusted()
        resolver = self._resolver = GuardedResolver(self._policy, self._lookup, kept=self._dns_kept)
        self._pool = Pool(self._policy, resolver, tls, connections=self._connections, response_limit=self._response_limit)

    async def close(self) -> None:
        """Close every connection. Requests that are out fail."""
        if self._pool is not None:
            self._pool.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes, method: str = "POST") -> Outcome:
        """POST (or PUT) the body. Everything that goes wrong is in the outcome; only cancellation is raised."""
        assert self._pool is not None, "open the sender first"
        began = time.monotonic()
        answer = Answer()
        error_code: ErrorCode | None = None
        try:
            async with self._limit_time():
                target = self._checked(url) if len(url) <= _CHECKED_LENGTH else check_url(url, self._policy)
                await self._pool.exchange(target, _head(method, target, headers, len(body)), body, answer)
        except Exception as error:
            error_code = _classify(error, answer)
        return Outcome(
            status_code=answer.status_code,
            headers=answer.headers,
            body=bytes(answer.body),
            truncated=answer.truncated,
            error_code=error_code,
            duration_ms=round((time.monotonic() - began) * 1000),
        )


class _BadRequest(Exception):
    """What was to be sent is no valid request."""


def _head(method: str, target: Target, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    """The head of a request with a body of so many bytes, up to the empty line.

    Raises `_BadRequest` when a method, a name or a value would make another request of it.
    """
    # `identity`: what is kept is what was sent.
    lines = [
        f"{method} {target.request_target} HTTP/1.1",
        _host(target.scheme, target.host, target.port),
        "Accept-Encoding: identity",
        f"Content-Length: {length}",
    ]
    accepts = False
    for name, value in headers:
        lowered = _field_name(name)
        accepts = accepts or lowered == "accept"
        if lowered in _FRAMING:
            raise _BadRequest
        lines.append(f"{name}: {value}")
    if not accepts:
        lines.append("Accept: */*")
    # A line break or NUL would be the beginning of something else, and half a surrogate pair has no bytes.
    if _TOKEN.fullmatch(method) is None or not all(map(str.isprintable, lines)):
        raise _BadRequest
    lines.append("\r\n")
    return "\r\n".join(lines).encode()


@lru_cache(4096)
def _field_name(name: str) -> str:
    """A header's name in small letters."""
    if _TOKEN.fullmatch(name) is None:
        raise _BadRequest
    return name.lower()


@lru_cache(4096)
def _host(scheme: str, host: str, port: int) -> str:
    written = f"[{host}]" if ":" in host else host
    is_default = port == (443 if scheme == "https" else 80)
    return f"Host: {written}" if is_default else f"Host: {written}:{port}"


def _classify(error: Exception, answer: Answer) -> ErrorCode:
    match error:
        case NotAllowed() | BlockedURL():
            return "blocked"
        case NoAddress():
            return "dns"
        case TimeoutError():
            return "timeout"
        case TooMuch():
            return "protocol" if answer.status_code else "response_header_limit"
        case Malformed():
            return "protocol"
        case ssl.SSLError():
            return "tls"
        case ConnectionClosed() | OSError():
            return "connection"
        case _BadRequest():
            return "request"
    _logger.exception("a request failed in a way that is not foreseen")
    return "internal"
