"""Access to the portal: a token for one application, a one-time link that leads to another, and the end of both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from graphook import database
from graphook.auth import Caller, Capability, scopes_of
from graphook.clock import from_us, now, to_us
from graphook.database import Statement
from graphook.errors import NotFound
from graphook.tokens import digest
from models.application import Application
from models.idempotency import gone
from models.token import Token

# A link is followed at once; whoever finds it later finds it dead.
LINK_LIFETIME = timedelta(minutes=10)
DEFAULT_LIFETIME = timedelta(days=7)

# What makes tokens of an application and what ends them all take this lock first, so that none slips through between the two.
LOCK_APPLICATION = Statement.same("SELECT id FROM application WHERE id = $1 FOR UPDATE")
FIND_LINK = Statement.same("SELECT app_id FROM token WHERE hash = $1 AND kind = 'once' AND org_id = $2")
# The database decides who is first.
USE_LINK = Statement.same("""
    UPDATE token SET revoked_at = graphook_now()
    WHERE hash = $1 AND kind = 'once' AND revoked_at IS NULL AND expires_at > graphook_now() AND grant_until > graphook_now()
    RETURNING id""")
_EXPIRE = """
    UPDATE token SET
        expires_at = CASE WHEN expires_at IS NULL OR expires_at > $2 THEN $2 ELSE expires_at END,
        grant_until = CASE WHEN grant_until > $2 THEN $2 ELSE grant_until END
    WHERE app_id = $1 AND kind IN ('app', 'once') AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > graphook_now()) AND {}
    RETURNING id"""
EXPIRE_ALL = Statement.same(_EXPIRE.format("true"))
EXPIRE_SESSIONS = Statement.same(_EXPIRE.format("session_id = ANY($3::text[])"))


@dataclass(frozen=True, slots=True)
class Access:
    """A token of the portal and the one-time token of a link that leads to one like it."""

    token: str
    one_time_token: str


async def grant(
    app: Application,
    *,
    capabilities: Collection[Capability],
    feature_flags: Collection[str] = (),
    session_id: str | None = None,
    lifetime: timedelta = DEFAULT_LIFETIME,
    sealed: bool = False,
) -> tuple[str, Access]:
    """Make a token for the application's portal, and the one-time token of a link to it; answers with the id of the first, and both.

    `sealed` keeps them encrypted, so that `granted` can show them again.
    """
    granted = {*capabilities, Capability.VIEW_BASE}
    until = now() + lifetime
    about: dict[str, Any] = {
        "org_id": app.org_id,
        "app_id": app.id,
        "name": "portal",
        "capabilities": granted,
        "feature_flags": feature_flags,
        "session_id": session_id,
    }
    async with database.transaction() as session:
        await session.fetch(LOCK_APPLICATION, app.id)
        token, plain = await Token.mint("app", scopes=scopes_of(granted), expires_at=until, **about)
        _, once = await Token.mint("once", scopes=(), expires_at=now() + LINK_LIFETIME, grant_until=until, **about)
        if sealed:
            await token.seal(f"{plain} {once}")
    return token.id, Access(plain, once)


async def granted(app: Application, token_id: str) -> Access:
    """What `grant` made before, for a request that is repeated. Raises `NotFound` when it belonged to an application that is gone."""
    token = await Token.get_or_none(id=token_id, app_id=app.id)
    if token is None:
        raise gone()
    plain, once = token.unsealed().split()
    return Access(plain, once)


async def exchange(caller: Caller, one_time_token: str) -> tuple[Token, str]:
    """Trade a one-time token of the caller's for a token, once. Raises `NotFound` when it is unknown, expired or used."""
    unknown = NotFound("This one-time token is unknown, expired or used.", ("input", "oneTimeToken"))
    hashed = digest(one_time_token)
    async with database.transaction() as session:
        found = await session.fetch(FIND_LINK, hashed, caller.org_id)
        if not found or caller.app_id not in (None, found[0]["app_id"]):
            raise unknown
        app_id = found[0]["app_id"]
        await session.fetch(LOCK_APPLICATION, app_id)
        used = await session.fetch(USE_LINK, hashed)
        if not used or not await Application.filter(id=app_id, deleted_at=None).exists():
            raise unknown
        link = await Token.get(hash=hashed)
        assert link.capabilities is not None
        return await Token.mint(
            "app",
            org_id=link.org_id,
            app_id=link.app_id,
            name=link.name,
            scopes=scopes_of([Capability(name) for name in link.capabilities]),
            capabilities=link.capabilities,
            feature_flags=link.feature_flags,
            session_id=link.session_id,
            expires_at=link.grant_until,
        )


async def expire_all(app: Application, after: timedelta, session_ids: Sequence[str] | None = None) -> int:
    """End the application's tokens and links, or those of some sessions, after that time at the latest; how many there were. Integration keys stay."""
    async with database.transaction() as session:
        await session.fetch(LOCK_APPLICATION, app.id)
        until = to_us(await _database_now(session) + after)
        if session_ids is None:
            return len(await session.fetch(EXPIRE_ALL, app.id, until))
        return len(await session.fetch(EXPIRE_SESSIONS, app.id, until, list(session_ids)))


async def _database_now(session: database.Session) -> datetime:
    (row,) = await session.fetch_text("SELECT graphook_now() AS at")
    return from_us(row["at"])
