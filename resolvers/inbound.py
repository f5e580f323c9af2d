"""Operations on inbound URLs."""

from __future__ import annotations

import strawberry

from graphook.auth import Scope
from graphook.inbound import check_secret
from models import idempotency
from models.application import Application
from models.inbound import Inbound as Row
from resolvers.expected import lookup, mutation
from schema.context import Info
from schema.fields import check
from schema.types.inbound import Inbound, InboundIn, InboundRotateUrlPayload, InboundUpdatePayload, RotatedUrl


@lookup
async def get(info: Info, app_id: strawberry.ID) -> Inbound | None:
    """How the application takes the webhooks of others; null when it does not."""
    row = await Row.of(await Application.load(info.context.caller, str(app_id)))
    return None if row is None else Inbound.of(row)


@mutation(InboundRotateUrlPayload, Scope.SEND, organisation=True)
async def rotate_url(info: Info, app_id: strawberry.ID, idempotency_key: str | None = None) -> InboundRotateUrlPayload:
    """Give the application a new URL that turns what is posted to it into messages. The old one leads nowhere from now on."""
    info.context.caller.require(Scope.MANAGE)
    app = await Application.load(info.context.caller, str(app_id))

    async def rotate() -> str:
        await Row.rotate(app)
        return app.id

    await idempotency.once(info.context.idempotency(info, idempotency_key, {"appId": app.id}), rotate)
    row = await Row.get(app_id=app.id)
    address = info.context.services.settings.public_address
    return InboundRotateUrlPayload(rotated_url=RotatedUrl(url=f"{address}/inbound/{app.id}/{row.token_text()}"))


@mutation(InboundUpdatePayload, Scope.SEND, organisation=True)
async def update(info: Info, app_id: strawberry.ID, input: InboundIn) -> InboundUpdatePayload:
    """Set how what comes to the application's URL is verified. What is not signed so is refused from now on."""
    info.context.caller.require(Scope.MANAGE)
    check(input)
    check_secret(input.scheme, input.secret, ("input", "secret"))
    app = await Application.load(info.context.caller, str(app_id))
    return InboundUpdatePayload(inbound=Inbound.of(await Row.verify_by(app, input.scheme, input.secret)))
