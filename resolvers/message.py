"""Operations on messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import strawberry

from graphook.auth import Scope
from graphook.errors import GraphookError, InvalidInput, NotFound
from graphook.ids import end_id, start_id
from models import idempotency
from models.application import Application
from models.feeds import MESSAGE, MESSAGES
from models.idempotency import IdempotencyKey
from models.message import Accepted, NewMessage
from models.message import Message as Row
from models.where import Where
from resolvers.application import ensured
from resolvers.expected import lookup, mutation
from resolvers.new_message import accept, arguments_of, checked, hold, new_message
from schema.connection import Connection, Paging, connection
from schema.context import Info, selects
from schema.errors import user_errors
from schema.fields import check
from schema.types.attempt import MessageAttemptFilter
from schema.types.message import (
    Message,
    MessageCreateBatchPayload,
    MessageCreatePayload,
    MessageExpungeContentPayload,
    MessageFilter,
    MessageIn,
)

MAX_BATCH = 500


@lookup
async def get(info: Info, app_id: strawberry.ID, id: strawberry.ID) -> Message | None:
    """The application's message of that id or event id; null when there is none."""
    return Message.of(await Row.load(await Application.load(info.context.caller, str(app_id)), str(id), ("id",)))


async def page(
    info: Info,
    app_id: strawberry.ID,
    paging: Paging,
    filter: MessageFilter | None = None,
) -> Connection[Message]:
    """The application's messages, newest first.

    Subscribe to messages with `after: liveCursor` and nothing is missed; what was accepted while the list was read may come once more.
    """
    info.context.caller.require(Scope.READ)
    if filter is not None:
        check(filter, ("filter",))
    request = paging.request("msg_")
    app = await Application.load(info.context.caller, str(app_id))
    where = Where().equal("app_id", app.id)
    if filter is not None:
        choose(where, filter, app.id, "id")
    live_cursor = info.context.services.cursors.write(await MESSAGES.head(), MESSAGE) if selects(info, "liveCursor") else None
    found = await Row.page(where, request)
    await prime_contents(info, found.items)
    return connection(found, Message.of, live_cursor=live_cursor)


async def prime_contents(info: Info, rows: Sequence[Row]) -> None:
    """Read the payloads of a page at once, where they are selected."""
    if selects(info, "payload", "rawPayload"):
        loaders = info.context.loaders
        bodies = await loaders.read_contents(rows)
        for row in rows:
            loaders.contents.prime(row, bodies.get(row.id))


def choose(where: Where, filter: MessageFilter, app_id: str, key: str, prefix: str = "") -> None:
    """Add all that a filter of messages says; `key` is the column of their ids."""
    narrow(where, filter, prefix)
    if (event_id := filter.event_id) is not None:
        taken = f"{key} = (SELECT message_id FROM message_key WHERE app_id = ? AND event_id = ?)"
        where.raw(taken, app_id, event_id, test=lambda row: row.event_id == event_id)
    if (after := filter.created_after) is not None:
        where.raw(f"{key} > ?", end_id("msg_", after), test=lambda row: row.created_at > after)
    if (before := filter.created_before) is not None:
        where.raw(f"{key} < ?", start_id("msg_", before), test=lambda row: row.created_at < before)


def narrow(where: Where, filter: MessageFilter | MessageAttemptFilter, prefix: str = "") -> None:
    """Add what a filter says about messages."""
    if filter.channel is not None:
        where.contains(f"{prefix}channels", filter.channel)
    if filter.tag is not None:
        where.contains(f"{prefix}tags", filter.tag)
    if filter.event_types is not None:
        where.any_of(f"{prefix}event_type", filter.event_types)


@mutation(MessageCreatePayload, Scope.SEND, organisation=True)
async def create(info: Info, app_id: strawberry.ID, input: MessageIn, idempotency_key: str | None = None) -> MessageCreatePayload:
    """Send a message to every endpoint of the application that listens. When it is answered without errors, it is durable."""
    key = info.context.idempotency(info, idempotency_key, lambda: {"appId": str(app_id), "input": arguments_of(input)})
    try:
        new = new_message(info, str(app_id), input, checked(input, ("input",)))
        new.key = key
        info.context.services.backlog.check(info.context.caller.org_id)
        await hold(info, new, input, ("input",))
        if input.application is not None:
            await ensured(info, str(app_id), input.application)
    except GraphookError:
        # What may not be sent now may have been when the key was new: a minute ahead then, or before the schema changed.
        if (sent := await idempotency.earlier(key)) is None:
            raise
        return MessageCreatePayload(message=Message.of(await _sent(info, str(app_id), sent)), created=False)
    (outcome,) = await accept(info, [(new, input, ("input",))])
    if isinstance(outcome, BaseException):
        raise outcome
    return _shown(new, outcome, await _replayed([outcome]))


