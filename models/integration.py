"""An integration: another product that works on one application with a key of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from tortoise import Model, fields

from graphook import database
from graphook.auth import Caller
from graphook.clock import now
from graphook.errors import NotFound
from graphook.ids import is_id, new_id
from graphook.rules import short
from models.application import Application
from models.fields import IdField, TimestampField
from models.page import Page, PageRequest
from models.token import Token
from models.where import Where, page_of


class Integration(Model):
    id = IdField(primary_key=True)
    org_id = IdField()
    app_id = IdField()
    name = fields.TextField()
    # Its key: a token whose plain text is kept sealed, because a key must be shown again.
    token_id = IdField()
    created_at = TimestampField()
    updated_at = TimestampField()

    class Meta:
        table = "integration"
        unique_together = (("app_id", "id"),)

    @classmethod
    async def load(cls, app: Application, reference: str, path: tuple[str, ...] = ("integrationId",)) -> Self:
        """The application's integration of that id. Raises `NotFound`."""
        found = await Where().equal("app_id", app.id).equal("id", reference).load(cls) if is_id(reference, "integ_") else []
        if not found:
            raise NotFound(f"There is no integration {short(reference)} in this application.", path)
        return found[0]

    @classmethod
    async def page(cls, app: Application, request: PageRequest) -> Page[Self]:
        """The application's integrations, newest first."""
        return await page_of(cls, Where().equal("app_id", app.id), request, descending=True)

    @classmethod
    async def add(cls, caller: Caller, app: Application, name: str) -> Self:
        """Create an integration with a key that may do what the caller may, within the application."""
        created_at = now()
        async with database.transaction():
            token = await _key(app.org_id, app.id, name, sorted(caller.scopes))
            return await cls.create(
                id=new_id("integ_", created_at),
                org_id=app.org_id,
                app_id=app.id,
                name=name,
                token_id=token.id,
                created_at=created_at,
                updated_at=created_at,
            )

    async def rename(self, name: str) -> Self:
        """Give it another name. Raises `NotFound` when it was deleted meanwhile."""
        async with self._held():
            self.update_from_dict({"name": name, "updated_at": now()})
            await self.save(update_fields=["name", "updated_at"])
        return self

    async def key(self) -> Token:
        """The token that is its key."""
        return await Token.get(id=self.token_id)

    async def rotate_key(self) -> None:
        """Give it a new key that may do the same; the old one is dead at once. Raises `NotFound` when it was deleted meanwhile."""
        async with self._held():
            old = await self.key()
            await old.revoke(forget=True)
            self.update_from_dict({"token_id": (await _key(self.org_id, self.app_id, self.name, old.scopes)).id, "updated_at": now()})
            await self.save(update_fields=["token_id", "updated_at"])

    async def remove(self) -> None:
        """Delete it; its key is dead at once. Raises `NotFound` when it was deleted meanwhile."""
        async with self._held():
            await (await self.key()).revoke(forget=True)
            await self.delete()

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """One transaction in which the row, read anew, is nobody else's to change."""
        async with database.transaction():
            if not await type(self).filter(id=self.id).select_for_update():
                raise NotFound(f"The integration {self.id} was deleted meanwhile.")
            await self.refresh_from_db()
            yield


async def _key(org_id: str, app_id: str, name: str, scopes: list[str]) -> Token:
    token, plain = await Token.mint("integ", org_id=org_id, app_id=app_id, name=name, scopes=scopes)
    await token.seal(plain)
    return token
