"""GraphQL over WebSocket: the protocol graphql-transport-ws as Strawberry speaks it, with its departures mended."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from starlette.websockets import WebSocketDisconnected as ClosedByUs
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from graphook import strict_json
from graphook.errors import LimitExceeded, Unauthenticated
from graphook.graphql_limits import MAX_CHARACTERS, TOO_LONG
from graphql import GraphQLError

log = logging.getLogger(__name__)

INIT_WAIT = timedelta(seconds=10)
MAX_OPERATIONS = 20
# Of a message, in bytes: a payload of 1 MiB, each character of it escaped, and what is around it.
MAX_FRAME = 2 * 1024 * 1024 + 64 * 1024
# Of the variables of a document with a subscription, in bytes of JSON: they are kept for as long as it lives.
MAX_KEPT_VARIABLES = 64 * 1024
REVOKED = "This token is no longer valid."
# Bytes of a reason that fit into the frame that closes a socket.
MAX_REASON = 123
_SUBSCRIPTION = re.compile(r"\bsubscription\b")


class Socket(ASGIWebSocketAdapter):
    """A WebSocket whose close is sent whatever the reason for it repeats of what was received."""

    async def close(self, code: int, reason: str) -> None:
        await super().close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """graphql-transport-ws, strict about frames and lenient where the protocol is; a revoked token ends the socket."""

    _recheck: asyncio.Task[None] | None = None

    async def handle_message(self, message: Any) -> None:
        if not isinstance(message, dict) or not isinstance(message.get("type"), str) or not _is_well_formed(message):
            await self.handle_invalid_message("Invalid message received")
            return
        if message.get("payload", 0) is None:  # the protocol allows null for an absent payload
            message = {name: value for name, value in message.items() if name != "payload"}
        await super().handle_message(message)
        if self.connection_acknowledged and self._recheck is None:
            self._recheck = asyncio.create_task(self._close_when_revoked())

    async def handle_connection_init(self, message: Any) -> None:
        try:
            await super().handle_connection_init(message)
        except Unauthenticated as error:
            await self.websocket.close(code=4403, reason=error.message)
        except LimitExceeded as error:
            await self.websocket.close(code=4429, reason=error.message)
        except Exception:
            log.exception("a token could not be looked up")
            await self.websocket.close(code=1013, reason="Try again later")

    async def handle_subscribe(self, message: Any) -> None:
        error = None
        if self.connection_acknowledged and message["id"] not in self.operations:
            if len(self.operations) >= MAX_OPERATIONS:
                said = f"A connection has at most {MAX_OPERATIONS} operations at once."
                error = GraphQLError(said, extensions={"code": LimitExceeded.code})
            elif len(message["payload"]["query"]) > MAX_CHARACTERS:
                error = GraphQLError(TOO_LONG, extensions={"code": "COST_LIMIT_EXCEEDED"})
            elif _SUBSCRIPTION.search(message["payload"]["query"]) and _size(message["payload"].get("variables")) > MAX_KEPT_VARIABLES:
                said = f"The variables of a subscription have at most {MAX_KEPT_VARIABLES} bytes."
                error = GraphQLError(said, extensions={"code": "COST_LIMIT_EXCEEDED"})
        if error is None:
            # Those that run meanwhile share the context: they read anew too, which is never older than what they had.
            self.context.forget()
            await super().handle_subscribe(message)
        else:
            await self.send_message({"id": message["id"], "type": "error", "payload": [error.formatted]})

    async def handle_ping(self, message: Any) -> None:
        answer: Any = {"type": "pong", **({"payload": message["payload"]} if "payload" in message else {})}
        await self.send_message(answer)

    async def send_message(self, message: Any) -> None:
        # Whoever closed the socket no longer listens; what still runs is ended by `handle`, which sees the end too.
        with suppress(WebSocketDisconnected, ClosedByUs):
            await super().send_message(message)

    async def shutdown(self) -> None:
        try:
            if self._recheck is not None:
                self._recheck.cancel()
                await asyncio.wait((self._recheck,))
            await super().shutdown()
        finally:
            self.context.seat.close()

    @staticmethod
    def _get_pre_execution_close_reason(error: Any) -> str | None:
        # An operation's mistake is answered to that operation; the socket's others live on.
        return None

    async def _close_when_revoked(self) -> None:
        view: Any = self.view
        await view.revoked(self.context)
        # First the operations: a client may take its time to answer the close.
        for operation_id in list(self.operations):
            await self.cleanup_operation(operation_id)
        await self.websocket.close(code=4403, reason=REVOKED)


def _size(variables: Any) -> int:
    return len(strict_json.dumps(variables))


def _is_well_formed(message: Mapping[str, Any]) -> bool:
    if message["type"] not in ("subscribe", "complete"):
        return True
    if not isinstance(message.get("id"), str) or not message["id"]:
        return False
    payload = message.get("payload")
    return message["type"] == "complete" or (
        isinstance(payload, dict)
        and isinstance(payload.get("query"), str)
        and isinstance(payload.get("variables"), dict | None)
        and isinstance(payload.get("operationName"), str | None)
        and isinstance(payload.get("extensions"), dict | None)
    )
