"""Operations on access: into the portal, out of it, and who one is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import strawberry
from strawberry import UNSET

from graphook.auth import Capability, Scope, scopes_of
from graphook.errors import Forbidden
from models import access, idempotency
from models.access import Access
from models.application import Application as ApplicationRow
from models.token import Token
from resolvers.application import ensured
from resolvers.expected import mutation
from schema.context import Info
from schema.fields import check, given
from schema.scalars import URL
from schema.types.access import (
    ApplicationTokenExpireIn,
    AppPortalAccess,
    AppPortalAccessCreatePayload,
    AppPortalAccessIn,
    AppTokensExpireAllPayload,
    DashboardAccess,
    DashboardAccessCreatePayload,
    LogoutPayload,
    OneTimeToken,
    OneTimeTokenExchangePayload,
    OneTimeTokenIn,
    Whoami,
)
from schema.types.application import Application


async def whoami(info: Info) -> Whoami:
    """What the token of this request stands for: any valid token may ask."""
    info.context.caller.require_session()
    return Whoami.of(info.context.caller)


@mutation(AppPortalAccessCreatePayload, Scope.MANAGE, organisation=True)
async def portal_access_create(
    info: Info, app_id: strawberry.ID, input: AppPortalAccessIn, idempotency_key: str | None = None
) -> AppPortalAccessCreatePayload:
    """Make a way into an application's portal: a link that works once, and a token. Neither may do more than your own token."""
    check(input)
    found = await _granted(info, str(app_id), input, idempotency_key)
    return AppPortalAccessCreatePayload(app_portal_access=AppPortalAccess(url=_link(info, found), token=found.token))


@mutation(DashboardAccessCreatePayload, Scope.MANAGE, organisation=True)
async def dashboard_access_create(info: Info, app_id: strawberry.ID, idempotency_key: str | None = None) -> DashboardAccessCreatePayload:
    """The old name of appPortalAccessCreate, with its defaults."""
    found = await _granted(info, str(app_id), AppPortalAccessIn(), idempotency_key)
    return DashboardAccessCreatePayload(dashboard_access=DashboardAccess(url=_link(info, found), token=found.token))


@mutation(OneTimeTokenExchangePayload, None)
async def exchange(info: Info, input: OneTimeTokenIn) -> OneTimeTokenExchangePayload:
    """Trade the one-time token of a link for a token. It works once; send the one-time token itself as the bearer token."""
    check(input)
    token, plain = await access.exchange(info.context.caller, input.one_time_token)
    capabilities = [item for item in Capability if item in (token.capabilities or ())]
    return OneTimeTokenExchangePayload(one_time_token=OneTimeToken(token=plain, capabilities=capabilities))


@mutation(AppTokensExpireAllPayload, Scope.MANAGE, organisation=True)
async def expire_all(
    info: Info, app_id: strawberry.ID, input: ApplicationTokenExpireIn, idempotency_key: str | None = None
) -> AppTokensExpireAllPayload:
    """End the tokens and links of an application, all or those of some sessions. Keys of integrations stay valid."""
    check(input)
    app = await ApplicationRow.load(info.context.caller, str(app_id))
    key = info.context.idempotency(info, idempotency_key, {"appId": app.id, "input": given(input)})
    expired = 0

    async def expire() -> str:
        nonlocal expired
        sessions = None if input.session_ids in (None, UNSET) else input.session_ids
        expired = await access.expire_all(app, timedelta(seconds=input.expiry or 0), sessions)
        return app.id

    await idempotency.once(key, expire)
    return AppTokensExpireAllPayload(application=Application.of(app), expired=expired)


@mutation(LogoutPayload, None)
async def logout(info: Info) -> LogoutPayload:
    """End the token of this request, which is one of an application; others are revoked by who made them."""
    caller = info.context.caller
    caller.require_session()
    if caller.kind != "app":
        raise Forbidden("Only the token of an application can log out.")
    await (await Token.get(id=caller.token_id)).revoke()
    return LogoutPayload(token_id=strawberry.ID(caller.token_id))


async def _granted(info: Info, app_id: str, input: AppPortalAccessIn, idempotency_key: str | None) -> Access:
    capabilities = _capabilities(info, input.capabilities)
    values = {name: found for name, found in given(input).items() if name not in ("capabilities", "application")}
    arguments = {
        **values,
        "appId": app_id,
        "capabilities": sorted(capabilities),
        "application": None if input.application is None else given(input.application),
    }
    key = info.context.idempotency(info, idempotency_key, arguments)
    if input.application is None:
        app = await ApplicationRow.load(info.context.caller, app_id)
    else:
        app = await ensured(info, app_id, input.application)
    fresh: list[Access] = []

    async def add() -> str:
        token_id, made = await access.grant(
            app,
            capabilities=capabilities,
            feature_flags=input.feature_flags or (),
            session_id=input.session_id,
            lifetime=access.DEFAULT_LIFETIME if input.expiry is None else timedelta(seconds=input.expiry),
            sealed=key is not None,
        )
        fresh.append(made)
        return token_id

    token_id = await idempotency.once(key, add)
    return fresh[0] if fresh else await access.granted(app, token_id)


def _capabilities(info: Info, wanted: Sequence[Capability] | None) -> frozenset[Capability]:
    """What to grant. Raises `Forbidden` when it is more than the caller's own scopes cover."""
    if wanted in (None, UNSET):
        return info.context.caller.grantable()
    assert wanted is not None
    for scope in sorted(scopes_of(wanted)):
        info.context.caller.require(scope)
    return frozenset(wanted)


def _link(info: Info, found: Access) -> URL:
    """The portal's address with the one-time token in the fragment, which a browser sends to nobody and nobody logs."""
    return URL(f"{info.context.services.settings.public_address}/portal/#key={found.one_time_token}")
