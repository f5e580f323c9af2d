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
        messages.narrow(where, filter, "m.")
        await _narrow(where, app, filter)
    live_cursor = info.context.services.cursors.write(await ATTEMPTS.head(), ATTEMPT)
    return connection(await Row.page(where, request), MessageAttempt.of, live_cursor=live_cursor)


async def _narrow(where: Where, app: Application, filter: MessageAttemptFilter) -> None:
    """Add what a filter says about attempts themselves."""
    if filter.status is not None:
        where.equal("a.status", int(filter.status))
    if filter.status_code_class is not None:
        low = filter.status_code_class.value
        within = "a.response_status_code >= ? AND a.response_status_code < ?"
        where.raw(within, low, low + 100, test=lambda row: low <= row.response_status_code < low + 100)
    if filter.endpoint_id is not None:
        where.equal("a.endpoint_id", (await Endpoint.load(app, str(filter.endpoint_id), ("filter", "endpointId"))).id)
    if (after := filter.created_after) is not None:
        where.raw("a.id > ?", end_id("atmpt_", after), test=lambda row: row.started_at > after)
    if (before := filter.created_before) is not None:
        where.raw("a.id < ?", start_id("atmpt_", before), test=lambda row: row.started_at < before)


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
    own, of_message = Where(), Where()
    if filter is not None:
        await _narrow(own, app, filter)
        messages.narrow(of_message, filter)
    async for event in services.attempts.follow(app.org_id, app.id, position):
        if own.holds(event.item) and (not of_message or await _message_holds(info, of_message, event.item)):
            yield MessageAttemptEvent(cursor=services.cursors.write(event.position, ATTEMPT), attempt=MessageAttempt.of(event.item))


async def _message_holds(info: Info, conditions: Where, row: Row) -> bool:
    """Whether conditions hold of an attempt's message, as long as that is there."""
    async with info.context.turn("what is chosen"):
        message = (await Message.load_many(row.app_id, [row.message_id])).get(row.message_id)
    return message is not None and conditions.holds(message)


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
