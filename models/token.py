"""An API token: opaque, stored as its SHA-256, limited by scopes and expiry, revocable at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, Self

import orjson
from tortoise import Model, fields

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.clock import from_us, now
from graphook.database import Row, Statement
from graphook.errors import Unauthenticated
from graphook.ids import new_id
from graphook.tokens import digest, looks_like_token, mint
from models.application import Application
from models.fields import IdField, TimestampField, json_field

_UNKNOWN = "This token is unknown, expired or revoked."
# Digests → the tokens that may be used now: not revoked, not expired, their application not deleted.
_VALID = """
    SELECT t.hash, t.id, t.org_id, t.app_id, t.scopes, t.feature_flags, t.expires_at
    FROM token t LEFT JOIN application a ON a.id = t.app_id
    WHERE t.hash {} AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > graphook_now())
      AND (t.app_id IS NULL OR (a.id IS NOT NULL AND a.deleted_at IS NULL))"""
VALID = Statement(postgresql=_VALID.format("= ANY($1::text[])"), sqlite=_VALID.format("IN (SELECT value FROM json_each(?1))"))


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
        """The caller behind an `Authorization: Bearer …` value. Raises `Unauthenticated`."""
        (found,) = await cls.callers([presented(authorization)])
        if isinstance(found, Unauthenticated):
            raise found
        return found

    @classmethod
    async def callers(cls, hashes: Sequence[str]) -> list[Caller | Unauthenticated]:
        """The callers behind several digests, with one query for all of them.

        Each is an `Unauthenticated`, with the same words for an unknown, an expired and a revoked token, where there is none.
        """
        async with database.read() as session:
            found = {row["hash"]: _caller(row) for row in await session.fetch(VALID, sorted(set(hashes)))}
        return [found.get(hashed) or Unauthenticated(_UNKNOWN) for hashed in hashes]

    async def is_valid(self) -> bool:
        """Whether the token may be used now: not revoked, not expired, its application not deleted."""
        if self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now()):
            return False
        return self.app_id is None or await Application.filter(id=self.app_id, deleted_at=None).exists()

    async def revoke(self) -> None:
        """Make the token useless from now on."""
        self.revoked_at = self.revoked_at or now()
        await self.save(update_fields=["revoked_at"])


def presented(authorization: str | None) -> str:
    """The digest of the token in an `Authorization: Bearer …` value. Raises `Unauthenticated` when there is none of the right form."""
    scheme, _, plain = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not plain:
        raise Unauthenticated("Send the token as `Authorization: Bearer …`.")
    if not looks_like_token(plain):
        raise Unauthenticated(_UNKNOWN)
    return digest(plain)


def _caller(row: Row) -> Caller:
    return Caller(
        token_id=row["id"],
        org_id=row["org_id"],
        app_id=row["app_id"],
        scopes=frozenset(orjson.loads(row["scopes"])),
        feature_flags=frozenset(orjson.loads(row["feature_flags"])),
        expires_at=None if row["expires_at"] is None else from_us(row["expires_at"]),
    )
