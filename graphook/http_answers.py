"""The HTTP form of what GraphQL answers: one piece of JSON, its status and headers, for a client of any origin."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from cross_web import HTTPException
from starlette.responses import Response
from strawberry.http import process_result
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from graphook import strict_json
from graphook.errors import TRY_AGAIN, Unauthenticated, Unavailable
from graphook.graphql_errors import fault_of_ours
from graphook.negotiation import JSON, RESPONSE_JSON
from graphook.outage import is_outage, log_outage

# What a request error is answered with when the client speaks the new media type.
REQUEST_ERROR_STATUS = 400

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After, X-Request-Id",
}
PREFLIGHT = CORS | {
    "Access-Control-Allow-Methods": "GET, POST",
    # Whatever clients add; browsers from before the asterisk, which never covers Authorization, take those that are named.
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Accept, *",
    "Access-Control-Max-Age": "600",
}


# What clients that send the hash of a document look for: they send the document from then on.
NOT_PERSISTED = "PersistedQueryNotSupported"


class _Answer(Response):
    """An answer in one piece, its headers made ahead."""

    def __init__(self, body: bytes, status: int, media_type: str, more: Mapping[str, str]) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), *_usual_headers(media_type)]
        for name, value in more.items():
            self.raw_headers.append((name.lower().encode(), value.encode()))


@cache
def _usual_headers(media_type: str) -> list[tuple[bytes, bytes]]:
    usual = {"Content-Type": f"{media_type}; charset=utf-8", **CORS}
    return [(name.lower().encode(), value.encode()) for name, value in usual.items()]


def answer_of(result: Any) -> Any:
    """What a result looks like on the wire."""
    answer: Any = process_result(result)
    errors = answer.get("errors")
    if errors and answer["data"] is None and all("path" not in error for error in errors):
        del answer["data"]  # a request error has no data entry at all
    return answer


def response_of(answer: Any, media_type: str) -> Response:
    """The HTTP form of an answer."""
    status, more = 200, {}
    if "data" not in answer and media_type == RESPONSE_JSON:
        status = REQUEST_ERROR_STATUS
    errors = answer.get("errors")
    if errors:
        codes = {error.get("extensions", {}).get("code") for error in errors}
        for code, (refused, seconds) in TRY_AGAIN.items():
            if code in codes:
                status, more = refused, {"Retry-After": str(seconds)}
    return _Answer(strict_json.dumps(answer), status, media_type, more)


def _refusal(status: int, message: str, code: str | dict[str, Any], media_type: str | None, headers: Mapping[str, str]) -> Response:
    """The HTTP form of why a request came to no answer; `code` is the error's code, or all of its extensions."""
    body = {"errors": [{"message": message, "extensions": {"code": code} if isinstance(code, str) else code}]}
    return _Answer(strict_json.dumps(body), status, media_type or JSON, headers)


def refusal_of(error: Exception, method: str, path: str, media_type: str | None) -> Response:
    """The HTTP form of what was raised before there was an answer."""
    match error:
        case HTTPException():
            return _http_refusal(error, method, media_type)
        case Unauthenticated():
            return _refusal(401, error.message, error.code, media_type, {"WWW-Authenticate": "Bearer"})
    if isinstance(error, Unavailable) or is_outage(error):
        if not isinstance(error, Unavailable):  # whose cause was told when it was raised
            log_outage(error)
        seconds = error.retry_after if isinstance(error, Unavailable) else 1
        message = "The database is not available; try again."
        return _refusal(503, message, Unavailable.code, media_type, {"Retry-After": str(seconds)})
    return _refusal(500, "Internal server error", fault_of_ours(error, path), media_type, {})


def _http_refusal(error: HTTPException, method: str, media_type: str | None) -> Response:
    status = error.status_code
    more = {"Allow": "POST" if method == "GET" else "GET, POST"} if status == 405 else {}
    if status in (408, 413):
        more["Connection"] = "close"  # else the rest of the body would be read, however much there is
    unresolved = isinstance(error.__cause__, CannotGetOperationTypeError)
    code = "OPERATION_RESOLUTION_FAILURE" if unresolved else "BAD_REQUEST" if status == 400 else f"HTTP_{status}"
    if error.reason == NOT_PERSISTED:
        code = "PERSISTED_QUERY_NOT_SUPPORTED"
    return _refusal(status, error.reason, code, media_type, more)


def not_executed(error: Exception, method: str) -> HTTPException:
    """The HTTP form of why nothing was executed."""
    match error:
        case CannotGetOperationTypeError():
            return HTTPException(400, "The document has no operation." if error.operation_name is None else error.as_http_error_reason())
        case InvalidOperationTypeError() if error.operation_type is OperationType.SUBSCRIPTION:
            return HTTPException(406, "A subscription needs a WebSocket, text/event-stream or multipart/mixed;subscriptionSpec=1.0.")
        case InvalidOperationTypeError():
            return HTTPException(405, error.as_http_error_reason(method))
    return HTTPException(400, "No GraphQL query found in the request")
