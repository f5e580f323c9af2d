"""What providers post to an inbound URL: verified over the raw bytes, then accepted like any other message."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from graphook import rules
from graphook.clock import now
from graphook.errors import TRY_AGAIN, Conflict, GraphookError, InvalidInput, InvalidInputs, NotFound, Unauthenticated, Unavailable
from graphook.graphql_extensions import fault_of_ours
from graphook.inbound import event_of, verify
from graphook.outage import is_outage
from models.application import Application
from models.idempotency import IdempotencyKey
from models.inbound import Destination, Inbound
from models.message import Message, NewMessage
from resolvers.message import MAX_PAYLOAD
from schema.context import Services
from schema.fields import check_value

BODY_SECONDS = 30.0
_STATUS: Mapping[type[GraphookError], int] = {
    InvalidInput: 400,
    InvalidInputs: 400,
    Unauthenticated: 401,
    NotFound: 404,
    Conflict: 409,
}


class _Refused(Exception):
    """The body cannot be read; the status says why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


async def receive(request: Request) -> Response:
    """POST a webhook: 202 with the id of the message, which is durable; else `{code, detail}`, and nothing was written."""
    services: Services = request.app.state.services
    try:
        return JSONResponse({"id": await _accept(services, request)}, 202)
    except _Refused as refusal:
        # Else the rest of the body would be read, however much there is.
        return _problem(refusal.status, f"HTTP_{refusal.status}", refusal.detail, {"Connection": "close"})
    except GraphookError as failure:
        return _failed(failure)
    except Exception as error:
        if is_outage(error):
            return _failed(Unavailable("The database is not available; try again."))
        # The path is not told: the token is in it.
        said = fault_of_ours(error, "an inbound URL")
        return JSONResponse({**said, "detail": "Internal server error"}, 500)


async def _accept(services: Services, request: Request) -> str:
    to = await Inbound.find(request.path_params["app_id"], request.path_params["inbound_token"])
    body = await _body(request)
    verify(to.scheme, to.secret, request.headers, body, now())
    services.backlog.check(to.org_id)
    if not body:
        raise InvalidInput("The body is empty.")
    told, event_id = event_of(to.scheme, request.headers, body)
    event_type = request.query_params.get("event_type", told)
    check_value(rules.EVENT_TYPE, event_type, ("event_type",))
    new = NewMessage(to.org_id, to.app_id, event_type, body, event_id, key=_key(to, request, event_type, body))
    try:
        return (await services.accept.submit(new)).message_id
    except Conflict as conflict:
        if event_id is None or "eventId" not in conflict.path:
            raise
        # The provider sends again what we have.
        app = await Application.of_organisation(to.org_id, to.app_id)
        return (await Message.load(app, event_id)).id


def _key(to: Destination, request: Request, event_type: str, body: bytes) -> IdempotencyKey | None:
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    check_value(rules.IDEMPOTENCY_KEY, given, ("idempotency-key",))
    return IdempotencyKey.of(to.org_id, f"inbound:{to.app_id}", given, [event_type, hashlib.sha256(body).hexdigest()])


async def _body(request: Request) -> bytes:
    """The body, byte for byte. Raises `_Refused` when it is too large or does not arrive in time."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MAX_PAYLOAD:
                    raise _Refused(413, f"The body has more than {MAX_PAYLOAD} bytes.")
                parts.append(part)
    except TimeoutError:
        raise _Refused(408, f"The body did not arrive within {BODY_SECONDS:g} seconds.") from None
    except ClientDisconnect:
        raise _Refused(400, "The request ended before its body did.") from None
    return b"".join(parts)


def _failed(failure: GraphookError) -> Response:
    if failure.code in TRY_AGAIN:
        status, seconds = TRY_AGAIN[failure.code]
        return _problem(status, failure.code, failure.message, {"Retry-After": str(seconds)})
    status = next((status for kind, status in _STATUS.items() if isinstance(failure, kind)), 500)
    return _problem(status, failure.code, failure.message, {})


def _problem(status: int, code: str, detail: str, headers: Mapping[str, str]) -> Response:
    return JSONResponse({"code": code, "detail": detail}, status, headers=dict(headers))
