"""An API token: opaque, stored as its SHA-256, limited by scopes and expiry, revocable at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, Self

from tortoise import Model, fields

from graphook.auth import ALL_SCOPES, Caller
from graphook.clock import now
from graphook.errors import Unauthenticated
from graphook.ids import new_id
from graphook.tokens import digest, looks_like_token, mint
from models.application import Application
from models.fields import IdField, TimestampField, json_field


class Token(Model):
    id = IdField(primary_key=True)
    kind = fields.TextField()
    org_id = IdField(db_index=True)
    app_id = IdField(null=True)
    name = fields.TextField()
    hash = IdField(unique=True)
    scopes = json_field()
    feature_flags = json_field()
    created_at = TimestampField()
    expires_at = TimestampField(null=True)
    revoked_at = TimestampField(null=True)

    class Meta:
        table = "token"

    @classmethod
    async def mint(
        cls,
        kind: Literal["org", "app"] = "org",
        *,
        org_id: str,
        app_id: str | None = None,
        name: str,
        scopes: Iterable[str] = ALL_SCOPES,
        feature_flags: Iterable[str] = (),
        expires_at: datetime | None = None,
    ) -> tuple[Self, str]:
        """Create a token. The plain text is returned once and kept nowhere."""
        plain, hashed = mint(kind)
        created_at = now()
        token = await cls.create(
            id=new_id("tok_", created_at),
            kind=kind,
            org_id=org_id,
            app_id=app_id,
            name=name,
            hash=hashed,
            scopes=sorted({str(scope) for scope in scopes}),
            feature_flags=sorted(set(feature_flags)),
            created_at=created_at,
            expires_at=expires_at,
        )
        return token, plain

    @classmethod
    async def authenticate(cls, authorization: str | None) -> Caller:
        """The caller behind an `Authorization: Bearer …` value.

        Raises `Unauthenticated`, with the same words for an unknown, an expired and a revoked token.
        """
        scheme, _, plain = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not plain:
            raise Unauthenticated("Send the token as `Authorization: Bearer …`.")
        token = await cls.get_or_none(hash=digest(plain)) if looks_like_token(plain) else None
        if token is None or not await token.is_valid():
            raise Unauthenticated("This token is unknown, expired or revoked.")
        return Caller(
            token_id=token.id,
            org_id=token.org_id,
            app_id=token.app_id,
            scopes=frozenset(token.scopes),
            feature_flags=frozenset(token.feature_flags),
            expires_at=token.expires_at,
        )

    async def is_valid(self) -> bool:
        """Whether the token may be used now: not revoked, not expired, its application not deleted."""
        if self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now()):
            return False
        return self.app_id is None or await Application.filter(id=self.app_id, deleted_at=None).exists()

    async def revoke(self) -> None:
        """Make the token useless from now on."""
        self.revoked_at = self.revoked_at or now()
        await self.save(update_fields=["revoked_at"])
