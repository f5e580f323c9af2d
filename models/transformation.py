"""The transformation of an endpoint: JavaScript that each of its deliveries passes before it is signed, with variables that are sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import orjson
from tortoise import Model, fields

from graphook.clock import now
from graphook.errors import InvalidInput
from graphook.secrets import seal, unseal
from models.endpoint import Endpoint
from models.fields import IdField, TimestampField, dump_json
from models.where import Where


class Transformation(Model):
    endpoint_id = IdField(primary_key=True)
    org_id = IdField()
    code = fields.TextField(null=True)
    enabled = fields.BooleanField(default=False)
    # Encrypted and bound to this row: a JSON object of texts.
    variables = fields.TextField()
    updated_at = TimestampField()

    class Meta:
        table = "transformation"

    @classmethod
    async def of(cls, endpoint: Endpoint) -> Self:
        """The endpoint's transformation; where nothing was ever set, one without code that is not saved."""
        found = await Where().equal("endpoint_id", endpoint.id).load(cls)
        return (
            found[0]
            if found
            else cls(
                endpoint_id=endpoint.id,
                org_id=endpoint.org_id,
                variables=seal("transformation.variables", endpoint.id, "{}"),
                updated_at=endpoint.created_at,
            )
        )

    @classmethod
    async def enabled_of(cls, endpoint_ids: Sequence[str]) -> dict[str, Self]:
        """The transformations of those endpoints that deliveries pass, by endpoint id."""
        return {row.endpoint_id: row for row in await Where().any_of("endpoint_id", endpoint_ids).raw("enabled").load(cls)}

    @classmethod
    async def change(cls, endpoint: Endpoint, values: Mapping[str, Any]) -> Self:
        """Write what is given of `code`, `enabled` and `variables`; the next attempt follows it. Without code, nothing is enabled.

        Raises `InvalidInput` for enabling what has no code.
        """
        async with endpoint.locked():
            row = await cls.of(endpoint)
            changed = dict(values)
            if "variables" in changed:
                changed["variables"] = seal("transformation.variables", endpoint.id, dump_json(changed["variables"] or {}))
            if changed.get("code", row.code) is None:
                if changed.get("enabled"):
                    raise InvalidInput("There is no code to enable; set it, too.", ("input", "enabled"))
                changed["enabled"] = False
            row.update_from_dict({**changed, "updated_at": now()})
            await row.save()
            await endpoint.change({})
        return row

    @classmethod
    async def begin(cls, endpoint: Endpoint, code: str, variables: Mapping[str, str]) -> Self:
        """The enabled transformation of a new endpoint; call it in the transaction that creates the endpoint."""
        sealed = seal("transformation.variables", endpoint.id, dump_json(dict(variables)))
        return await cls.create(
            endpoint_id=endpoint.id, org_id=endpoint.org_id, code=code, enabled=True, variables=sealed, updated_at=endpoint.created_at
        )

    def variable_map(self) -> dict[str, str]:
        """The variables in clear."""
        return open_variables(self.endpoint_id, self.variables)


def open_variables(endpoint_id: str, variables: str) -> dict[str, str]:
    """The variables in clear, from a transformation's sealed column."""
    found: dict[str, str] = orjson.loads(unseal("transformation.variables", endpoint_id, variables))
    return found
