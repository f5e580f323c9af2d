"""GraphQL over HTTP, server-sent events, multipart and WebSocket on one URL; Strawberry speaks the WebSockets.

A request is authenticated before its body is read. Every answer is JSON with coded errors. Tokens come in headers or in `connection_init`,
never in cookies, so any origin may connect.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import parse_qsl

from cross_web import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from graphook import strict_json
from graphook.errors import Unauthenticated
from graphook.execution import Schema
from graphook.graphql_errors import NOT_EXECUTED
from graphook.graphql_limits import MAX_CHARACTERS, TOO_LONG
from graphook.graphql_socket import INIT_WAIT, MAX_OPERATIONS, REVOKED, Socket, SocketHandler
from graphook.graphql_streams import stream_of, text_of
from graphook.http_answers import CORS, NOT_PERSISTED, PREFLIGHT, answer_of, not_executed, refusal_of, response_of
from graphook.negotiation import is_json, single_answer, wants_a_stream
from graphook.request_body import read_body
from graphook.shared_timeout import SharedTimeout
from graphook.streams import until
from graphql import GraphQLError

log = logging.getLogger(__name__)

MAX_BODY = 8 * 1024 * 1024
RECHECK_SECONDS = 30.0
BODY_SECONDS = 30.0

_MEMBERS: dict[str, tuple[type, str]] = {
    "query": (str, "a string"),
    "variables": (dict, "an object"),
    "operationName": (str, "a string"),
    "extensions": (dict, "an object"),
}
_ALLOWED = {"GET": {OperationType.QUERY}, "POST": {OperationType.QUERY, OperationType.MUTATION}}

Authenticate = Callable[[str | None], Awaitable[Any]]
MakeContext = Callable[[Any, Mapping[str, str]], Any]
Admit = Callable[[Any], AbstractContextManager[None]]


class GraphQLView(GraphQL[Any, None]):
    """The ASGI application of the GraphQL URL.

    `authenticate` gets the Authorization value and answers with the caller or raises `Unauthenticated`; `make_context` gets the caller and
    the request's headers; what `admit` makes of a caller is entered while its WebSocket is open, and raises `LimitExceeded` where there are too many.
    A context has the attributes `authorization`, `connection_params`, `caller` and `seat`, an `ExitStack`, and a method `forget`, called
    when another operation begins on the same WebSocket.
    """

    graphql_transport_ws_handler_class = SocketHandler
    websocket_adapter_class = Socket

    def __init__(
        self,
        schema: Schema,
        authenticate: Authenticate,
        make_context: MakeContext,
        *,
        admit: Admit = lambda caller: nullcontext(),
        recheck_seconds: float = RECHECK_SECONDS,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_WAIT,
            max_subscriptions_per_connection=MAX_OPERATIONS,
            allowed_origins=["*"],
        )
        self._execution = schema.execution
        self.authenticate = authenticate
        self.make_context = make_context
        self.admit = admit
        self.recheck_seconds = recheck_seconds
        # Set when the process is to stop: streams would keep it.
        self.stopping = asyncio.Event()
        self._body_time = SharedTimeout(body_seconds)

    async def revoked(self, context: Any) -> None:
        """Return once the context's token is no longer valid. Until then it is looked at, and the caller renewed, every `recheck_seconds`."""
        while True:
            await asyncio.sleep(self.recheck_seconds)
            try:
                context.caller = await self.authenticate(context.authorization)
            except Unauthenticated:
                return
            except Exception:
                log.exception("a token could not be looked at again")  # it is next time

    # HTTP

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, send)
            return
        response = await self._answer(scope, receive)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        method, headers = scope["method"], _headers(scope)
        accept = _accept(scope)
        media_type = single_answer(accept)
        try:
            if media_type is None:
                raise HTTPException(
                    406, "The answer is JSON, an event stream or multipart/mixed; accept one of them. GraphiQL is at /graphiql."
                )
            if method not in ("GET", "POST"):
                raise HTTPException(405, "GraphQL only supports GET and POST requests.")
            authorization = headers.get("authorization")
            context = self.make_context(await self.authenticate(authorization), headers)
            context.authorization = authorization
            if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                raise HTTPException(415, "The request body must not be compressed.")
            if method == "GET":
                data = _parameters(scope["query_string"])
            elif is_json(headers.get("content-type", "")):
                data = _json(await read_body(receive, MAX_BODY, self._body_time))
            else:
                raise HTTPException(415, "The request body must be application/json, in UTF-8.")
            _check(data)
            if accept is not None and wants_a_stream(accept) and (streamed := self._streamed(accept, data, context, method)) is not None:
                return streamed
            return response_of(answer_of(await self._execute(data, context, method)), media_type)
        except Exception as error:
            return refusal_of(error, method, scope["path"], media_type)

    async def _execute(self, data: Mapping[str, Any], context: Any, method: str) -> ExecutionResult:
        try:
            return await self._execution.run(
                data.get("query"), data.get("variables"), data.get("operationName"), context, _ALLOWED[method], data.get("extensions")
            )
        except NOT_EXECUTED as error:
            raise not_executed(error, method) from error

    def _streamed(self, accept: str, data: Mapping[str, Any], context: Any, method: str) -> Response | None:
        """The answer as a stream, which goes on until the operation is complete, its token revoked, or the process stopped; None where none is wanted."""
        kind = self._execution.kind(data.get("query"), data.get("operationName"))
        stream = stream_of(accept, kind)
        if stream is None:
            return None
        if method == "GET" and kind is OperationType.MUTATION:
            raise not_executed(InvalidOperationTypeError(kind), method)
        results = self._execution.stream(
            data.get("query"), data.get("variables"), data.get("operationName"), context, data.get("extensions")
        )
        revoked = ExecutionResult(data=None, errors=[GraphQLError(REVOKED, extensions={"code": Unauthenticated.code})])
        pieces = text_of(until(self.revoked(context), results, [revoked]), stream)
        # The answer just ends when the process stops. Nothing tells the client that its operation was complete, so it comes back.
        return StreamingResponse(until(self.stopping.wait(), pieces), headers={**stream.headers, **CORS})

    # WebSocket

    def decode_json(self, data: str | bytes) -> object:
        try:
            return strict_json.loads(data)
        except strict_json.BadJSON as error:
            raise json.JSONDecodeError(str(error), "", 0) from None

    def encode_json(self, data: object) -> str:
        return strict_json.dumps(data).decode()

    async def get_context(self, request: HTTPConnection, response: Any) -> Any:
        assert isinstance(request, WebSocket)
        context = self.make_context(None, request.headers)
        context.authorization = request.headers.get("authorization")
        return context

    async def on_ws_connect(self, context: Any) -> dict[str, object]:
        params = {name.lower(): value for name, value in (context.connection_params or {}).items()}
        given = params.get("authorization")
        if isinstance(given, str):
            context.authorization = given
        context.connection_params = None  # of any size, and kept for as long as the connection
        if context.authorization is None:
            raise Unauthenticated('Put {"Authorization": "Bearer …"} into the payload of connection_init.')
        context.caller = await self.authenticate(context.authorization)
        context.seat.enter_context(self.admit(context.caller))
        return {}


