"""Operations on endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import strawberry

from graphook import database
from graphook.auth import Capability, Scope
from graphook.errors import NotFound, Unavailable
from graphook.headers import check_headers
from graphook.signing import public_form
from models import idempotency, operational
from models.application import Application
from models.endpoint import Endpoint as Row
from models.template import Template
from models.transformation import Transformation
from resolvers.endpoint_values import check_secret, check_values, require_event_types, require_room, url_policy, values_of
from resolvers.expected import lookup, mutation
from resolvers.upsert import uid_of_changed, uid_of_new
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.fields import check, given, refuse
from schema.types.endpoint import (
    Endpoint,
    EndpointCreatePayload,
    EndpointDeletePayload,
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointPatch,
    EndpointPatchHeadersPayload,
    EndpointPatchPayload,
    EndpointRotateSecretPayload,
    EndpointSecret,
    EndpointSecretRotateIn,
    EndpointUpdate,
    EndpointUpdateHeadersPayload,
    EndpointUpdatePayload,
)
from schema.types.ordering import Ordering

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OfTemplate:
    """What an endpoint is made of: a template, which is loaded where there is something to make, and the variables of its code."""

    id: str
    load: Callable[[], Awaitable[Template]]
    variables: Mapping[str, str] | None


@lookup
async def get(info: Info, app_id: strawberry.ID, id: strawberry.ID) -> Endpoint | None:
    """The application's endpoint of that id or uid; null when there is none."""
    return Endpoint.of(await Row.load(await Application.load(info.context.caller, str(app_id)), str(id), ("id",)))


async def page(
    info: Info,
    app_id: strawberry.ID,
    paging: Paging,
    order: Ordering = Ordering.DESCENDING,
) -> Connection[Endpoint]:
    """The application's endpoints, newest first."""
    info.context.caller.require(Scope.READ)
    request = paging.request("ep_")
    app = await Application.load(info.context.caller, str(app_id))
    found = await Row.page(app, request, descending=order is Ordering.DESCENDING)
    return connection(found, Endpoint.of)


async def secret(info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID) -> EndpointSecret:
    """What the receiver verifies signatures with. Needs the scope secrets."""
    info.context.caller.require(Scope.SECRETS)
    row = await Row.load(await Application.load(info.context.caller, str(app_id)), str(endpoint_id))
    return EndpointSecret(key=public_form(row.secret_text()))


@mutation(EndpointCreatePayload, Scope.MANAGE)
async def create(info: Info, app_id: strawberry.ID, input: EndpointIn, idempotency_key: str | None = None) -> EndpointCreatePayload:
    """Create an endpoint. It gets what is sent from now on."""
    app = await Application.load(info.context.caller, str(app_id))
    endpoint, created = await create_in(info, app, input, idempotency_key)
    return await told(info, EndpointCreatePayload(endpoint=endpoint, created=created))


async def create_in(
    info: Info,
    app: Application,
    input: EndpointIn,
    idempotency_key: str | None,
    of_template: OfTemplate | None = None,
) -> tuple[Endpoint, bool]:
    """Create an endpoint in that application; answers with it and whether it is new.

    With a template, what it gets passes the template's code, and its filter types are the template's unless it has its own.
    """
    values, was_new = values_of(input), False
    held_to = {} if of_template is None else {"templateId": of_template.id, "variables": of_template.variables}
    key = info.context.idempotency(info, idempotency_key, {"appId": app.id, "input": values, **held_to})
    # What may not be created any more, or of a template that is gone, may have been before.
    if (earlier := await idempotency.earlier(key)) is not None:
        return Endpoint.of(await idempotency.made(Row.load(app, earlier))), False
    template = None if of_template is None else await of_template.load()
    check_values(await url_policy(info), input)
    if template is not None and values["filter_types"] is None:
        values["filter_types"] = template.filter_types
    signing_secret, headers = values.pop("secret"), values.pop("headers")

    async def add() -> str:
        nonlocal was_new
        await require_room(info, app)
        await require_event_types(info, app, values, template=template)
        was_new = True
        async with database.transaction():
            row = await Row.add(app, values, secret=signing_secret, headers=headers)
            if template is not None and of_template is not None:
                await Transformation.begin(row, template.transformation, of_template.variables or {})
        return row.id

    endpoint_id = await idempotency.once(key, add)
    return Endpoint.of(await idempotency.made(Row.load(app, endpoint_id))), was_new


@mutation(EndpointUpdatePayload, Scope.MANAGE)
async def update(info: Info, app_id: strawberry.ID, id: strawberry.ID, input: EndpointUpdate) -> EndpointUpdatePayload:
    """Replace all of an endpoint but its secret and headers. When there is none of that uid, it is created with it; an id of ours that is
    unknown is NOT_FOUND."""
    endpoint, created = await update_in(info, await Application.load(info.context.caller, str(app_id)), id, input)
    return await told(info, EndpointUpdatePayload(endpoint=endpoint, created=created))


async def update_in(info: Info, app: Application, id: strawberry.ID, input: EndpointUpdate) -> tuple[Endpoint, bool]:
    """Replace or create an endpoint of that application; answers with it and whether it is new."""
    check_values(await url_policy(info), input)
    values = values_of(input)
    try:
        row = await Row.load(app, str(id), ("id",))
    except NotFound as missing:
        values["uid"] = uid_of_new(missing, str(id), input.uid, "ep_")
        await require_room(info, app)
        await require_event_types(info, app, values)
        return Endpoint.of(await Row.add(app, values)), True
    await require_event_types(info, app, values, before=row)
    values["uid"] = uid_of_changed(str(id), row.uid, input.uid)
    return Endpoint.of(await row.change(values)), False


