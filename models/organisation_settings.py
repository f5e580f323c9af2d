"""An organisation's settings: three that act on deliveries and tokens, and the rest, which its portal shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from tortoise import Model, fields

from graphook import database
from graphook.clock import now, to_us
from graphook.database import Statement
from models.fields import IdField, TimestampField, dump_json, json_field
from models.where import Where

# The columns in order.
REPLACE = Statement.same("""
    INSERT INTO organisation_settings (org_id, enforce_https, read_only, disable_endpoint_on_failure, shown, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id) DO UPDATE SET
        enforce_https = EXCLUDED.enforce_https, read_only = EXCLUDED.read_only,
        disable_endpoint_on_failure = EXCLUDED.disable_endpoint_on_failure, shown = EXCLUDED.shown, updated_at = EXCLUDED.updated_at""")

ACTING = ("enforce_https", "read_only", "disable_endpoint_on_failure")


class OrganisationSettings(Model):
    org_id = IdField(primary_key=True)
    # Endpoints must use https, when they are saved and when they are sent to.
    enforce_https = fields.BooleanField(default=True)
    # Tokens of one application change nothing.
    read_only = fields.BooleanField(default=False)
    # Endpoints that only fail for days are disabled.
    disable_endpoint_on_failure = fields.BooleanField(default=True)
    shown: dict[str, Any] = json_field()
    updated_at = TimestampField()

    class Meta:
        table = "organisation_settings"

    @classmethod
    async def load(cls, org_id: str) -> Self:
        """The organisation's settings; until it has saved any, none of them restricts anything."""
        found = await Where().equal("org_id", org_id).load(cls)
        return found[0] if found else cls(org_id=org_id, enforce_https=False, shown={}, updated_at=now())

    @classmethod
    async def replace(cls, org_id: str, values: Mapping[str, Any]) -> Self:
        """Write all settings: what `values` lacks has its default."""
        acting = {name: values[name] for name in ACTING}
        shown = {name: value for name, value in values.items() if name not in ACTING}
        async with database.transaction() as session:
            await session.fetch(REPLACE, org_id, *acting.values(), dump_json(shown), to_us(now()))
        return await cls.load(org_id)
