"""Operations on the endpoints that get operational messages: those of ordinary endpoints, in the organisation's own application."""

from __future__ import annotations

import strawberry

from graphook import database
from graphook.auth import Scope
from graphook.signing import public_form
from models.application import Application
from models.endpoint import Endpoint as Row
from models.operational_type import OperationalType
from resolvers import endpoint
from resolvers.expected import lookup, mutation
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.types.endpoint import (
    Endpoint,
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointPatch,
    EndpointSecret,
    EndpointSecretRotateIn,
    EndpointUpdate,
)
from schema.types.operational import (
    OperationalEndpointCreatePayload,
    OperationalEndpointDeletePayload,
    OperationalEndpointPatchHeadersPayload,
    OperationalEndpointPatchPayload,
    OperationalEndpointRotateSecretPayload,
    OperationalEndpointUpdateHeadersPayload,
    OperationalEndpointUpdatePayload,
    OperationalEventType,
)
from schema.types.ordering import Ordering


async def types(info: Info) -> list[OperationalEventType]:
    """What operational messages tell: every type with its JSON Schema."""
    info.context.caller.require(Scope.READ)
    info.context.caller.require_organisation()
    return [OperationalEventType.of(kind) for kind in OperationalType]


@lookup
async def get(info: Info, id: strawberry.ID) -> Endpoint | None:
    """The organisation's operational endpoint of that id or uid; null when there is none."""
    return Endpoint.of(await Row.load(await _application(info, Scope.READ), str(id), ("id",)))


async def page(
    info: Info,
    paging: Paging,
    order: Ordering = Ordering.DESCENDING,
) -> Connection[Endpoint]:
    """The organisation's operational endpoints, newest first."""
    app = await _application(info, Scope.READ)
    request = paging.request("ep_")
    return connection(await Row.page(app, request, descending=order is Ordering.DESCENDING), Endpoint.of)


async def secret(info: Info, endpoint_id: strawberry.ID) -> EndpointSecret:
    """What the receiver of operational messages verifies signatures with. Needs the scope secrets."""
    row = await Row.load(await _application(info, Scope.SECRETS), str(endpoint_id))
    return EndpointSecret(key=public_form(row.secret_text()))


@mutation(OperationalEndpointCreatePayload, Scope.MANAGE, organisation=True)
async def create(info: Info, input: EndpointIn, idempotency_key: str | None = None) -> OperationalEndpointCreatePayload:
    """Create an endpoint that gets operational messages, all or those of filterTypes, from now on."""
    async with database.transaction():
        app = await Application.of_operational_messages(info.context.caller, create=True)
        made, created = await endpoint.create_in(info, app, input, idempotency_key)
    return OperationalEndpointCreatePayload(endpoint=made, created=created)


@mutation(OperationalEndpointUpdatePayload, Scope.MANAGE, organisation=True)
async def update(info: Info, id: strawberry.ID, input: EndpointUpdate) -> OperationalEndpointUpdatePayload:
    """Replace all of an operational endpoint but its secret and headers. When there is none of that uid, it is created with it; an id of ours
    that is unknown is NOT_FOUND."""
    async with database.transaction():
        app = await Application.of_operational_messages(info.context.caller, create=True)
        found, created = await endpoint.update_in(info, app, id, input)
    return OperationalEndpointUpdatePayload(endpoint=found, created=created)


@mutation(OperationalEndpointPatchPayload, Scope.MANAGE, organisation=True)
async def patch(info: Info, id: strawberry.ID, input: EndpointPatch) -> OperationalEndpointPatchPayload:
    """Change parts of an operational endpoint."""
    app = await Application.of_operational_messages(info.context.caller)
    return OperationalEndpointPatchPayload(endpoint=await endpoint.patch_in(info, app, id, input))


@mutation(OperationalEndpointDeletePayload, Scope.MANAGE, organisation=True)
async def delete(info: Info, id: strawberry.ID) -> OperationalEndpointDeletePayload:
    """Delete an operational endpoint. Its uid is free again; what still waits for it is canceled when it falls due."""
    app = await Application.of_operational_messages(info.context.caller)
    return OperationalEndpointDeletePayload(deleted_id=await endpoint.delete_in(app, id))


@mutation(OperationalEndpointUpdateHeadersPayload, Scope.MANAGE, organisation=True)
async def update_headers(info: Info, endpoint_id: strawberry.ID, input: EndpointHeadersIn) -> OperationalEndpointUpdateHeadersPayload:
    """Replace the custom headers of an operational endpoint."""
    app = await Application.of_operational_messages(info.context.caller)
    return OperationalEndpointUpdateHeadersPayload(endpoint=await endpoint.update_headers_in(app, endpoint_id, input))


@mutation(OperationalEndpointPatchHeadersPayload, Scope.MANAGE, organisation=True)
async def patch_headers(info: Info, endpoint_id: strawberry.ID, input: EndpointHeadersPatchIn) -> OperationalEndpointPatchHeadersPayload:
    """Set or remove some of the custom headers of an operational endpoint."""
    app = await Application.of_operational_messages(info.context.caller)
    return OperationalEndpointPatchHeadersPayload(endpoint=await endpoint.patch_headers_in(app, endpoint_id, input))


@mutation(OperationalEndpointRotateSecretPayload, Scope.SECRETS, organisation=True)
async def rotate_secret(
    info: Info, endpoint_id: strawberry.ID, input: EndpointSecretRotateIn, idempotency_key: str | None = None
) -> OperationalEndpointRotateSecretPayload:
    """Give an operational endpoint a new secret. The old one signs on, second, until the grace period is over."""
    app = await Application.of_operational_messages(info.context.caller)
    rotated = await endpoint.rotate_secret_in(info, app, endpoint_id, input, idempotency_key)
    return OperationalEndpointRotateSecretPayload(endpoint=rotated)


async def _application(info: Info, scope: Scope) -> Application:
    info.context.caller.require(scope)
    info.context.caller.require_organisation()
    return await Application.of_operational_messages(info.context.caller)
