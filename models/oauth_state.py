"""The state of an OAuth dance that was begun here: works once, within ten minutes, for the token that began it."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from tortoise import Model, fields

from graphook import database
from graphook.auth import Caller
from graphook.clock import now
from graphook.database import Statement
from graphook.errors import InvalidInput
from graphook.secrets import seal, unseal
from graphook.tokens import digest
from models.fields import IdField, TimestampField

LIFETIME = timedelta(minutes=10)
_LENGTH = 32

# The database decides who is first. State's digest, organisation, token, provider, redirect URI.
TAKE = Statement.same("""
    DELETE FROM oauth_state
    WHERE hash = $1 AND org_id = $2 AND token_id = $3 AND provider = $4 AND redirect_uri = $5 AND expires_at > graphook_now()
    RETURNING app_id, verifier""")
# Token, provider, redirect URI.
OPEN = Statement.same("""
    SELECT 1 FROM oauth_state WHERE token_id = $1 AND provider = $2 AND redirect_uri = $3 AND expires_at > graphook_now() LIMIT 1""")
FORGET_EXPIRED = Statement.same("""
    DELETE FROM oauth_state WHERE hash IN (
        SELECT hash FROM oauth_state WHERE expires_at <= graphook_now() LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING hash""")


class OauthProvider(StrEnum):
    """Who makes incoming webhooks by OAuth."""

    SLACK = "slack"
    DISCORD = "discord"


class OauthState(Model):
    # The SHA-256 of the state, which only the browser has.
    hash = IdField(primary_key=True)
    org_id = IdField()
    # The application that an endpoint is to be made in, if that was said.
    app_id = IdField(null=True)
    token_id = IdField()
    provider = fields.TextField()
    redirect_uri = fields.TextField()
    # Encrypted and bound to this row.
    verifier = fields.TextField(null=True)
    expires_at = TimestampField()

    class Meta:
        table = "oauth_state"
        indexes = (("token_id",), ("expires_at",))

    @classmethod
    async def begin(
        cls, caller: Caller, provider: OauthProvider, redirect_uri: str, *, app_id: str | None, verifier: str | None
    ) -> tuple[str, datetime]:
        """A fresh state (256 bits), which is kept nowhere, and until when it works."""
        state = secrets.token_urlsafe(_LENGTH)
        hashed = digest(state)
        row = await cls.create(
            hash=hashed,
            org_id=caller.org_id,
            app_id=app_id,
            token_id=caller.token_id,
            provider=provider.value,
            redirect_uri=redirect_uri,
            verifier=None if verifier is None else seal("oauth_state.verifier", hashed, verifier),
            expires_at=now() + LIFETIME,
        )
        return state, row.expires_at

    @classmethod
    async def take(cls, caller: Caller, provider: OauthProvider, redirect_uri: str, state: str, app_id: str | None) -> str | None:
        """Use the state up; answers with the PKCE verifier, where the provider takes one.

        Raises `InvalidInput` when it is unknown, expired, used, or was not made for just this; then it stays as it was.
        """
        hashed = digest(state)
        async with database.transaction() as session:
            found = await session.fetch(TAKE, hashed, caller.org_id, caller.token_id, provider.value, redirect_uri)
            if not found or (app_id is not None and found[0]["app_id"] not in (None, app_id)):
                raise InvalidInput("This state is unknown, expired or used, or it was not made for this.", ("input", "state"))
            sealed = found[0]["verifier"]
        return None if sealed is None else unseal("oauth_state.verifier", hashed, sealed)

    @classmethod
    async def is_open(cls, caller: Caller, provider: OauthProvider, redirect_uri: str) -> bool:
        """Whether the caller's token has begun a dance there that is not over."""
        async with database.read() as session:
            return bool(await session.fetch(OPEN, caller.token_id, provider.value, redirect_uri))
