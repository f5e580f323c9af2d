"""The sender of the hot path: one guarded POST on aiohttp, under one wall-clock limit, with everything a receiver can do turned into an outcome."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Literal

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.payload import BytesPayload
from multidict import CIMultiDict
from yarl import URL

from graphook.connector import (
    DNS_KEPT,
    GuardedConnector,
    GuardedResolver,
    Lookup,
    NoAddress,
    NotAllowed,
    TooMuch,
    Wire,
    current_wire,
)
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

MAX_HEADERS = 128
MAX_HEADER = 16 * 1024
MAX_HEAD = 64 * 1024
# Above any body that is read, chunked byte by byte, and any head: what one turn of the loop can bring is below it.
_WIRE_BUDGET = 1024 * 1024
_RETRY_AFTER_LENGTH = 64
_CHECKED_URLS = 4096


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request. `status_code` is 0 when no response began; an `error_code` means failure whatever the status.

    So a response whose body does not end in time keeps its status but is a `timeout`. `body` holds the first bytes as they came, never
    decompressed; a longer one is `truncated`, which is no error. `retry_after` and `duration_ms` are in seconds and milliseconds.
    """

    status_code: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    truncated: bool = False
    error_code: str | None = None
    retry_after: float | None = None
    duration_ms: int = 0
    # What a sentence of its own says of the error.
    detail: str | None = None
    # Nothing was to be sent.
    canceled: bool = False

    @property
    def error(self) -> str | None:
        """A sentence for the tenant, the same one for every address that is blocked."""
        return None if self.error_code is None else self.detail or _SENTENCES[self.error_code]


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
        self._checked = lru_cache(_CHECKED_URLS)(lambda url: _wire_url(check_url(url, policy)))
        self._limit_time = SharedTimeout(timeout_seconds)
        self._limit = response_limit
        self._connections = connections
        self._tls = tls
        self._lookup = lookup
        self._dns_kept = dns_kept
        self._resolver: GuardedResolver | None = None
        self._session: aiohttp.ClientSession | None = None
        self._resend_session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make ready to send."""
        tls = self._tls or ssl.create_default_context()
        resolver = self._resolver = GuardedResolver(self._policy, self._lookup, kept=self._dns_kept)
        self._session = self._new_session(resolver, tls, keep_alive=True)
        self._resend_session = self._new_session(resolver, tls, keep_alive=False)

    async def close(self) -> None:
        """Close every connection. Requests that are out fail."""
        for session in (self._session, self._resend_session):
            if session is not None:
                await session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes, method: str = "POST") -> Outcome:
        """POST (or PUT) the body. Everything that goes wrong is in the outcome; only cancellation is raised."""
        began = time.monotonic()
        answer = _Answer()
        error_code: ErrorCode | None = None
        try:
            async with self._limit_time():
                await self._send(method, self._checked(url), headers, body, answer)
        except Exception as error:
            error_code = _classify(error, answer)
        return Outcome(
            status_code=answer.status_code,
            headers=answer.headers,
            body=bytes(answer.body),
            truncated=answer.truncated,
            error_code=error_code,
            retry_after=_retry_after(answer.headers),
            duration_ms=round((time.monotonic() - began) * 1000),
        )

    def _new_session(self, resolver: GuardedResolver, tls: ssl.SSLContext, *, keep_alive: bool) -> aiohttp.ClientSession:
        connector = GuardedConnector(
            self._policy,
            budget=_WIRE_BUDGET + 8 * self._limit,
            resolver=resolver,
            ssl=tls,
            limit=self._connections,
            use_dns_cache=False,
            **({"keepalive_timeout": 5} if keep_alive else {"force_close": True}),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            trust_env=False,
            auto_decompress=False,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
        )

    async def _send(self, method: str, url: URL, headers: Sequence[tuple[str, str]], body: bytes, answer: _Answer) -> None:
        assert self._session is not None, "open the sender first"
        assert self._resend_session is not None
        wire = Wire()
        current_wire.set(wire)
        try:
            await self._exchange(self._session, method, url, headers, body, answer)
        except aiohttp.ClientConnectionError:
            # The receiver closed an idle connection as we took it up: nothing was answered, so one more try on a new one is fair.
            if not wire.reused or wire.received:
                raise
            current_wire.set(Wire())
            await self._exchange(self._resend_session, method, url, headers, body, answer)

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        answer: _Answer,
    ) -> None:
        # `identity`: what is kept is what was sent.
        sent = CIMultiDict([("Accept-Encoding", "identity"), *headers])
        sent.setdefault("Accept", "*/*")
        # Nothing is sent that we did not say; aiohttp does less where there is nothing to skip.
        skipped = [name for name in ("User-Agent", "Content-Type") if name not in sent]
        async with session.request(
            method, url, data=BytesPayload(body), headers=sent, skip_auto_headers=skipped, allow_redirects=False
        ) as response:
            if sum([len(name) + len(value) + 4 for name, value in response.raw_headers]) > MAX_HEAD:
                raise TooMuch
            answer.status_code = response.status
            answer.headers = tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers])
            async for chunk in response.content.iter_any():
                room = self._limit - len(answer.body)
                answer.body += chunk[:room]
                if len(chunk) > room:
                    answer.truncated = True
                    response.close()  # the rest is never read, so the connection cannot be used again
                    return


class _Answer:
    """As much of a response as came, kept when it breaks off."""

    __slots__ = ("body", "headers", "status_code", "truncated")

    def __init__(self) -> None:
        self.status_code = 0
        self.headers: tuple[tuple[str, str], ...] = ()
        self.body = bytearray()
        self.truncated = False


def _wire_url(target: Target) -> URL:
    """The URL with its path and query byte for byte: yarl loses an empty query unless it is part of the path."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    is_default = target.port == (443 if target.scheme == "https" else 80)
    authority = host if is_default else f"{host}:{target.port}"
    return URL.build(scheme=target.scheme, authority=authority, path=target.request_target, encoded=True)


def _classify(error: Exception, answer: _Answer) -> ErrorCode:
    # aiohttp wraps what went wrong: the cause says more than the wrapping.
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case NotAllowed() | BlockedURL():
                return "blocked"
            case NoAddress():
                return "dns"
            case TooMuch() | LineTooLong():
                return "protocol" if answer.status_code else "response_header_limit"
        cause = cause.__cause__
    match error:
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "tls"
        case aiohttp.InvalidURL():
            return "request"
        case aiohttp.ClientConnectionError() | OSError():
            return "connection"
        case aiohttp.ClientError() | HttpProcessingError():
            return "protocol"
        case ValueError():  # aiohttp refuses a header
            return "request"
    _logger.exception("a request failed in a way that is not foreseen")
    return "internal"


def _retry_after(headers: Sequence[tuple[str, str]]) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or the time until an HTTP date."""
    text = next((value for name, value in headers if name.lower() == "retry-after"), "").strip()
    if not text.isascii() or not 0 < len(text) <= _RETRY_AFTER_LENGTH:
        return None
    if text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):  # whatever the parser makes of a receiver's text
        return None
