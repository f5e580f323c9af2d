"""Operations on the message stream: reading it, following it, and as a consumer whose place is remembered."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from graphook import database, rules
from graphook.auth import Scope
from graphook.errors import InvalidInput
from graphook.feed import Position
from models import message_consumer
from models.application import Application
from models.cursor import START
from models.feeds import MESSAGE, MESSAGES
from models.message_stream import StreamPage, Wanted, place_of, read_page
from models.where import Where
from resolvers.expected import mutation
from resolvers.message import choose, prime_contents
from schema.connection import Limit, Paging
from schema.context import Info, one_of
from schema.fields import check, check_value
from schema.types.message import Message, MessageFilter
from schema.types.message_stream import (
    MessageEvent,
    MessageStream,
    MessageStreamCommitPayload,
    MessageStreamPollPayload,
    MessageStreamSeekPayload,
    StreamStart,
)

Place = Annotated[str | None, strawberry.argument(description="The iterator of the last answer, to go on behind it.")]
Start = Annotated[
    StreamStart | None,
    strawberry.argument(description="Where to begin, instead of an iterator or a time; without any of them with the oldest message."),
]
Since = Annotated[
    datetime | None,
    strawberry.argument(
        description="Only messages accepted at or after this; without an iterator the stream begins there, not with the oldest."
    ),
]
EventTypes = Annotated[list[str] | None, strawberry.argument(description="Only messages of these event types.")]
Channels = Annotated[list[str] | None, strawberry.argument(description="Only messages of any of these channels.")]
ConsumerId = Annotated[strawberry.ID, strawberry.argument(description="Your name for the consumer, unique within the application.")]


async def page(
    info: Info,
    app_id: strawberry.ID,
    limit: Limit = UNSET,
    iterator: Place = None,
    start: Start = None,
    since: Since = None,
    event_types: EventTypes = None,
    channels: Channels = None,
) -> MessageStream:
    """The application's messages in the order in which they were committed. Keep the iterator and poll: nothing is missed or comes twice."""
    info.context.caller.require(Scope.READ)
    wanted, size = _wanted(event_types, channels, since), Paging(limit=limit).request(MESSAGE).limit
    place = await _place(info, iterator, start, since)
    app = await Application.load(info.context.caller, str(app_id))
    return await _read(info, app.id, place, size, wanted)


async def organisation_page(
    info: Info,
    limit: Limit = UNSET,
    iterator: Place = None,
    start: Start = None,
    since: Since = None,
    event_types: EventTypes = None,
    channels: Channels = None,
) -> MessageStream:
    """The messages of all applications of the organisation in the order in which they were committed."""
    info.context.caller.require(Scope.READ)
    info.context.caller.require_organisation()
    wanted, size = _wanted(event_types, channels, since), Paging(limit=limit).request(MESSAGE).limit
    return await _read(info, info.context.caller.org_id, await _place(info, iterator, start, since), size, wanted)


