"""What may be written of an endpoint: what is asked of it beyond the rules of single values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from strawberry import UNSET

from graphook.errors import InvalidInput, InvalidInputs
from graphook.headers import check_headers
from graphook.signing import parse_secret
from graphook.ssrf import Policy, check_url
from models.application import Application
from models.delivery_policy import merged
from models.endpoint import Endpoint as Row
from models.event_type import EventType
from models.operational_type import OperationalType
from models.organisation_settings import OrganisationSettings
from models.template import Template
from schema.context import Info
from schema.fields import faults, given, refuse
from schema.types.endpoint import EndpointPatch, EndpointUpdate


async def require_room(info: Info, app: Application) -> None:
    """Raise `LimitExceeded` when the application has as many endpoints as it may."""
    await Row.require_room(app, info.context.services.settings.endpoints_per_application)


async def url_policy(info: Info) -> Policy:
    """What URLs the operator allows, and the organisation's settings."""
    settings = await OrganisationSettings.load(info.context.caller.org_id)
    policy = info.context.services.policy
    return replace(policy, https_only=True) if settings.enforce_https else policy


def check_values(policy: Policy, data: Any) -> None:
    """Raise `InvalidInputs` with everything that breaks a rule of values, of URLs or of headers, or for a secret that is none."""

    def all_faults() -> Iterator[InvalidInput]:
        yield from faults(data)
        values = given(data)
        if values.get("url"):
            try:
                check_url(values["url"], policy)
            except InvalidInput as fault:
                yield InvalidInput(fault.message, ("input", "url"))
        if values.get("headers") is not None:
            yield from check_headers(values["headers"], ("input", "headers"))

    refuse(all_faults())
    if getattr(data, "secret", None) not in (None, UNSET):
        check_secret(data.secret, "secret")


def values_of(data: EndpointUpdate | EndpointPatch, row: Row | None = None) -> dict[str, Any]:
    """What to write of an endpoint, with a patch of its policy gone into that of the row.

    The contract lets the version of a whole endpoint be null, which means the default.
    """
    values = given(data)
    if values.get("version", 1) is None:
        values["version"] = 1
    if (policy := values.get("delivery_policy")) is not None:
        values["delivery_policy"] = merged(row.delivery_policy if row else None, given(policy))
    return values


def check_secret(text: str, name: str) -> None:
    """Raise `InvalidInputs` for a field of the input that is no secret."""
    try:
        parse_secret(text)
    except InvalidInput as fault:
        raise InvalidInputs([InvalidInput(fault.message, ("input", name))]) from None


async def require_event_types(
    info: Info, app: Application, values: dict[str, Any], *, template: Template | None = None, before: Row | None = None
) -> None:
    """Raise `InvalidInput` for filter types that there are not, or that the caller may not see and the template has not. What the endpoint had before stays."""
    if app.operational:
        if values.get("channels") is not None:
            raise InvalidInput(
                "Operational messages have no channels: an endpoint that asks for some would get nothing.", ("input", "channels")
            )
        OperationalType.require_known(values.get("filter_types") or (), ("input", "filterTypes"))
    elif values.get("filter_types"):
        await EventType.require_known(
            info.context.caller,
            values["filter_types"],
            ("input", "filterTypes"),
            offered=None if template is None else template.filter_types,
            kept=None if before is None else before.filter_types,
        )
