"""Operations on event types."""

from __future__ import annotations

from collections.abc import Iterator as Iterate
from typing import Any

import strawberry
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError
from strawberry import UNSET

from graphook import rules
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
    _check(input)
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
    _check(input)
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
    _check(input)
    row = await Row.load(info.context.caller, name)
    return EventTypePatchPayload(event_type=EventType.of(await row.change(given(input))))


@mutation(EventTypeDeletePayload, Scope.MANAGE, organisation=True)
async def delete(info: Info, name: str, expunge: bool = False) -> EventTypeDeletePayload:
    """Archive an event type; with expunge, forget it."""
    row = await Row.load(info.context.caller, name)
    await row.remove(expunge=expunge)
    return EventTypeDeletePayload(deleted_id=strawberry.ID(row.id))


def _check(data: Any) -> None:
    def all_faults() -> Iterate[InvalidInput]:
        yield from faults(data)
        if data.schemas not in (None, UNSET):
            yield from _schema_faults(data.schemas, ("input", "schemas"))

    refuse(all_faults())


def _schema_faults(schemas: Any, path: rules.Path) -> Iterate[InvalidInput]:
    """Each version's schema must be a valid JSON Schema of the draft that it names (Draft 7 when it names none)."""
    if not isinstance(schemas, dict) or not all(isinstance(schema, dict) for schema in schemas.values()):
        yield InvalidInput("schemas is an object of JSON Schemas by version.", path)
        return
    for version, schema in schemas.items():
        validator = Draft202012Validator if "2020-12" in str(schema.get("$schema", "")) else Draft7Validator
        try:
            validator.check_schema(schema)
        except SchemaError as error:
            where = tuple(str(step) for step in error.absolute_path)
            yield InvalidInput(f"This is not a valid JSON Schema: {error.message[:200]}", (*path, version, *where))
