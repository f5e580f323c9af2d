"""GraphQL over HTTP, server-sent events and WebSocket on one URL: Strawberry's view with its departures from the specifications mended.

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

from cross_web import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry import subscriptions
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from graphook import strict_json
from graphook.errors import Unauthenticated
from graphook.execution import Schema
from graphook.graphql_errors import NOT_EXECUTED
from graphook.graphql_limits import MAX_CHARACTERS, TOO_LONG
from graphook.graphql_socket import INIT_WAIT, MAX_OPERATIONS, REVOKED, Socket, SocketHandler
from graphook.graphql_streams import EventStream, MultipartStream
from graphook.http_answers import CORS, NOT_PERSISTED, PREFLIGHT, answer_of, not_executed, refusal_of, response_of
from graphook.negotiation import JSON, is_json, single_answer, wants_a_stream
from graphook.request_body import given, read_body
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


class _SubResponse(Response):
    """What Strawberry lets a resolver set of the answer, which ours do not; it carries the media type."""

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type
        self.status_code = None  # type: ignore[assignment]
        self.raw_headers = []
        self.background = None


class GraphQLView(GraphQL[Any, None]):
    """The ASGI application of the GraphQL URL.

    `authenticate` gets the Authorization value and answers with the caller or raises `Unauthenticated`; `make_context` gets the caller and
    the request's headers; what `admit` makes of a caller is entered while its WebSocket is open, and raises `LimitExceeded` where there are too many.
    A context has the attributes `authorization`, `connection_params`, `caller` and `seat`, an `ExitStack`, and a method `forget`, called
    when another operation begins on the same WebSocket.
    """

    graphql_transport_ws_handler_class = SocketHandler
    websocket_adapter_class = Socket
    stream_transport_classes_by_protocol = {
        subscriptions.GRAPHQL_SSE_PROTOCOL: EventStream,
        subscriptions.MULTIPART_SUBSCRIPTION_PROTOCOL: MultipartStream,
    }

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
            subscription_protocols=(
                subscriptions.GRAPHQL_TRANSPORT_WS_PROTOCOL,
                subscriptions.GRAPHQL_SSE_PROTOCOL,
                subscriptions.MULTIPART_SUBSCRIPTION_PROTOCOL,
            ),
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
        response = await self._answer(_with_one_accept(scope), receive)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        method, headers = scope["method"], _headers(scope)
        accept = headers.get("accept")
        media_type = single_answer(accept)
        try:
            if media_type is None:
                raise HTTPException(406, "The answer is JSON, an event stream or multipart/mixed; accept one of them.")
            if method not in ("GET", "POST"):
                raise HTTPException(405, "GraphQL only supports GET and POST requests.")
            authorization = headers.get("authorization")
            context = self.make_context(await self.authenticate(authorization), headers)
            context.authorization = authorization
            body = b""
            if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                raise HTTPException(415, "The request body must not be compressed.")
            if method == "POST" and is_json(headers.get("content-type", "")):
                body = await read_body(receive, MAX_BODY, self._body_time)
                if not wants_a_stream(accept):
                    return await self._answer_json(body, context, media_type)
            response: Response = await self.run(Request(scope, given(body)), context=context)
            response.headers.update(CORS)
            return response
        except Exception as error:
            return refusal_of(error, method, scope["path"], media_type)

    async def _answer_json(self, body: bytes, context: Any, media_type: str) -> Response:
        """The answer to a JSON body, in one piece: what `run` comes to by way of adapters for every framework and transport."""
        data = _checked(self.parse_json(body))
        try:
            result = await self._execution.run(
                data.get("query"), data.get("variables"), data.get("operationName"), context, _ALLOWED["POST"], data.get("extensions")
            )
        except NOT_EXECUTED as error:
            raise not_executed(error, "POST") from error
        return response_of(answer_of(result), media_type)

    def should_render_graphql_ide(self, request: Any) -> bool:
        return False  # a GET without a query is a bad request, not a page that is missing

    def decode_json(self, data: str | bytes) -> object:
        try:
            return strict_json.loads(data)
        except strict_json.BadJSON as error:
            raise json.JSONDecodeError(str(error), "", 0) from None

    def encode_json(self, data: object) -> str:
        return strict_json.dumps(data).decode()

    def parse_query_params(self, params: Mapping[str, str | None]) -> dict[str, Any]:
        # An empty parameter is one that is left out: the specification says so of operationName.
        found: dict[str, Any] = {name: given for name, given in params.items() if given}
        for name in ("variables", "extensions"):
            if name in found:
                try:
                    found[name] = strict_json.loads(found[name])
                except strict_json.BadJSON as error:
                    raise HTTPException(400, f"In {name}: {error}") from None
        return found

    def parse_json(self, data: str | bytes) -> Any:
        try:
            value = strict_json.loads(data)
        except strict_json.BadJSON as error:
            raise HTTPException(400, str(error)) from None
        if not isinstance(value, dict):
            advice = "; several requests in a list are not taken, send each by itself." if isinstance(value, list) else "."
            raise HTTPException(400, f"The request body must be a JSON object{advice}")
        return value

    async def parse_http_body(self, request: Any) -> GraphQLRequestData:
        transport = self._get_stream_transport_from_headers(request.headers)
        if request.method == "GET":
            data = self.parse_query_params(request.query_params)
        elif is_json(request.content_type or ""):
            data = self.parse_json(await request.get_body())
        else:
            raise HTTPException(415, "The request body must be application/json, in UTF-8.")
        _checked(data)
        if transport is None and self._execution.subscribes(data.get("query"), data.get("operationName")):
            # JSON may be wanted first and cannot be had, so it is what is accepted beside it: each range as if it stood alone.
            ranges = request.headers.get("accept", "").split(",")
            transport = next(filter(None, (self._get_stream_transport_from_headers({"accept": one}) for one in ranges)), None)
        return GraphQLRequestData(
            query=data.get("query"),
            variables=data.get("variables"),
            operation_name=data.get("operationName"),
            extensions=data.get("extensions"),
            protocol=transport.protocol if transport else "http",
        )

    async def execute_single(
        self, request: Any, request_adapter: Any, sub_response: Any, context: Any, root_value: None, request_data: Any
    ) -> Any:
        try:
            return await self._execution.run(
                request_data.query,
                request_data.variables,
                request_data.operation_name,
                context,
                _ALLOWED[request_adapter.method],
                request_data.extensions,
            )
        except NOT_EXECUTED as error:
            raise not_executed(error, request_adapter.method) from error

    async def execute_operation(self, request: Any, request_adapter: Any, request_data: Any, context: Any, *rest: Any, **named: Any) -> Any:
        result: Any = await super().execute_operation(request, request_adapter, request_data, context, *rest, **named)
        streamed = self._get_stream_transport(request_data.protocol) is not None
        if not streamed:
            return result
        revoked = GraphQLError(REVOKED, extensions={"code": Unauthenticated.code})
        return until(self.revoked(context), result, [ExecutionResult(data=None, errors=[revoked])])

    async def create_streaming_response(
        self, request: Any, stream: Callable[[], Any], sub_response: Response, headers: Mapping[str, str]
    ) -> Response:
        # The answer just ends when the process stops. Nothing tells the client that its operation was complete, so it comes back.
        return await super().create_streaming_response(request, lambda: until(self.stopping.wait(), stream()), sub_response, headers)

    async def get_sub_response(self, request: Any) -> Response:
        return _SubResponse(single_answer(request.headers.get("accept")) or JSON)

    async def process_result(self, request: Any, result: Any) -> Any:
        return answer_of(result)

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        return response_of(response_data, sub_response.media_type or JSON)

    # WebSocket

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


def _checked(data: dict[str, Any]) -> dict[str, Any]:
    """The members of a request, each of the kind it must have."""
    for name, (kind, shown) in _MEMBERS.items():
        if data.get(name) is not None and not isinstance(data[name], kind):
            raise HTTPException(400, f"{name} must be {shown} or null.")
    if len(data.get("query") or "") > MAX_CHARACTERS:
        raise HTTPException(413, TOO_LONG)
    if not data.get("query") and "persistedQuery" in (data.get("extensions") or {}):
        raise HTTPException(400, NOT_PERSISTED)
    return data


def _headers(scope: Scope) -> dict[str, str]:
    """The request's headers by their names in lower case; of one that is repeated, the first."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


def _with_one_accept(scope: Scope) -> Scope:
    """The request with all that its Accept lines say in one of them, which HTTP lets a client or a proxy do as it likes."""
    lines = [value for name, value in scope["headers"] if name == b"accept"]
    if len(lines) < 2:
        return scope
    others = [header for header in scope["headers"] if header[0] != b"accept"]
    return {**scope, "headers": [*others, (b"accept", b",".join(lines))]}