async def watch(
    info: Info,
    app_id: Annotated[
        strawberry.ID | None, strawberry.argument(description="The application's id or uid; all of them when absent.")
    ] = None,
    filter: MessageFilter | None = None,
    after: Annotated[
        str | None,
        strawberry.argument(
            description="A cursor of an earlier event, of a list or of a stream, to go on behind it; from now on when absent."
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        strawberry.argument(
            description="Only messages accepted at or after this; without `after`, those that are there already come first."
        ),
    ] = None,
) -> AsyncGenerator[MessageEvent, None]:
    """Messages as they are accepted. Resumed with `after`, nothing is missed and nothing comes twice."""
    caller, services = info.context.caller, info.context.services
    caller.require(Scope.READ)
    if filter is not None:
        check(filter, ("filter",))
    if app_id is None:
        caller.require_organisation()
    key = caller.org_id if app_id is None else (await Application.load(caller, str(app_id))).id
    chosen = Where()
    if filter is not None:
        choose(chosen, filter, key, "id")
    position = None if since is None else await place_of(since)
    if after is not None:
        async with database.read() as session:
            position = await services.cursors.read(session, after, MESSAGE)
    async for event in services.messages.follow(caller.org_id, key, position):
        if (since is None or event.item.created_at >= since) and chosen.holds(event.item):
            yield MessageEvent(cursor=services.cursors.write(event.position, MESSAGE), message=Message.of(event.item))


@mutation(MessageStreamPollPayload, Scope.MANAGE)
async def poll(
    info: Info,
    app_id: strawberry.ID,
    consumer_id: ConsumerId,
    limit: Limit = UNSET,
    lease_seconds: Annotated[int, strawberry.argument(description="How long the batch is yours, 1 to 3600 seconds.")] = 30,
    start: Annotated[
        StreamStart | None,
        strawberry.argument(
            description="Where a consumer begins that never polled, instead of a time; without either with the oldest message."
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        strawberry.argument(
            description="Only messages accepted at or after this; a consumer that never polled begins there, not with the oldest."
        ),
    ] = None,
    event_types: EventTypes = None,
    channels: Channels = None,
) -> MessageStreamPollPayload:
    """Lease the next messages to a consumer whose place is remembered; commit them when they are dealt with.

    While a batch is out, nobody else gets it. One that is not committed when its lease ends is given out again. What the filters leave out is passed over.
    """
    # A place that is remembered is written, and what is leased is read.
    info.context.caller.require(Scope.READ)
    wanted, size = _wanted(event_types, channels, since), Paging(limit=limit).request(MESSAGE).limit
    check_value(rules.LEASE_SECONDS, lease_seconds, ("leaseSeconds",))
    app, name = await _consumer(info, app_id, consumer_id)
    cursors = info.context.services.cursors
    begin = await _place(info, None, start, since)
    batch = await message_consumer.poll(cursors, app.id, name, begin, wanted, limit=size, lease_us=lease_seconds * 1_000_000)
    return MessageStreamPollPayload(message_stream=await _shown(info, batch.page), leased_until=batch.leased_until)


@mutation(MessageStreamCommitPayload, Scope.MANAGE)
async def commit(
    info: Info,
    app_id: strawberry.ID,
    consumer_id: ConsumerId,
    iterator: Annotated[str, strawberry.argument(description="The iterator of the batch.")],
) -> MessageStreamCommitPayload:
    """Say that a consumer's batch is dealt with. Repeating does nothing."""
    app, name = await _consumer(info, app_id, consumer_id)
    await message_consumer.commit(info.context.services.cursors, app.id, name, iterator)
    return MessageStreamCommitPayload(iterator=iterator)


@mutation(MessageStreamSeekPayload, Scope.MANAGE)
async def seek(
    info: Info,
    app_id: strawberry.ID,
    consumer_id: ConsumerId,
    iterator: Annotated[str | None, strawberry.argument(description="Any iterator of the application's messages …")] = None,
    start: Annotated[StreamStart | None, strawberry.argument(description="… or one of the ends …")] = None,
    since: Annotated[
        datetime | None,
        strawberry.argument(
            description="… or shortly before the first message accepted at or after this: poll with the same to leave out older ones."
        ),
    ] = None,
) -> MessageStreamSeekPayload:
    """Move a consumer to another place (give exactly one). A batch that is out is not its any more."""
    one_of(("iterator",), iterator=iterator, start=start, since=since)
    app, name = await _consumer(info, app_id, consumer_id)
    place = await _place(info, iterator, start, since)
    return MessageStreamSeekPayload(iterator=await message_consumer.seek(info.context.services.cursors, app.id, name, place))


def _wanted(event_types: list[str] | None, channels: list[str] | None, since: datetime | None) -> Wanted:
    if event_types is not None:
        check_value(rules.EVENT_TYPES, event_types, ("eventTypes",))
    if channels is not None:
        check_value(rules.CHANNELS, channels, ("channels",))
    return Wanted(event_types, channels, since)


async def _place(info: Info, iterator: str | None, start: StreamStart | None, since: datetime | None) -> Position:
    if start is not None and (iterator is not None or since is not None):
        other = "since" if iterator is None else "iterator"
        raise InvalidInput(f"start and {other} both say where to begin; give one of them.", ("start",))
    if iterator is not None:
        async with database.read() as session:
            return await info.context.services.cursors.read(session, iterator, MESSAGE, ("iterator",))
    if start is StreamStart.NEWEST:
        return await MESSAGES.head()
    return START if since is None else await place_of(since)


async def _consumer(info: Info, app_id: strawberry.ID, consumer_id: strawberry.ID) -> tuple[Application, str]:
    check_value(rules.CONSUMER, str(consumer_id), ("consumerId",))
    return await Application.load(info.context.caller, str(app_id)), str(consumer_id)


async def _read(info: Info, key: str, after: Position, limit: int, wanted: Wanted) -> MessageStream:
    async with database.read() as session:
        found = await read_page(session, key, after, limit, wanted)
    return await _shown(info, found)


async def _shown(info: Info, found: StreamPage) -> MessageStream:
    await prime_contents(info, found.messages)
    return MessageStream.of(found, info.context.services.cursors.write(found.position, MESSAGE))
