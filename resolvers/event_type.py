"""Operations on event types."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator as Iterate
from typing import Any

import strawberry
from strawberry import UNSET

from graphook import json_schema, rules, strict_json
from graphook.auth import Scope
from graphook.errors import InvalidInput, NotFound
from models import idempotency
from models.event_type import EventType as Row
from resolvers.expected import mutation
from schema.connection import After, Before, Connection, First, Iterator, Last, Limit, connection, page_request
from schema.context import Info
from schema.fields import check_value, faults, given, refuse
from schema.types.event_type import (
    EventType,
    EventTypeCreatePayload,
    EventTypeDeletePayload,
    EventTypeIn,
    EventTypePatch,
    EventTypePatchPayload,
    EventTypeUpdate,
    EventTypeUpdatePayload,
)
from schema.types.ordering import Ordering

MAX_SCHEMAS = 256 * 1024


async def get(info: Info, name: str) -> EventType | None:
    """The event type of that name; null when there is none."""
    info.context.caller.require(Scope.READ)
    try:
        return EventType.of(await Row.load(info.context.caller, name))
    except NotFound:
        return None


async def page(
    info: Info,
    first: First = UNSET,
    after: After = UNSET,
    last: Last = UNSET,
    before: Before = UNSET,
    limit: Limit = UNSET,
    iterator: Iterator = UNSET,
    order: Ordering = Ordering.ASCENDING,
    include_archived: bool = False,
) -> Connection[EventType]:
    """The event types by name."""
    info.context.caller.require(Scope.READ)
    request = page_request(None, first=first, after=after, last=last, before=before, limit=limit, iterator=iterator)
    found = await Row.page(info.context.caller, request, include_archived=include_archived, descending=order is Ordering.DESCENDING)
    return connection(found, EventType.of)  # type: ignore[no-any-return]


@mutation(EventTypeCreatePayload, Scope.MANAGE, organisation=True)
async def create(info: Info, input: EventTypeIn, idempotency_key: str | None = None) -> EventTypeCreatePayload:
    """Create an event type, or bring an archived one of that name back with these values."""
    await _check(input)
    caller, values, was_new = info.context.caller, given(input), False

    async def add() -> str:
        nonlocal was_new
        was_new = True
        return (await Row.add(caller, values)).name

    name = await idempotency.once(info.context.idempotency(info, idempotency_key, {"input": values}), add)
    return EventTypeCreatePayload(event_type=EventType.of(await Row.load(caller, name)), created=was_new)


@mutation(EventTypeUpdatePayload, Scope.MANAGE, organisation=True)
async def update(info: Info, name: str, input: EventTypeUpdate) -> EventTypeUpdatePayload:
    """Replace all of an event type but its name, or create it when there is none."""
    await _check(input)
    check_value(rules.EVENT_TYPE, name, ("name",))
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
    return EventTypePatchPayload(event_type=EventType.of(await row.change(given(input))))


@mutation(EventTypeDeletePayload, Scope.MANAGE, organisation=True)
async def delete(info: Info, name: str, expunge: bool = False) -> EventTypeDeletePayload:
    """Archive an event type; with expunge, forget it."""
    row = await Row.load(info.context.caller, name)
    await row.remove(expunge=expunge)
    return EventTypeDeletePayload(deleted_id=strawberry.ID(row.id))


async def _check(data: Any) -> None:
    def all_faults() -> list[InvalidInput]:
        found = list(faults(data))
        if data.schemas not in (None, UNSET):
            found += _schema_faults(data.schemas, ("input", "schemas"))
        return found

    # A thread of its own: a large schema takes a second, and everybody else is served meanwhile.
    refuse(iter(await asyncio.to_thread(all_faults)))


def _schema_faults(schemas: Any, path: rules.Path) -> Iterate[InvalidInput]:
    """Each version's schema must be a valid JSON Schema of the draft that it names (Draft 7 when it names none)."""
    if not isinstance(schemas, dict) or not all(isinstance(schema, dict) for schema in schemas.values()):
        yield InvalidInput("schemas is an object of JSON Schemas by version.", path)
        return
    if len(strict_json.dumps(schemas)) > MAX_SCHEMAS:
        yield InvalidInput(f"schemas has more than {MAX_SCHEMAS} bytes as JSON.", path)
        return
    if not rules.is_storable(schemas):
        yield InvalidInput("schemas holds characters that cannot be stored.", path)
        return
    for version, schema in schemas.items():
        found = json_schema.fault(schema)
        if found is not None:
            message, where = found
            yield InvalidInput(f"This is not a valid JSON Schema: {message[:200]}", (*path, version, *where))
