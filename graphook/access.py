"""Every request has an id, in its answer's `X-Request-Id` and in each log line written on its behalf, and is counted; slips are logged."""

from __future__ import annotations

import logging
import os
import re
import secrets
from contextvars import ContextVar
from time import perf_counter

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphook import metrics
from graphook.garbage import came_in

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
_RAW_HEADER = HEADER.lower().encode()
# What a proxy or client calls the request is kept where it is harmless in a log and a header.
_FORM = re.compile(r"[A-Za-z0-9._-]{8,64}")

current_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def request_id() -> str:
    """The id of the request being answered; a fresh one outside of any."""
    return current_request_id.get() or secrets.token_hex(8)


class Access:
    """ASGI middleware, outermost: names, counts and logs. `every` logs each request; else only those answered with 500 and above."""

    def __init__(self, app: ASGIApp, *, every: bool = False) -> None:
        self._app = app
        self._every = every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = next((value for key, value in scope["headers"] if key == _RAW_HEADER), b"").decode("latin-1")
        name = given if given and _FORM.fullmatch(given) else os.urandom(8).hex()
        header = (_RAW_HEADER, name.encode())
        token = current_request_id.set(name)
        began = perf_counter()
        status = 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            if message["type"] in ("http.response.start", "websocket.accept"):
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        async def weighed() -> Message:
            message = await receive()
            came_in(len(message.get("body") or message.get("text") or message.get("bytes") or ()))
            return message

        try:
            await self._app(scope, weighed, named)
        except Exception:
            if scope["type"] == "http" and not status:
                await PlainTextResponse("Internal Server Error", 500)(scope, receive, named)
            raise
        finally:
            if scope["type"] == "http":
                metrics.request_answered(status)
                if self._every or status >= 500:
                    self._tell(scope, status, perf_counter() - began)
            current_request_id.reset(token)

    @staticmethod
    def _tell(scope: Scope, status: int, seconds: float) -> None:
        client = scope.get("client")
        # Never the query string: a GET carries its document and variables there.
        extra = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
            "client": client[0] if client else None,
        }
        level = logging.WARNING if status >= 500 else logging.INFO
        log.log(level, "%s %s %d", scope["method"], scope["path"], status, extra=extra)
