"""Operations on integrations and their keys."""

from __future__ import annotations

import strawberry

from graphook.auth import Caller, Scope
from models import idempotency
from models.application import Application
from models.integration import Integration as Row
from models.token import Token
from resolvers.expected import lookup, mutation
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.fields import check, given
from schema.types.integration import (
    Integration,
    IntegrationCreatePayload,
    IntegrationDeletePayload,
    IntegrationIn,
    IntegrationKey,
    IntegrationRotateKeyPayload,
    IntegrationUpdate,
    IntegrationUpdatePayload,
)


@lookup
async def get(info: Info, app_id: strawberry.ID, id: strawberry.ID) -> Integration | None:
    """The application's integration of that id; null when there is none."""
    return Integration.of(await Row.load(await Application.load(info.context.caller, str(app_id)), str(id), ("id",)))


async def page(
    info: Info,
    app_id: strawberry.ID,
    paging: Paging,
) -> Connection[Integration]:
    """The application's integrations, newest first."""
    info.context.caller.require(Scope.READ)
    request = paging.request("integ_")
    found = await Row.page(await Application.load(info.context.caller, str(app_id)), request)
    return connection(found, Integration.of)


async def key(info: Info, app_id: strawberry.ID, integration_id: strawberry.ID) -> IntegrationKey:
    """The key of an integration. Needs a token of the organisation that may do what the key may."""
    caller = info.context.caller
    caller.require(Scope.SECRETS)
    caller.require_organisation()
    row = await Row.load(await Application.load(caller, str(app_id)), str(integration_id))
    return IntegrationKey(key=(await _own(caller, row)).unsealed())


@mutation(IntegrationCreatePayload, Scope.MANAGE, organisation=True)
async def create(info: Info, app_id: strawberry.ID, input: IntegrationIn, idempotency_key: str | None = None) -> IntegrationCreatePayload:
    """Create an integration. Its key may do, within the application, what your own token may."""
    check(input)
    caller, was_new = info.context.caller, False
    app = await Application.load(caller, str(app_id))

    async def add() -> str:
        nonlocal was_new
        was_new = True
        return (await Row.add(caller, app, input.name)).id

    key = info.context.idempotency(info, idempotency_key, {"appId": app.id, "input": given(input)})
    row = await idempotency.made(Row.load(app, await idempotency.once(key, add)))
    return IntegrationCreatePayload(integration=Integration.of(row), created=was_new)


@mutation(IntegrationUpdatePayload, Scope.MANAGE, organisation=True)
async def update(info: Info, app_id: strawberry.ID, id: strawberry.ID, input: IntegrationUpdate) -> IntegrationUpdatePayload:
    """Give an integration another name."""
    check(input)
    row = await Row.load(await Application.load(info.context.caller, str(app_id)), str(id), ("id",))
    return IntegrationUpdatePayload(integration=Integration.of(await row.rename(input.name)))


@mutation(IntegrationDeletePayload, Scope.MANAGE, organisation=True)
async def delete(info: Info, app_id: strawberry.ID, id: strawberry.ID) -> IntegrationDeletePayload:
    """Delete an integration. Its key is refused from now on."""
    row = await Row.load(await Application.load(info.context.caller, str(app_id)), str(id), ("id",))
    await row.remove()
    return IntegrationDeletePayload(deleted_id=strawberry.ID(row.id))


@mutation(IntegrationRotateKeyPayload, Scope.SECRETS, organisation=True)
async def rotate_key(
    info: Info, app_id: strawberry.ID, integration_id: strawberry.ID, idempotency_key: str | None = None
) -> IntegrationRotateKeyPayload:
    """Give an integration a new key. The old one is refused from now on."""
    caller = info.context.caller
    app = await Application.load(caller, str(app_id))
    row = await Row.load(app, str(integration_id))
    await _own(caller, row)

    async def rotate() -> str:
        await row.rotate_key()
        return row.id

    key = info.context.idempotency(info, idempotency_key, {"integration": row.id})
    row = await Row.load(app, await idempotency.once(key, rotate))
    return IntegrationRotateKeyPayload(integration_key=IntegrationKey(key=(await row.key()).unsealed()))


async def _own(caller: Caller, row: Row) -> Token:
    """The integration's key. Raises `Forbidden` when it may do more than the caller."""
    token = await row.key()
    for scope in token.scopes:
        caller.require(Scope(scope))
    return token
