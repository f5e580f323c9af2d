"""Operations on applications."""

from __future__ import annotations

import strawberry

from graphook.auth import Scope
from graphook.errors import InvalidInput, NotFound
from models import idempotency
from models.application import Application as Row
from resolvers.expected import lookup, mutation
from resolvers.upsert import uid_of_changed, uid_of_new
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.fields import check, given
from schema.types.application import (
    Application,
    ApplicationCreatePayload,
    ApplicationDeletePayload,
    ApplicationIn,
    ApplicationPatch,
    ApplicationPatchPayload,
    ApplicationUpdatePayload,
)
from schema.types.ordering import Ordering


@lookup
async def get(info: Info, id: strawberry.ID) -> Application | None:
    """The application of that id or uid; null when there is none."""
    return Application.of(await Row.load(info.context.caller, str(id), ("id",)))


async def page(
    info: Info,
    paging: Paging,
    order: Ordering = Ordering.ASCENDING,
) -> Connection[Application]:
    """The applications, oldest first."""
    info.context.caller.require(Scope.READ)
    request = paging.request("app_")
    found = await Row.page(info.context.caller, request, descending=order is Ordering.DESCENDING)
    return connection(found, Application.of)


@mutation(ApplicationCreatePayload, Scope.MANAGE, organisation=True)
async def create(
    info: Info, input: ApplicationIn, get_if_exists: bool = False, idempotency_key: str | None = None
) -> ApplicationCreatePayload:
    """Create an application. With getIfExists, one with that uid is answered instead of a CONFLICT."""
    check(input)
    caller, values, was_new = info.context.caller, given(input), False

    async def add() -> str:
        nonlocal was_new
        row, was_new = await Row.get_or_add(caller, values) if get_if_exists else (await Row.add(caller, values), True)
        return row.id

    key = info.context.idempotency(info, idempotency_key, {"input": values, "getIfExists": get_if_exists})
    app_id = await idempotency.once(key, add)
    return ApplicationCreatePayload(application=Application.of(await idempotency.made(Row.load(caller, app_id))), created=was_new)


@mutation(ApplicationUpdatePayload, Scope.MANAGE, organisation=True)
async def update(info: Info, id: strawberry.ID, input: ApplicationIn) -> ApplicationUpdatePayload:
    """Replace all of an application. When there is none of that uid, it is created with it; an id of ours that is unknown is NOT_FOUND."""
    check(input)
    values = given(input)
    try:
        row = await Row.load(info.context.caller, str(id), ("id",))
    except NotFound as missing:
        values["uid"] = uid_of_new(missing, str(id), input.uid, "app_")
        return ApplicationUpdatePayload(application=Application.of(await Row.add(info.context.caller, values)), created=True)
    values["uid"] = uid_of_changed(str(id), row.uid, input.uid)
    return ApplicationUpdatePayload(application=Application.of(await row.change(values)))


@mutation(ApplicationPatchPayload, Scope.MANAGE, organisation=True)
async def patch(info: Info, id: strawberry.ID, input: ApplicationPatch) -> ApplicationPatchPayload:
    """Change parts of an application."""
    check(input)
    row = await Row.load(info.context.caller, str(id), ("id",))
    return ApplicationPatchPayload(application=Application.of(await row.change(given(input))))


@mutation(ApplicationDeletePayload, Scope.MANAGE, organisation=True)
async def delete(info: Info, id: strawberry.ID) -> ApplicationDeletePayload:
    """Delete an application. Its uid is free again; its endpoints get nothing more."""
    row = await Row.load(info.context.caller, str(id), ("id",))
    await row.remove()
    return ApplicationDeletePayload(deleted_id=strawberry.ID(row.id))


async def ensured(info: Info, app_id: str, input: ApplicationIn) -> Row:
    """The application that comes alongside something else, created when there is none, in a transaction of its own."""
    if input.uid != app_id:
        raise InvalidInput("application.uid must equal appId.", ("input", "application", "uid"))
    found, _ = await Row.get_or_add(info.context.caller, given(input), ("input", "application"))
    return found
