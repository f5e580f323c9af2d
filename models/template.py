"""A template: code that turns messages into what a kind of receiver wants, from which endpoints get their transformation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Self

from tortoise import Model, fields
from tortoise.expressions import Q
from tortoise.indexes import Index

from graphook.auth import Caller
from graphook.clock import now
from graphook.errors import Forbidden, NotFound
from graphook.ids import is_id, new_id
from graphook.rules import short
from models import built_in_template
from models.fields import IdField, TimestampField, json_field
from models.page import Page, PageRequest, paginate

PREFIX = "trtmpl_"


class TemplateKind(StrEnum):
    """What a template leads to."""

    CUSTOM = "Custom"
    CUSTOMER_IO = "CustomerIO"
    DISCORD = "Discord"
    HUBSPOT = "Hubspot"
    INNGEST = "Inngest"
    SALESFORCE = "Salesforce"
    SEGMENT = "Segment"
    SLACK = "Slack"
    TEAMS = "Teams"
    TRIGGER_DEV = "TriggerDev"
    WINDMILL = "Windmill"
    ZAPIER = "Zapier"


class Template(Model):
    id = IdField(primary_key=True)
    org_id = IdField()
    name = fields.TextField()
    # An absolute URL; of a built-in one the path at this service.
    logo = fields.TextField()
    description = fields.TextField()
    instructions = fields.TextField()
    instructions_link = fields.TextField(null=True)
    kind = fields.TextField()
    transformation = fields.TextField()
    feature_flag = IdField(null=True)
    filter_types: list[str] | None = json_field(null=True)
    created_at = TimestampField()
    updated_at = TimestampField()

    class Meta:
        table = "template"
        indexes = (Index(fields=("org_id", "id")),)

    @classmethod
    async def load(cls, caller: Caller, template_id: str, path: tuple[str, ...] = ("id",)) -> Self:
        """The organisation's template of that id, or the built-in one, if the caller may see it. Raises `NotFound`."""
        found = await cls.find(caller, [template_id]) if is_id(template_id, PREFIX) else []
        if not found:
            raise NotFound(f"There is no template {short(template_id)}.", path)
        return found[0]

    @classmethod
    async def find(cls, caller: Caller, ids: Collection[str]) -> list[Self]:
        """Those of the templates that the caller may see, in no order."""
        rows = [row for row in cls._built_in(caller).values() if row.id in ids]
        rows += await cls.filter(id__in=list(ids), org_id=caller.org_id)
        return [row for row in rows if row.is_visible_to(caller)]

    @property
    def built_in(self) -> bool:
        """Whether it comes with the service: the same for everybody, and nobody's to change."""
        return self.id in built_in_template.IDS

    def is_visible_to(self, caller: Caller) -> bool:
        """An application's token sees a template behind a feature flag only if it carries the flag."""
        return caller.app_id is None or self.feature_flag is None or self.feature_flag in caller.feature_flags

    @classmethod
    async def page(cls, caller: Caller, request: PageRequest, *, descending: bool = False) -> Page[Self]:
        """The templates that the caller may see, by id: the built-in ones are the oldest."""
        own = cls.filter(org_id=caller.org_id)
        if caller.app_id is not None:
            own = own.filter(Q(feature_flag=None) | Q(feature_flag__in=sorted(caller.feature_flags)))

        async def fetch(cursor: str | None, down: bool, limit: int) -> list[Self]:
            beyond: dict[str, Any] = {} if cursor is None else {f"id__{'lt' if down else 'gt'}": cursor}
            rows = await own.filter(**beyond).order_by("-id" if down else "id").limit(limit)
            rows += [row for row in cls._built_in(caller).values() if cursor is None or (row.id < cursor if down else row.id > cursor)]
            return sorted(rows, key=lambda row: row.id, reverse=down)[:limit]

        return await paginate(fetch, lambda row: row.id, request, descending)

    @classmethod
    async def add(cls, caller: Caller, values: Mapping[str, Any]) -> Self:
        """Create a template of the organisation."""
        created_at = now()
        return await cls.create(id=new_id(PREFIX, created_at), org_id=caller.org_id, created_at=created_at, updated_at=created_at, **values)

    async def change(self, values: Mapping[str, Any]) -> Self:
        """Write new values. Raises `Forbidden` for a built-in one, and `NotFound` when it was deleted meanwhile."""
        self._require_own()
        changed = {**values, "updated_at": now()}
        if not await type(self).filter(id=self.id, org_id=self.org_id).update(**changed):
            raise NotFound(f"The template {self.id} was deleted meanwhile.", ("id",))
        return self.update_from_dict(changed)

    async def remove(self) -> None:
        """Delete it; endpoints keep the code they got from it. Raises `Forbidden` for a built-in one."""
        self._require_own()
        await type(self).filter(id=self.id, org_id=self.org_id).delete()

    def _require_own(self) -> None:
        if self.built_in:
            raise Forbidden("A built-in template cannot be changed; create one of your own with its code.", ("id",))

    @classmethod
    def _built_in(cls, caller: Caller) -> dict[str, Self]:
        return {values["id"]: cls(org_id=caller.org_id, **values) for values in built_in_template.listed()}
