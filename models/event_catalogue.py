"""An organisation's whole catalogue of event types: written, and read, at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphook import database
from graphook.auth import Caller
from graphook.clock import now, to_us
from graphook.database import Session, Statement
from graphook.ids import new_id
from models.event_type import EventType
from models.fields import dump_nullable

COLUMNS = ("name", "description", "schemas", "deprecated", "feature_flag", "group_name", "validate_payload", "retry_schedule")

_COLUMNS = """
    INSERT INTO event_type (id, org_id, name, description, schemas, deprecated, feature_flag, group_name, validate_payload, retry_schedule,
                            archived, created_at, updated_at)"""
_CHANGE = """
    ON CONFLICT (org_id, name) DO UPDATE SET description = excluded.description, schemas = excluded.schemas, deprecated = excluded.deprecated,
        feature_flag = excluded.feature_flag, group_name = excluded.group_name, validate_payload = excluded.validate_payload,
        retry_schedule = excluded.retry_schedule, archived = excluded.archived, updated_at = excluded.updated_at"""
# (id, org_id, name, description, schemas, deprecated, feature_flag, group_name, validate_payload, retry_schedule, archived, written at)
WRITE = Statement(
    postgresql=f"""{_COLUMNS}
    SELECT w.id, w.org_id, w.name, w.description, w.schemas::jsonb, w.deprecated, w.feature_flag, w.group_name, w.validate_payload,
           w.retry_schedule::jsonb, w.archived, w.written_at, w.written_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::text[], $8::text[], $9::bool[], $10::text[],
                $11::bool[], $12::bigint[])
      AS w(id, org_id, name, description, schemas, deprecated, feature_flag, group_name, validate_payload, retry_schedule, archived, written_at)
    {_CHANGE}""",
    sqlite=f"{_COLUMNS} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12) {_CHANGE}",
)
# organisation id → the bytes of the schemas of its live event types, as the database keeps them: hardly ever twice as many as their JSON has.
_SIZE = "SELECT COALESCE(sum({}), 0) AS size FROM event_type WHERE org_id = $1 AND NOT archived"
SIZE = Statement(
    postgresql=_SIZE.format("octet_length(schemas::text)"), sqlite=Statement.same(_SIZE.format("length(CAST(schemas AS BLOB))")).sqlite
)


async def existing(caller: Caller, names: list[str]) -> dict[str, EventType]:
    """The organisation's event types of those names, archived ones too."""
    return {row.name: row for row in await EventType.filter(org_id=caller.org_id, name__in=names)}


async def write(caller: Caller, wanted: Mapping[str, Mapping[str, Any]], *, archive_others: bool) -> None:
    """Create, change or bring back event types, by name, in one transaction; with `archive_others`, archive every other one.

    Columns that are not given stay as they are.
    """
    changed_at = now()
    async with database.transaction() as session:
        # All that will be written is held in one order: of two imports at once, each may archive what the other changes.
        touched = (
            EventType.filter(org_id=caller.org_id) if archive_others else EventType.filter(org_id=caller.org_id, name__in=sorted(wanted))
        )
        rows = {row.name: row for row in await touched.order_by("name").select_for_update()}
        written = []
        for name, values in sorted(wanted.items()):
            row = rows.get(name) or EventType(name=name, org_id=caller.org_id, id=new_id("evtype_", changed_at))
            row.update_from_dict(dict(values))
            written.append(
                (row.id, row.org_id, name, row.description, dump_nullable(row.schemas), bool(row.deprecated), row.feature_flag, row.group_name,
                 bool(row.validate_payload), dump_nullable(row.retry_schedule), bool(row.archived), to_us(changed_at))
            )  # fmt: skip
        await session.write_rows(WRITE, written)
        if archive_others:
            rest = EventType.filter(org_id=caller.org_id, archived=False).exclude(name__in=sorted(wanted))
            await rest.update(archived=True, updated_at=changed_at)


async def others(caller: Caller, names: list[str]) -> list[str]:
    """The names of the live event types that are not among those."""
    found: list[Any] = await EventType.filter(org_id=caller.org_id, archived=False).exclude(name__in=names).values_list("name", flat=True)
    return sorted(found)


async def size(session: Session, org_id: str) -> int:
    """How many bytes the schemas of the organisation's live event types are, about."""
    return int((await session.fetch(SIZE, org_id))[0]["size"])


async def live(org_id: str) -> list[dict[str, Any]]:
    """The columns of the organisation's live event types, by name."""
    rows = await EventType.filter(org_id=org_id, archived=False).order_by("name")
    return [{column: getattr(row, column) for column in COLUMNS} for row in rows]
