"""Operations on event types."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry import UNSET

from graphook import event_schemas, rules
from graphook.auth import Scope
from graphook.errors import InvalidInput, NotFound
from graphook.event_schemas import newest
from graphook.schema_check import BadSchema, SchemaCheck
from models import idempotency
from models.event_type import EventType as Row
from resolvers.expected import lookup, mutation
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.fields import check, check_value, faults, given, refuse
from schema.types.event_type import (
    EventType,
    EventTypeCreatePayload,
    EventTypeDeletePayload,
    EventTypeIn,
    EventTypePatch,
    EventTypePatchPayload,
    EventTypeUpdate,
    EventTypeUpdatePayload,
    EventTypeUpdateRetrySchedulePayload,
    RetrySchedule,
    RetryScheduleIn,
)
from schema.types.ordering import Ordering


@lookup
async def get(info: Info, name: str) -> EventType | None:
    """The event type of that name; null when there is none."""
    return EventType.of(await Row.load(info.context.caller, name))


async def page(
    info: Info,
    paging: Paging,
    order: Ordering = Ordering.ASCENDING,
    include_archived: bool = False,
) -> Connection[EventType]:
    """The event types by name."""
    info.context.caller.require(Scope.READ)
    request = paging.request(None)
    found = await Row.page(info.context.caller, request, include_archived=include_archived, descending=order is Ordering.DESCENDING)
    return connection(found, EventType.of)


@mutation(EventTypeCreatePayload, Scope.MANAGE, organisation=True)
async def create(info: Info, input: EventTypeIn, idempotency_key: str | None = None) -> EventTypeCreatePayload:
    """Create an event type, or bring an archived one of that name back with these values."""
    await _check(input)
    caller, values, was_new = info.context.caller, given(input), False
    await require_checkable(values)

    async def add() -> str:
        nonlocal was_new
        was_new = True
        return (await Row.add(caller, values)).name

    name = await idempotency.once(info.context.idempotency(info, idempotency_key, {"input": values}), add)
    return EventTypeCreatePayload(event_type=EventType.of(await idempotency.made(Row.load(caller, name))), created=was_new)


@mutation(EventTypeUpdatePayload, Scope.MANAGE, organisation=True)
async def update(info: Info, name: str, input: EventTypeUpdate) -> EventTypeUpdatePayload:
    """Replace all of an event type but its name, or create it when there is none."""
    await _check(input)
    check_value(rules.EVENT_TYPE, name, ("name",))
    await require_checkable(given(input))
    try:
        row = await Row.load(info.context.caller, name)
    except NotFound:
        row = await Row.add(info.context.caller, {"name": name, **given(input)})
        return EventTypeUpdatePayload(event_type=EventType.of(row), created=True)
    return EventTypeUpdatePayload(event_type=EventType.of(await row.change(given(input))))


@mutation(EventTypePatchPayload, Scope.MANAGE, organisation=True)
async def patch(info: Info, name: str, input: EventTypePatch) -> EventTypePatchPayload:
    """Change parts of an event type."""
    await _check(input)
    row = await Row.load(info.context.caller, name)
    values = given(input)
    await require_checkable(values, row)
    return EventTypePatchPayload(event_type=EventType.of(await row.change(values)))


@lookup
async def retry_schedule(info: Info, name: str) -> RetrySchedule | None:
    """When failed deliveries of the event type are tried again; null when there is no such event type."""
    return RetrySchedule(retry_schedule=(await Row.load(info.context.caller, name)).retry_schedule)


@mutation(EventTypeUpdateRetrySchedulePayload, Scope.MANAGE, organisation=True)
async def update_retry_schedule(info: Info, name: str, input: RetryScheduleIn) -> EventTypeUpdateRetrySchedulePayload:
    """Choose when failed deliveries of the event type are tried again; null goes back to the service's schedule."""
    check(input)
    row = await Row.load(info.context.caller, name)
    await row.change(given(input))
    return EventTypeUpdateRetrySchedulePayload(
        event_type=EventType.of(row), retry_schedule=RetrySchedule(retry_schedule=row.retry_schedule)
    )


@mutation(EventTypeDeletePayload, Scope.MANAGE, organisation=True)
async def delete(info: Info, name: str, expunge: bool = False) -> EventTypeDeletePayload:
    """Archive an event type; with expunge, forget it."""
    row = await Row.load(info.context.caller, name)
    await row.remove(expunge=expunge)
    return EventTypeDeletePayload(deleted_id=strawberry.ID(row.id))


async def require_checkable(values: Mapping[str, Any], row: Row | None = None, path: rules.Path = ("input",)) -> None:
    """Raise `InvalidInput` unless payloads can be held against the newest schema, where they must fit it."""
    wanted = values.get("validate_payload", row is not None and row.validate_payload)
    schemas = values.get("schemas", row.schemas if row is not None else None)
    version = newest(schemas)
    if not wanted or schemas is None or version is None:
        return
    try:
        await asyncio.to_thread(SchemaCheck, schemas[version])
    except BadSchema as error:
        where = ("schemas", version, *error.path) if "schemas" in values else ("validatePayload",)
        raise InvalidInput(f"Payloads cannot be held against this schema: {error.message}.", (*path, *where)) from None


async def _check(data: Any) -> None:
    def all_faults() -> list[InvalidInput]:
        found = list(faults(data))
        if data.schemas not in (None, UNSET):
            found += event_schemas.faults(data.schemas, ("input", "schemas"))
        return found

    # A thread of its own: a large schema takes a second, and everybody else is served meanwhile.
    refuse(iter(await asyncio.to_thread(all_faults)))
