"""What providers post to an inbound URL: verified over the raw bytes, then accepted like any other message."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from graphook import rules
from graphook.clock import now
from graphook.errors import TRY_AGAIN, Conflict, GraphookError, InvalidInput, InvalidInputs, NotFound, Unauthenticated, Unavailable
from graphook.graphql_errors import fault_of_ours
from graphook.inbound import event_of, verify
from graphook.outage import is_outage, log_outage
from graphook.request_body import read_body
from graphook.shared_timeout import SharedTimeout
from models.application import Application
from models.idempotency import IdempotencyKey
from models.inbound import Destination, Inbound
from models.message import Message, NewMessage
from resolvers.payload import MAX_PAYLOAD
from schema.context import Services
from schema.fields import check_value

_BODY_TIME = SharedTimeout(30.0)
_STATUS: Mapping[type[GraphookError], int] = {
    InvalidInput: 400,
    InvalidInputs: 400,
    Unauthenticated: 401,
    NotFound: 404,
    Conflict: 409,
}


async def receive(request: Request) -> Response:
    """POST a webhook: 202 with the id of the message, which is durable; else `{code, detail}`, and nothing was written."""
    services: Services = request.app.state.services
    try:
        return JSONResponse({"id": await _accept(services, request)}, 202)
    except HTTPException as refusal:
        # Else the rest of the body would be read, however much there is.
        return _problem(refusal.status_code, f"HTTP_{refusal.status_code}", refusal.reason, {"Connection": "close"})
    except GraphookError as failure:
        return _failed(failure)
    except Exception as error:
        if is_outage(error):
            log_outage(error)
            return _failed(Unavailable("The database is not available; try again."))
        # The path is not told: the token is in it.
        said = fault_of_ours(error, "an inbound URL")
        return JSONResponse({**said, "detail": "Internal server error"}, 500)


async def _accept(services: Services, request: Request) -> str:
    to = await Inbound.find(request.path_params["app_id"], request.path_params["inbound_token"])
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        # Receivers would get the bytes as they came, and never hear how they are encoded.
        raise HTTPException(415, "The body must not be compressed: it is sent on as it comes.")
    body = await read_body(request.receive, MAX_PAYLOAD, _BODY_TIME)
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


def _failed(failure: GraphookError) -> Response:
    if failure.code in TRY_AGAIN:
        status, seconds = TRY_AGAIN[failure.code]
        return _problem(status, failure.code, failure.message, {"Retry-After": str(seconds)})
    status = next((status for kind, status in _STATUS.items() if isinstance(failure, kind)), 500)
    return _problem(status, failure.code, failure.message, {})


def _problem(status: int, code: str, detail: str, headers: Mapping[str, str]) -> Response:
    return JSONResponse({"code": code, "detail": detail}, status, headers=dict(headers))
