"""An application's inbound URL: its secret token, and how what comes to it is verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from tortoise import Model, fields

from graphook import database
from graphook.clock import now, to_us
from graphook.database import Session, Statement
from graphook.errors import NotFound
from graphook.inbound import InboundScheme
from graphook.rules import could_be_reference
from graphook.secrets import seal, unseal
from graphook.tokens import digest, looks_like_inbound_token, mint
from models.application import Application
from models.fields import IdField, TimestampField

# Of the URL's token and the application's id or uid: where it leads.
FIND = Statement.same("""
    SELECT i.app_id, i.org_id, i.scheme, i.secret FROM inbound i JOIN application a ON a.id = i.app_id
    WHERE i.token_hash = $1 AND a.deleted_at IS NULL AND (a.id = $2 OR a.uid = $2)""")
ENSURE = Statement.same("""
    INSERT INTO inbound (app_id, org_id, scheme, created_at, updated_at) VALUES ($1, $2, 'none', $3, $3) ON CONFLICT DO NOTHING""")
LOCK = Statement.same("SELECT app_id FROM inbound WHERE app_id = $1 FOR UPDATE")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an inbound URL leads, and how what comes is verified. The secret is in clear."""

    app_id: str
    org_id: str
    scheme: InboundScheme
    secret: str | None


class Inbound(Model):
    app_id = IdField(primary_key=True)
    org_id = IdField()
    # The digest finds the row; the token itself is sealed, to answer a repeated request.
    token_hash = IdField(null=True, unique=True)
    token = fields.TextField(null=True)
    scheme = fields.TextField()
    secret = fields.TextField(null=True)
    created_at = TimestampField()
    updated_at = TimestampField()

    class Meta:
        table = "inbound"

    @classmethod
    async def find(cls, application: str, token: str) -> Destination:
        """Where a URL with this application and this token leads. Raises `NotFound`, with the same words whatever is wrong."""
        rows = []
        if looks_like_inbound_token(token) and could_be_reference(application):
            async with database.read() as session:
                rows = list(await session.fetch(FIND, digest(token), application))
        if not rows:
            raise NotFound("There is no such inbound URL.")
        (row,) = rows
        secret = None if row["secret"] is None else unseal("inbound.secret", row["app_id"], row["secret"])
        return Destination(row["app_id"], row["org_id"], InboundScheme(row["scheme"]), secret)

    @classmethod
    async def of(cls, app: Application) -> Self | None:
        """The application's; None where nothing was ever set."""
        return await cls.get_or_none(app_id=app.id)

    @classmethod
    async def rotate(cls, app: Application) -> None:
        """Give the application a new token for its URL. The old URL leads nowhere from now on."""
        plain, hashed = mint("inbound")
        async with database.transaction() as session:
            row = await cls._locked(session, app)
            row.update_from_dict({"token_hash": hashed, "token": seal("inbound.token", app.id, plain), "updated_at": now()})
            await row.save(update_fields=["token_hash", "token", "updated_at"])

    @classmethod
    async def verify_by(cls, app: Application, scheme: InboundScheme, secret: str | None) -> Self:
        """Take from now on what is signed by that scheme with that secret, and nothing else."""
        async with database.transaction() as session:
            row = await cls._locked(session, app)
            sealed = None if secret is None else seal("inbound.secret", app.id, secret)
            row.update_from_dict({"scheme": scheme.value, "secret": sealed, "updated_at": now()})
            await row.save(update_fields=["scheme", "secret", "updated_at"])
            return row

    @classmethod
    async def _locked(cls, session: Session, app: Application) -> Self:
        """The application's row, created where there is none, and nobody else's to change until the transaction ends."""
        await session.fetch(ENSURE, app.id, app.org_id, to_us(now()))
        await session.fetch(LOCK, app.id)
        return await cls.get(app_id=app.id)

    def token_text(self) -> str:
        """The token of the URL in clear."""
        assert self.token is not None
        return unseal("inbound.token", self.app_id, self.token)