@mutation(MessageCreateBatchPayload, Scope.SEND, organisation=True)
async def create_batch(
    info: Info,
    app_id: strawberry.ID,
    inputs: list[MessageIn],
    idempotency_key: Annotated[
        str | None, strawberry.argument(description="A key for the whole batch; message n has the key with `:n` appended.")
    ] = None,
) -> MessageCreateBatchPayload:
    """Send up to 500 messages at once. Each has its own result; one that fails does not fail the others."""
    if not 1 <= len(inputs) <= MAX_BATCH:
        raise InvalidInput(f"inputs has {len(inputs)} items; 1 to {MAX_BATCH} are allowed.", ("inputs",))
    info.context.services.backlog.check(info.context.caller.org_id)
    key = info.context.idempotency(info, idempotency_key, {})
    results: list[MessageCreatePayload | None] = [None] * len(inputs)
    news: list[tuple[int, NewMessage]] = []
    for index, data in enumerate(inputs):
        own = None
        if key is not None:
            own = type(key).of(key.org_id, key.operation, f"{key.key}:{index}", {"appId": str(app_id), "input": arguments_of(data)})
        try:
            new = new_message(info, str(app_id), data, checked(data, ("inputs", str(index))))
            new.key = own
            await hold(info, new, data, ("inputs", str(index)))
            if data.application is not None:
                await ensured(info, str(app_id), data.application)
            news.append((index, new))
        except GraphookError as failure:
            results[index] = await _refused_or_sent(info, str(app_id), own, failure, index)
    outcomes = await accept(info, [(new, inputs[index], ("inputs", str(index))) for index, new in news])
    replayed = await _replayed([outcome for outcome in outcomes if isinstance(outcome, Accepted)])
    for (index, new), outcome in zip(news, outcomes, strict=True):
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            results[index] = _shown(new, outcome, replayed)
        except GraphookError as failure:
            results[index] = _refused(failure, index)
    return MessageCreateBatchPayload(results=[result for result in results if result is not None])


@mutation(MessageExpungeContentPayload, Scope.MANAGE, organisation=True)
async def expunge_content(info: Info, app_id: strawberry.ID, message_id: strawberry.ID) -> MessageExpungeContentPayload:
    """Forget a message's payload now. Deliveries that still wait for it are canceled; the message stays listed."""
    row = await Row.load(await Application.load(info.context.caller, str(app_id)), str(message_id))
    await row.expunge()
    return MessageExpungeContentPayload(message=Message.of(row))


async def _replayed(outcomes: Sequence[Accepted]) -> dict[str, Row]:
    """The earlier messages, all of one application, that idempotency keys named, by id."""
    earlier = [outcome for outcome in outcomes if outcome.replayed]
    return await Row.load_many(earlier[0].app_id, [outcome.message_id for outcome in earlier]) if earlier else {}


def _shown(new: NewMessage, accepted: Accepted, replayed: Mapping[str, Row]) -> MessageCreatePayload:
    """The payload of a message. Raises `NotFound` when the one that its idempotency key names is past its retention."""
    if accepted.replayed:
        row = replayed.get(accepted.message_id)
        if row is None:
            raise NotFound(f"The message {accepted.message_id}, which this idempotency key made, is gone.", ("idempotencyKey",))
    else:
        row = Row(
            id=new.id,
            org_id=new.org_id,
            app_id=accepted.app_id,
            event_type=new.event_type,
            event_id=new.event_id,
            channels=new.channels,
            tags=new.tags,
            created_at=new.created_at,
            expires_at=new.created_at + new.retention,
            deliver_at=new.deliver_at,
        )
    return MessageCreatePayload(message=Message.of(row), created=not accepted.replayed)


async def _sent(info: Info, app: str, message_id: str) -> Row:
    """The message that an idempotency key made. Raises `NotFound` when it is past its retention, or its application is not there any more."""
    row = (await Row.load_many((await Application.load(info.context.caller, app)).id, [message_id])).get(message_id)
    if row is None:
        raise NotFound(f"The message {message_id}, which this idempotency key made, is gone.", ("idempotencyKey",))
    return row


async def _refused_or_sent(info: Info, app: str, key: IdempotencyKey | None, failure: GraphookError, index: int) -> MessageCreatePayload:
    """The result of a message of a batch that may not be sent now, but may have been before, with its key."""
    try:
        sent = await idempotency.earlier(key)
        if sent is not None:
            return MessageCreatePayload(message=Message.of(await _sent(info, app, sent)), created=False)
    except GraphookError as other:
        return _refused(other, index)
    return _refused(failure, index)


def _refused(failure: GraphookError, index: int) -> MessageCreatePayload:
    """The failure of one item of a batch, with paths that name the item."""
    errors = user_errors(failure)
    if errors is None:
        raise failure
    for error in errors:
        if error.path and error.path[0] == "input":
            error.path = ["inputs", str(index), *error.path[1:]]
    return MessageCreatePayload(errors=errors)
