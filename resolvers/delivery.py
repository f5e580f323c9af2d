"""Operations on deliveries: a message's destinations, an endpoint's messages, and how a message stands with its destinations live."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import strawberry

from graphook.auth import Scope
from models import endpoint_message
from models.application import Application
from models.destination import Destination
from models.endpoint import Endpoint
from models.message import Message as MessageRow
from models.page import MAX_LIMIT, PageRequest
from models.where import Where
from resolvers.message import choose, prime_contents
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.fields import check
from schema.types.delivery import EndpointMessage, EndpointMessageFilter, MessageDestination, MessageStatusEvent


async def page(
    info: Info,
    app_id: strawberry.ID,
    message_id: strawberry.ID,
    paging: Paging,
) -> Connection[MessageDestination]:
    """The endpoints a message goes to and how it stands with each, by endpoint id."""
    info.context.caller.require(Scope.READ)
    request = paging.request("ep_")
    message = await MessageRow.load(await Application.load(info.context.caller, str(app_id)), str(message_id))
    found = await Destination.page(message.id, request)
    return connection(found, lambda row: MessageDestination.of(row, message))


async def page_of_endpoint(
    info: Info,
    app_id: strawberry.ID,
    endpoint_id: strawberry.ID,
    paging: Paging,
    filter: EndpointMessageFilter | None = None,
) -> Connection[EndpointMessage]:
    """The messages that went or are to go to an endpoint, and how each stands with it, newest first."""
    info.context.caller.require(Scope.READ)
    if filter is not None:
        check(filter, ("filter",))
    request = paging.request("msg_")
    app = await Application.load(info.context.caller, str(app_id))
    endpoint = await Endpoint.load(app, str(endpoint_id))
    where = Where()
    if filter is not None:
        choose(where, filter, app.id, "d.message_id", "m.")
    found = await endpoint_message.page_of_endpoint(endpoint.id, where, request, None if filter is None else filter.status)
    messages = await MessageRow.load_many(app.id, found.keys)
    await prime_contents(info, list(messages.values()))
    # Retention may have taken one between the two reads.
    found = replace(
        found, items=[row for row in found.items if row.message_id in messages], keys=[key for key in found.keys if key in messages]
    )
    return connection(found, lambda row: EndpointMessage.of(row, messages[row.message_id]))


async def watch(info: Info, app_id: strawberry.ID, message_id: strawberry.ID) -> AsyncGenerator[MessageStatusEvent, None]:
    """How a message stands with its destinations: now, and after every change. Completes when all are final."""
    info.context.caller.require(Scope.READ)
    message = await MessageRow.load(await Application.load(info.context.caller, str(app_id)), str(message_id))
    shown: list[Destination] | None = None

    async def look() -> tuple[bool, list[Destination]]:
        # Asked first: what is shown with `done` is how it ended.
        done = await Destination.are_final(message.id)
        return done, (await Destination.page(message.id, PageRequest(limit=MAX_LIMIT))).items

    async for done, rows in info.context.services.attempts.watch(info.context.caller.org_id, message.app_id, look):
        if done or rows != shown:
            shown = rows
            yield MessageStatusEvent(done=done, destinations=[MessageDestination.of(row, message) for row in rows])
        if done:
            return
