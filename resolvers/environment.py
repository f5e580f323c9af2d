"""Operations on an organisation's settings and its configuration as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from graphook import database, event_schemas
from graphook.auth import Scope
from graphook.clock import now
from graphook.errors import InvalidInput
from models import idempotency
from models.event_type import EventType as EventTypeRow
from models.organisation_settings import OrganisationSettings as Row
from resolvers.event_type import require_checkable
from resolvers.expected import mutation
from schema.context import Info, selects
from schema.fields import check, faults, given, refuse
from schema.types.environment import (
    Environment,
    EnvironmentImportPayload,
    EnvironmentIn,
    EnvironmentSettings,
    EnvironmentUpdateSettingsPayload,
    Settings,
    SettingsIn,
    stored,
)
from schema.types.event_type import EventType


async def settings(info: Info) -> EnvironmentSettings:
    """How the organisation wants its portal to look and what it offers."""
    info.context.caller.require(Scope.READ)
    return EnvironmentSettings.of(await Row.load(info.context.caller.org_id))


async def export(info: Info) -> Environment:
    """The organisation's event types and settings, to keep or to import elsewhere."""
    info.context.caller.require(Scope.READ)
    info.context.caller.require_organisation()
    return await _environment(info)


@mutation(EnvironmentUpdateSettingsPayload, Scope.MANAGE, organisation=True)
async def update_settings(info: Info, input: SettingsIn) -> EnvironmentUpdateSettingsPayload:
    """Replace the organisation's settings. Those of deliveries act from the next attempt on."""
    check(input)
    return EnvironmentUpdateSettingsPayload(settings=Settings.of(await Row.replace(info.context.caller.org_id, stored(input))))


@mutation(EnvironmentImportPayload, Scope.MANAGE, organisation=True)
async def import_(info: Info, input: EnvironmentIn, idempotency_key: str | None = None) -> EnvironmentImportPayload:
    """Create or replace event types and settings as they were exported, all or nothing. Event types that it does not name stay."""
    # A thread of its own: many schemas take seconds, and everybody else is served meanwhile.
    refuse(iter(await asyncio.to_thread(lambda: list(_faults(input)))))
    caller = info.context.caller
    event_types = [given(item) for item in input.event_types or ()]
    for index, event_type in enumerate(event_types):
        await require_checkable(event_type, path=("input", "eventTypes", str(index)))
    values = None if input.settings is None else stored(input.settings)
    key = info.context.idempotency(info, idempotency_key, {"eventTypes": event_types, "settings": values})

    async def write() -> str:
        async with database.transaction():
            await EventTypeRow.put(caller, event_types)
            if values is not None:
                await Row.replace(caller.org_id, values)
        return caller.org_id

    await idempotency.once(key, write)
    return EnvironmentImportPayload(environment=await _environment(info))


def _faults(data: EnvironmentIn) -> Iterator[InvalidInput]:
    path = ("input", "eventTypes")
    yield from faults(data)
    seen = set()
    for index, item in enumerate(data.event_types or ()):
        if item.name in seen:
            yield InvalidInput(f"eventTypes holds {item.name!r} twice.", (*path, str(index), "name"))
        seen.add(item.name)
        if item.schemas is not None:
            yield from event_schemas.faults(item.schemas, (*path, str(index), "schemas"))


async def _environment(info: Info) -> Environment:
    caller = info.context.caller
    # An export may be imported elsewhere: schemas that are read later could be those of a later version, or gone.
    whole = selects(info, "schemas")
    rows = await (EventTypeRow.filter(org_id=caller.org_id) if whole else EventTypeRow.listed(caller.org_id)).order_by("name")
    saved = await Row.filter(org_id=caller.org_id).first()
    return Environment(
        created_at=now(), event_types=[EventType.of(row) for row in rows], settings=None if saved is None else Settings.of(saved)
    )
