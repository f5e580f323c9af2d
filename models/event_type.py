"""An event type: a kind of thing that happens, with its schemas, listed in the organisation's catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Self

from tortoise import Model, fields
from tortoise.exceptions import IntegrityError
from tortoise.queryset import QuerySet

from graphook import database
from graphook.auth import Caller
from graphook.clock import now
from graphook.database import Statement
from graphook.errors import Conflict, InvalidInput, LimitExceeded, NotFound
from graphook.ids import new_id
from graphook.rules import could_be_reference, short
from models.fields import IdField, TimestampField, json_field
from models.message import TOO_MUCH_CONTENT
from models.page import Page, PageRequest
from models.where import Where, page_of

_SCHEMAS = """
    SELECT id, total, CASE WHEN total <= $2 THEN schemas END AS schemas FROM (
        SELECT id, {schemas} AS schemas, sum({bytes}) OVER () AS total FROM event_type
        WHERE id = ANY($1::text[]) AND schemas IS NOT NULL) kept"""
# ids, the most bytes that are answered → the schemas as the database keeps them, and how many bytes they have together.
SCHEMAS = Statement(
    postgresql=_SCHEMAS.format(schemas="schemas::text", bytes="octet_length(schemas::text)"),
    sqlite=Statement.same(_SCHEMAS.format(schemas="schemas", bytes="length(CAST(schemas AS BLOB))")).sqlite,
)


class EventType(Model):
    id = IdField(primary_key=True)
    org_id = IdField()
    name = IdField()
    description = fields.TextField()
    schemas: dict[str, Any] | None = json_field(null=True)
    feature_flag = IdField(null=True)
    archived = fields.BooleanField(default=False)
    deprecated = fields.BooleanField(default=False, db_default=False)
    group_name = IdField(null=True)
    # Whether payloads must fit the schema of the highest version.
    validate_payload = fields.BooleanField(default=False, db_default=False)
    # Seconds after each failed try; null for the service's.
    retry_schedule: list[float] | None = json_field(null=True)
    created_at = TimestampField()
    updated_at = TimestampField()

    class Meta:
        table = "event_type"
        unique_together = (("org_id", "name"),)

    @classmethod
    async def load(cls, caller: Caller, name: str, path: tuple[str, ...] = ("name",)) -> Self:
        """The organisation's event type of that name, if the caller may see it. Raises `NotFound`."""
        found = await Where().equal("org_id", caller.org_id).equal("name", name).load(cls) if could_be_reference(name) else []
        if not found or not found[0].is_visible_to(caller):
            raise NotFound(f"There is no event type {short(name)}.", path)
        return found[0]

    def is_visible_to(self, caller: Caller) -> bool:
        """An application's token sees an event type behind a feature flag only if it carries the flag."""
        return caller.app_id is None or self.feature_flag is None or self.feature_flag in caller.feature_flags

    @classmethod
    def listed(cls, org_id: str) -> QuerySet[Self]:
        """The organisation's event types, each without its schemas: those of many are too much to be read for nothing."""
        return cls.filter(org_id=org_id).only(*(name for name in cls._meta.db_fields if name != "schemas"))

    @staticmethod
    async def schemas_of(rows: Sequence[EventType], most: int) -> Mapping[str, bytes]:
        """The schemas of event types as JSON, by id, without those that have none. Raises `LimitExceeded` when they have more than `most` bytes together."""
        async with database.read() as session:
            found = await session.fetch(SCHEMAS, [row.id for row in rows], most)
        if found and found[0]["total"] > most:
            raise LimitExceeded(TOO_MUCH_CONTENT)
        return {row["id"]: row["schemas"].encode() for row in found}

    @classmethod
    async def page(cls, caller: Caller, request: PageRequest, *, include_archived: bool = False, descending: bool = False) -> Page[Self]:
        """The event types that the caller may see, by name."""
        where = Where().equal("org_id", caller.org_id)
        if not include_archived:
            where.raw("NOT archived")
        if caller.app_id is not None:
            flags = sorted(caller.feature_flags)
            where.raw(f"(feature_flag IS NULL{' OR feature_flag = ?' * len(flags)})", *flags)
        return await page_of(cls, where, request, descending=descending, key="name", without=("schemas",))

    @classmethod
    async def add(cls, caller: Caller, values: Mapping[str, Any]) -> Self:
        """Create an event type, or bring an archived one of that name back with the new values. Raises `Conflict` when a live one exists."""
        taken = Conflict(f"An event type {values['name']!r} exists already.", ("input", "name"))
        created_at = now()
        try:
            async with database.transaction():
                # Of two that bring it back at once, the second finds that it is live.
                archived = await cls.filter(org_id=caller.org_id, name=values["name"], archived=True).select_for_update().first()
                if archived is not None:
                    return await archived.change({**values, "archived": values.get("archived", False)})
                return await cls.create(
                    id=new_id("evtype_", created_at), org_id=caller.org_id, created_at=created_at, updated_at=created_at, **values
                )
        except IntegrityError as error:
            raise taken from error

    @classmethod
    async def put(cls, caller: Caller, listed: Sequence[Mapping[str, Any]]) -> None:
        """Create or replace event types by name, archived or not; each of `listed` has the same fields."""
        if not listed:
            return
        created_at = now()
        rows = [
            cls(id=new_id("evtype_", created_at), org_id=caller.org_id, created_at=created_at, updated_at=created_at, **values)
            for values in sorted(listed, key=lambda values: values["name"])
        ]
        changed = [*(name for name in listed[0] if name != "name"), "updated_at"]
        await cls.bulk_create(rows, on_conflict=["org_id", "name"], update_fields=changed)

    async def change(self, values: Mapping[str, Any]) -> Self:
        """Write new values. Raises `NotFound` when it was forgotten meanwhile."""
        async with database.transaction():
            if not await type(self).filter(id=self.id).select_for_update():
                raise NotFound(f"The event type {self.name} was deleted meanwhile.")
            self.update_from_dict({**values, "updated_at": now()})
            await self.save(update_fields=[*values, "updated_at"])
        return self

    async def remove(self, *, expunge: bool = False) -> None:
        """Archive the event type; with `expunge`, forget it."""
        if expunge:
            await self.delete()
        else:
            await self.change({"archived": True})

    @classmethod
    async def require_known(
        cls,
        caller: Caller,
        names: Iterable[str],
        path: tuple[str, ...],
        *,
        offered: Collection[str] | None = None,
        kept: Collection[str] | None = None,
    ) -> None:
        """Raise `InvalidInput` naming those of `names` that are not live event types that the caller may see.

        `offered` may be chosen by whoever may not see them; `kept` are chosen already, and stay whatever has become of them.
        """
        wanted = list(names)
        rows = await cls.filter(org_id=caller.org_id, name__in=wanted, archived=False).only("id", "name", "feature_flag")
        known = {row.name for row in rows if row.name in (offered or ()) or row.is_visible_to(caller)}.union(kept or ())
        missing = [name for name in wanted if name not in known]
        if missing:
            shown = ", ".join(missing[:10])
            raise InvalidInput(f"These event types do not exist or are archived: {shown}.", (*path, str(wanted.index(missing[0]))))
