"""An organisation: the tenant that owns applications, event types and tokens (the contract's environment)."""

from __future__ import annotations

from typing import Self

from tortoise import Model, fields

from graphook.clock import now
from graphook.ids import new_id
from models.fields import IdField, TimestampField


class Organisation(Model):
    id = IdField(primary_key=True)
    name = fields.TextField()
    created_at = TimestampField()

    class Meta:
        table = "organisation"

    @classmethod
    async def found(cls, name: str) -> Self:
        """Create an organisation."""
        created_at = now()
        return await cls.create(id=new_id("org_", created_at), name=name, created_at=created_at)

    @classmethod
    async def default(cls) -> Self:
        """The first organisation, created when there is none."""
        return await cls.all().order_by("id").first() or await cls.found("default")
