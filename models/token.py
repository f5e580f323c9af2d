"""An API token: opaque, stored as its SHA-256, limited by scopes and expiry, revocable at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
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
from graphook.secrets import seal, unseal
from graphook.tokens import Kind, digest, looks_like_token, mint
from models.application import Application
from models.fields import IdField, TimestampField, json_field

State = Literal["valid", "expired", "revoked"]

_UNKNOWN = "This token is unknown, expired or revoked."
# Digests → the tokens that may be used now: not revoked, not expired, their application not deleted.
VALID = Statement.same("""
    SELECT t.hash, t.id, t.kind, t.org_id, t.app_id, t.scopes, t.capabilities, t.feature_flags, t.session_id, t.expires_at
    FROM token t LEFT JOIN application a ON a.id = t.app_id
    WHERE t.hash = ANY($1::text[]) AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > graphook_now())
      AND (t.app_id IS NULL OR (a.id IS NOT NULL AND a.deleted_at IS NULL))""")

# Tokens that come and go, with logins and with keys that are rotated, are forgotten some time after their end; answers to idempotency keys may name them until then.
FORGET_ENDED = Statement.same("""
    DELETE FROM token WHERE id IN (
        SELECT id FROM token WHERE kind IN ('app', 'once', 'integ') AND expires_at <= graphook_now() - 7 * 86400000000
        LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id""")


class Token(Model):
    id = IdField(primary_key=True)
    kind = fields.TextField()
    org_id = IdField(db_index=True)
    app_id = IdField(null=True)
    name = fields.TextField()
    hash = IdField(unique=True)
    scopes: list[str] = json_field()
    # What limits a token for the portal beyond its scopes; null for every other.
    capabilities: list[str] | None = json_field(null=True)
    feature_flags: list[str] = json_field()
    session_id = IdField(null=True)
    # The plain text, encrypted and bound to this row, of the few that can be shown again.
    sealed = fields.TextField(null=True)
    # Of a one-time token: until when what it is exchanged for is valid.
    grant_until = TimestampField(null=True)
    created_at = TimestampField()
    expires_at = TimestampField(null=True)
    revoked_at = TimestampField(null=True)

    class Meta:
        table = "token"
        indexes = (("app_id",), ("expires_at",))

    @classmethod
    async def mint(
        cls,
        kind: Kind = "org",
        *,
        org_id: str,
        app_id: str | None = None,
        name: str,
        scopes: Iterable[str] = ALL_SCOPES,
        capabilities: Iterable[str] | None = None,
        feature_flags: Iterable[str] = (),
        session_id: str | None = None,
        expires_at: datetime | None = None,
        grant_until: datetime | None = None,
    ) -> tuple[Self, str]:
        """Create a token. The plain text is returned once and kept nowhere, unless `seal` is called."""
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
            capabilities=None if capabilities is None else sorted({str(capability) for capability in capabilities}),
            feature_flags=sorted(set(feature_flags)),
            session_id=session_id,
            created_at=created_at,
            expires_at=expires_at,
            grant_until=grant_until,
        )
        return token, plain

    async def seal(self, text: str) -> None:
        """Keep a text with the token, encrypted, so that `unsealed` can show it again."""
        self.sealed = seal("token.sealed", self.id, text)
        await self.save(update_fields=["sealed"])

    def unsealed(self) -> str:
        """The text that was sealed."""
        assert self.sealed is not None
        return unseal("token.sealed", self.id, self.sealed)

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

    @classmethod
    async def states(cls) -> list[tuple[Self, State]]:
        """Every token of every organisation with how it stands, oldest first. One whose application is deleted has expired."""
        tokens = await cls.all().order_by("id")
        apps = {token.app_id for token in tokens if token.app_id is not None}
        gone = apps.difference(await Application.filter(deleted_at=None).values_list("id", flat=True))
        return [(token, token._state(gone)) for token in tokens]

    def _state(self, gone: Set[str]) -> State:
        if self.revoked_at is not None:
            return "revoked"
        expired = (self.expires_at is not None and self.expires_at <= now()) or self.app_id in gone
        return "expired" if expired else "valid"

    async def revoke(self, *, forget: bool = False) -> None:
        """Make the token useless from now on. `forget`: it goes as those do that expired, since nothing names it any more."""
        self.revoked_at = self.revoked_at or now()
        if forget:
            self.expires_at = self.revoked_at
        await self.save(update_fields=["revoked_at", "expires_at"])


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
        kind=row["kind"],
        capabilities=None if row["capabilities"] is None else frozenset(orjson.loads(row["capabilities"])),
        session_id=row["session_id"],
    )
