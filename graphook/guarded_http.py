"""The guarded client for requests outside the hot path: checked addresses only, JSON of a bounded size in a bounded time, no redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Literal

import httpx
import orjson

from graphook.connector import GuardedResolver, Lookup, NoAddress, NotAllowed
from graphook.ssrf import BlockedURL, Policy, check_url

MAX_ANSWER = 64 * 1024
TIMEOUT = 8.0

Fault = Literal["blocked", "dns", "connection", "tls", "timeout", "redirect", "too_large", "not_json", "protocol"]


class NoAnswer(Exception):
    """There is no answer that could be read; `fault` says why in a word, and nothing about the network we are in."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault: Fault = fault


@cache
def _trusted() -> ssl.SSLContext:
    """By the roots of the system, read once: nothing else runs meanwhile. Not the sender's, since httpx writes into it what it negotiates."""
    return ssl.create_default_context()


class GuardedTransport(httpx.AsyncBaseTransport):
    """Looks each name up once and dials one of its allowed addresses, under the name's own certificate. No connection is used twice."""

    def __init__(self, policy: Policy, *, tls: ssl.SSLContext | None = None, lookup: Lookup | None = None) -> None:
        self._policy = policy
        self._resolver = GuardedResolver(policy, lookup)
        # A connection that is kept is kept for its address, whose next request may be for another name.
        once = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=tls or _trusted(), trust_env=False, limits=once)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to an address that was checked. Raises `BlockedURL`, `NotAllowed`, `NoAddress` and what httpx does."""
        target = check_url(str(request.url), self._policy)
        if target.address is None:
            found = await self._resolver.resolve(target.host)
            request.url = request.url.copy_with(host=found[0])
            request.extensions = {**request.extensions, "sni_hostname": target.host}
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection, and give up lookups in progress."""
        await self._inner.aclose()
        await self._resolver.close()


@asynccontextmanager
async def guarded_client(
    policy: Policy, *, tls: ssl.SSLContext | None = None, lookup: Lookup | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests pass the guard. Certificates are always verified: `tls` can only say by which roots."""
    async with httpx.AsyncClient(transport=GuardedTransport(policy, tls=tls, lookup=lookup), trust_env=False, timeout=TIMEOUT) as client:
        yield client


async def post_form(
    client: httpx.AsyncClient,
    url: str,
    form: Mapping[str, str],
    *,
    credentials: tuple[str, str],
    limit: int = MAX_ANSWER,
    timeout_seconds: float = TIMEOUT,
) -> tuple[int, dict[str, Any]]:
    """POST a form with a user's name and password; the status and the JSON object of the answer. Raises `NoAnswer`.

    The time is from looking up the name to the last byte read; `limit` is in bytes.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            client.stream("POST", url, data=form, headers=headers, auth=httpx.BasicAuth(*credentials), follow_redirects=False) as answer,
        ):
            if answer.is_redirect:
                raise NoAnswer("redirect")
            return answer.status_code, _read(answer, await _body(answer, limit))
    except (BlockedURL, NotAllowed):
        raise NoAnswer("blocked") from None
    except NoAddress:
        raise NoAnswer("dns") from None
    except (TimeoutError, httpx.TimeoutException):
        raise NoAnswer("timeout") from None
    except httpx.ConnectError as error:
        raise NoAnswer("tls" if _is_tls(error) else "connection") from None
    except httpx.NetworkError:
        raise NoAnswer("connection") from None
    except (httpx.TransportError, httpx.InvalidURL):
        raise NoAnswer("protocol") from None


async def _body(answer: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise NoAnswer("too_large")
    return bytes(body)


def _read(answer: httpx.Response, body: bytes) -> dict[str, Any]:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise NoAnswer("not_json")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NoAnswer("not_json") from None
    if not isinstance(found, dict):
        raise NoAnswer("not_json")
    return found


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