def _parameters(query_string: bytes) -> dict[str, Any]:
    """The members of a request whose method is GET."""
    try:
        given = dict(parse_qsl(query_string.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise HTTPException(400, "The query string is not UTF-8.") from None
    # An empty parameter is one that is left out: the specification says so of operationName.
    found: dict[str, Any] = {name: text for name, text in given.items() if text}
    for name in ("variables", "extensions"):
        if name in found:
            try:
                found[name] = strict_json.loads(found[name])
            except strict_json.BadJSON as error:
                raise HTTPException(400, f"In {name}: {error}") from None
    return found


def _json(body: bytes) -> dict[str, Any]:
    """The members of a request that is JSON."""
    try:
        value = strict_json.loads(body)
    except strict_json.BadJSON as error:
        raise HTTPException(400, str(error)) from None
    if not isinstance(value, dict):
        advice = "; several requests in a list are not taken, send each by itself." if isinstance(value, list) else "."
        raise HTTPException(400, f"The request body must be a JSON object{advice}")
    return value


def _check(data: Mapping[str, Any]) -> None:
    """Raise `HTTPException` unless the members of a request are each of the kind it must have."""
    for name, (kind, shown) in _MEMBERS.items():
        if data.get(name) is not None and not isinstance(data[name], kind):
            raise HTTPException(400, f"{name} must be {shown} or null.")
    if len(data.get("query") or "") > MAX_CHARACTERS:
        raise HTTPException(413, TOO_LONG)
    if not data.get("query") and "persistedQuery" in (data.get("extensions") or {}):
        raise HTTPException(400, NOT_PERSISTED)


def _headers(scope: Scope) -> dict[str, str]:
    """The request's headers by their names in lower case; of one that is repeated, the first."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


def _accept(scope: Scope) -> str | None:
    """What all of the Accept lines say, of which HTTP lets a client or a proxy make as many as it likes."""
    lines = [value for name, value in scope["headers"] if name == b"accept"]
    return b",".join(lines).decode("latin-1") if lines else None
