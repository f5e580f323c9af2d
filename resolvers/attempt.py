"""Operations on attempts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

import strawberry

from graphook import database
from graphook.auth import Scope
from graphook.ids import end_id, start_id
from models import delivery, idempotency
from models.application import Application
from models.attempt import Attempt as Row
from models.endpoint import Endpoint
from models.feeds import ATTEMPT, ATTEMPTS
from models.message import Message
from models.where import Where
from resolvers import message as messages
from resolvers.expected import lookup, mutation
from schema.connection import Connection, Paging, connection
from schema.context import Info, one_of
from schema.fields import check
from schema.types.attempt import (
    MessageAttempt,
    MessageAttemptEvent,
    MessageAttemptExpungeContentPayload,
    MessageAttemptFilter,
    MessageAttemptResendPayload,
)


@lookup
async def get(info: Info, app_id: strawberry.ID, message_id: strawberry.ID, id: strawberry.ID) -> MessageAttempt | None:
    """The message's attempt of that id; null when there is none."""
    app = await Application.load(info.context.caller, str(app_id))
    message = await Message.load(app, str(message_id))
    return MessageAttempt.of(await Row.load(app, message.id, str(id)))


async def page(
    info: Info,
    app_id: strawberry.ID,
    message_id: Annotated[strawberry.ID | None, strawberry.argument(description="List the attempts of this message …")] = None,
    endpoint_id: Annotated[strawberry.ID | None, strawberry.argument(description="… or those to this endpoint.")] = None,
    *,
    paging: Paging,
    filter: MessageAttemptFilter | None = None,
) -> Connection[MessageAttempt]:
    """The attempts of a message or to an endpoint (give exactly one), newest first.

    Subscribe to messageAttempts with `after: liveCursor` and nothing is missed; what was recorded while the list was read may come once more.
    """
    info.context.caller.require(Scope.READ)
    one_of(("messageId",), messageId=message_id, endpointId=endpoint_id)
    if filter is not None:
        check(filter, ("filter",))
    request = paging.request("atmpt_")
    app = await Application.load(info.context.caller, str(app_id))
    where = Where().equal("a.app_id", app.id)
    if message_id is not None:
        where.equal("a.message_id", (await Message.load(app, str(message_id))).id)
    if endpoint_id is not None:
        where.equal("a.endpoint_id", (await Endpoint.load(app, str(endpoint_id))).id)
    if filter is not None:
        await _narrow(where, app, filter)
    live_cursor = info.context.services.cursors.write(await ATTEMPTS.head(), ATTEMPT)
    return connection(await Row.page(where, request), MessageAttempt.of, live_cursor=live_cursor)


async def _narrow(where: Where, app: Application, filter: MessageAttemptFilter) -> None:
    messages.narrow(where, filter, "m.")
    if filter.status is not None:
        where.equal("a.status", int(filter.status))
    if filter.status_code_class is not None:
        low = filter.status_code_class.value
        where.raw("a.response_status_code >= ? AND a.response_status_code < ?", low, low + 100)
    if filter.endpoint_id is not None:
        where.equal("a.endpoint_id", (await Endpoint.load(app, str(filter.endpoint_id), ("filter", "endpointId"))).id)
    if filter.created_after is not None:
        where.raw("a.id > ?", end_id("atmpt_", filter.created_after))
    if filter.created_before is not None:
        where.raw("a.id < ?", start_id("atmpt_", filter.created_before))


async def watch(
    info: Info,
    app_id: strawberry.ID,
    filter: MessageAttemptFilter | None = None,
    after: Annotated[
        str | None, strawberry.argument(description="A cursor of an earlier event, to go on behind it; from now on when absent.")
    ] = None,
) -> AsyncGenerator[MessageAttemptEvent, None]:
    """Attempts of the application as they are recorded. Resumed with `after`, nothing is missed and nothing comes twice."""
    info.context.caller.require(Scope.READ)
    if filter is not None:
        check(filter, ("filter",))
    app = await Application.load(info.context.caller, str(app_id))
    services = info.context.services
    position = None
    if after is not None:
        async with database.read() as session:
            position = await services.cursors.read(session, after, ATTEMPT)
    wanted = await Wanted.of(app, filter)
    async for event in services.attempts.follow(app.org_id, app.id, position):
        if await wanted.matches(info, event.item):
            yield MessageAttemptEvent(cursor=services.cursors.write(event.position, ATTEMPT), attempt=MessageAttempt.of(event.item))


@mutation(MessageAttemptResendPayload, Scope.SEND)
async def resend(
    info: Info,
    app_id: strawberry.ID,
    message_id: strawberry.ID,
    endpoint_id: strawberry.ID,
    idempotency_key: str | None = None,
) -> MessageAttemptResendPayload:
    """Send a message to an endpoint once more, now, whatever its filters say. Scheduled retries go on."""
    app = await Application.load(info.context.caller, str(app_id))
    message = await Message.load(app, str(message_id))
    endpoint = await Endpoint.load(app, str(endpoint_id))
    key = info.context.idempotency(info, idempotency_key, {"message": message.id, "endpoint": endpoint.id})

    async def add() -> str:
        await delivery.resend(message, endpoint)
        return message.id

    await idempotency.once(key, add)
    info.context.services.wake("deliver", [endpoint.id])
    return MessageAttemptResendPayload(accepted=True)


@mutation(MessageAttemptExpungeContentPayload, Scope.MANAGE, organisation=True)
async def expunge_content(
    info: Info, app_id: strawberry.ID, message_id: strawberry.ID, id: strawberry.ID
) -> MessageAttemptExpungeContentPayload:
    """Forget an attempt's response. It reads EXPUNGED afterwards."""
    app = await Application.load(info.context.caller, str(app_id))
    message = await Message.load(app, str(message_id))
    await (await Row.load(app, message.id, str(id))).expunge()
    return MessageAttemptExpungeContentPayload(message_attempt=MessageAttempt.of(await Row.load(app, message.id, str(id))))


class Wanted:
    """A filter applied to attempts as they come."""

    def __init__(self, filter: MessageAttemptFilter | None, endpoint_id: str | None) -> None:
        self._filter = filter
        self._endpoint_id = endpoint_id

    @classmethod
    async def of(cls, app: Application, filter: MessageAttemptFilter | None) -> Wanted:
        """The filter with its endpoint looked up. Raises `NotFound` when there is no such endpoint."""
        if filter is None or filter.endpoint_id is None:
            return cls(filter, None)
        return cls(filter, (await Endpoint.load(app, str(filter.endpoint_id), ("filter", "endpointId"))).id)

    async def matches(self, info: Info, row: Row) -> bool:
        """Whether the attempt passes; its message is only read when the filter asks about it."""
        f = self._filter
        if f is None:
            return True
        passes = (
            (self._endpoint_id is None or row.endpoint_id == self._endpoint_id)
            and (f.status is None or row.status is f.status)
            and (f.status_code_class is None or row.response_status_code // 100 * 100 == f.status_code_class.value)
            and (f.created_after is None or row.started_at > f.created_after)
            and (f.created_before is None or row.started_at < f.created_before)
        )
        if not passes or (f.channel is None and f.tag is None and f.event_types is None):
            return passes
        async with info.context.turn("what is chosen"):
            message = (await Message.load_many(row.app_id, [row.message_id])).get(row.message_id)
        return message is not None and messages.passes(f, message)