@mutation(EndpointPatchPayload, Scope.MANAGE)
async def patch(info: Info, app_id: strawberry.ID, id: strawberry.ID, input: EndpointPatch) -> EndpointPatchPayload:
    """Change parts of an endpoint."""
    app = await Application.load(info.context.caller, str(app_id))
    return await told(info, EndpointPatchPayload(endpoint=await patch_in(info, app, id, input)))


async def patch_in(info: Info, app: Application, id: strawberry.ID, input: EndpointPatch) -> Endpoint:
    """Change parts of an endpoint of that application."""
    check_values(await url_policy(info), input)
    row = await Row.load(app, str(id), ("id",))
    async with row.locked():
        values = values_of(input, row)
        new_secret = values.pop("secret", None)
        if new_secret is not None:
            info.context.caller.require(Scope.SECRETS, Capability.MANAGE_ENDPOINT_SECRET)
        await require_event_types(info, app, values, before=row)
        if new_secret is not None:
            await row.rotate_secret(new_secret, values=values)
        else:
            await row.change(values)
    return Endpoint.of(row)


@mutation(EndpointDeletePayload, Scope.MANAGE)
async def delete(info: Info, app_id: strawberry.ID, id: strawberry.ID) -> EndpointDeletePayload:
    """Delete an endpoint. Its uid is free again; what still waits for it is canceled when it falls due."""
    app = await Application.load(info.context.caller, str(app_id))
    return await told(info, EndpointDeletePayload(deleted_id=await delete_in(app, id)))


async def delete_in(app: Application, id: strawberry.ID) -> strawberry.ID:
    """Delete an endpoint of that application; answers with its id."""
    row = await Row.load(app, str(id), ("id",))
    await row.remove()
    return strawberry.ID(row.id)


@mutation(EndpointUpdateHeadersPayload, Scope.MANAGE)
async def update_headers(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: EndpointHeadersIn
) -> EndpointUpdateHeadersPayload:
    """Replace the custom headers. The next attempt carries them."""
    app = await Application.load(info.context.caller, str(app_id))
    return await told(info, EndpointUpdateHeadersPayload(endpoint=await update_headers_in(app, endpoint_id, input)))


async def update_headers_in(app: Application, endpoint_id: strawberry.ID, input: EndpointHeadersIn) -> Endpoint:
    """Replace the custom headers of an endpoint of that application."""
    refuse(check_headers(input.headers, ("input", "headers")))
    row = await Row.load(app, str(endpoint_id))
    await row.set_headers(input.headers)
    return Endpoint.of(row)


@mutation(EndpointPatchHeadersPayload, Scope.MANAGE)
async def patch_headers(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, input: EndpointHeadersPatchIn
) -> EndpointPatchHeadersPayload:
    """Set or remove some of the custom headers."""
    app = await Application.load(info.context.caller, str(app_id))
    return await told(info, EndpointPatchHeadersPayload(endpoint=await patch_headers_in(app, endpoint_id, input)))


async def patch_headers_in(app: Application, endpoint_id: strawberry.ID, input: EndpointHeadersPatchIn) -> Endpoint:
    """Set or remove some of the custom headers of an endpoint of that application."""
    row = await Row.load(app, str(endpoint_id))
    changed = {header.name: header.value for header in input.headers}
    lowered = {name.lower() for name in changed}
    async with row.locked():
        kept = {name: text for name, text in row.header_map().items() if name.lower() not in lowered}
        headers = kept | {name: text for name, text in changed.items() if text is not None}
        refuse(check_headers(headers, ("input", "headers")))
        await row.set_headers(headers)
    return Endpoint.of(row)


@mutation(EndpointRotateSecretPayload, Scope.SECRETS, Capability.MANAGE_ENDPOINT_SECRET)
async def rotate_secret(
    info: Info,
    app_id: strawberry.ID,
    endpoint_id: strawberry.ID,
    input: EndpointSecretRotateIn,
    idempotency_key: str | None = None,
) -> EndpointRotateSecretPayload:
    """Give the endpoint a new secret. The old one signs on, second, until the grace period is over."""
    app = await Application.load(info.context.caller, str(app_id))
    endpoint = await rotate_secret_in(info, app, endpoint_id, input, idempotency_key)
    return await told(info, EndpointRotateSecretPayload(endpoint=endpoint))


async def rotate_secret_in(
    info: Info, app: Application, endpoint_id: strawberry.ID, input: EndpointSecretRotateIn, idempotency_key: str | None
) -> Endpoint:
    """Give an endpoint of that application a new secret."""
    check(input)
    if input.key is not None:
        check_secret(input.key, "key")
    row = await Row.load(app, str(endpoint_id))
    key = info.context.idempotency(info, idempotency_key, {"endpoint": row.id, "input": given(input)})

    async def rotate() -> str:
        await row.rotate_secret(input.key, timedelta(seconds=input.grace_period_seconds))
        return row.id

    return Endpoint.of(await Row.load(app, await idempotency.once(key, rotate)))


async def told(info: Info, payload: T) -> T:
    """The payload of a change that is committed, after the endpoints that get operational messages about it are woken."""
    with suppress(Unavailable):  # it is done: a worker's tick finds whom to tell
        info.context.services.wake("deliver", await operational.listeners(info.context.caller.org_id))
    return payload
