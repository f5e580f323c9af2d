"""An application: one customer of the organisation, with its endpoints and messages."""

from __future__ import annotations

from typing import Any, Self

from tortoise import Model, fields
from tortoise.exceptions import IntegrityError

from graphook import database
from graphook.auth import Caller
from graphook.clock import now
from graphook.errors import Conflict, NotFound
from graphook.ids import new_id
from graphook.rules import could_be_reference, short
from models.fields import IdField, TimestampField, json_field
from models.page import Page, PageRequest
from models.where import Where, page_of

# A condition on an application or an endpoint, with its id or uid twice.
NAMED = "(id = ? OR uid = ?)"
# A condition on another table's rows: their application is not deleted.
LIVING = "EXISTS (SELECT 1 FROM application p WHERE p.id = {}.app_id AND p.deleted_at IS NULL)"


class Application(Model):
    id = IdField(primary_key=True)
    org_id = IdField()
    uid = IdField(null=True)
    name = fields.TextField()
    rate_limit = fields.IntField(null=True)
    metadata: dict[str, str] = json_field()
    # The organisation's own, whose endpoints get operational messages: listed nowhere, and nobody sends to it.
    operational = fields.BooleanField(default=False, db_default=False)
    created_at = TimestampField()
    updated_at = TimestampField()
    deleted_at = TimestampField(null=True)

    class Meta:
        table = "application"
        unique_together = (("org_id", "uid"), ("org_id", "id"))

    @classmethod
    async def load(cls, caller: Caller, reference: str, path: tuple[str, ...] = ("appId",)) -> Self:
        """The caller's application of that id or uid. Raises `NotFound`, also for somebody else's."""
        found = await cls.seen_by(caller).raw(NAMED, reference, reference).load(cls) if could_be_reference(reference) else []
        if not found:
            raise NotFound(f"There is no application {short(reference)}.", path)
        return found[0]

    @classmethod
    async def of_organisation(cls, org_id: str, reference: str) -> Self:
        """The organisation's application of that id or uid, for an operator. Raises `NotFound`."""
        found = await _seen(org_id).raw(NAMED, reference, reference).load(cls)
        if not found:
            raise NotFound(f"There is no application {reference!r}.")
        return found[0]

    @classmethod
    async def page(cls, caller: Caller, request: PageRequest, *, descending: bool = False) -> Page[Self]:
        """The caller's applications by id."""
        return await page_of(cls, cls.seen_by(caller), request, descending=descending)

    @staticmethod
    def seen_by(caller: Caller) -> Where:
        """The applications that the caller may see."""
        seen = _seen(caller.org_id)
        return seen if caller.app_id is None else seen.equal("id", caller.app_id)

    @classmethod
    async def of_operational_messages(cls, caller: Caller, *, create: bool = False) -> Self:
        """The organisation's own application, whose endpoints get operational messages.

        Unless it was created before, or now by `create`, the answer is a row that is not saved and has no endpoints.
        """
        values = {"name": "operational", "metadata": {}, "operational": True, "created_at": now(), "updated_at": now()}
        found = cls(id=operational_id(caller.org_id), org_id=caller.org_id, **values)
        if create:
            await cls.bulk_create([found], ignore_conflicts=True)
        return found

    @classmethod
    async def add(cls, caller: Caller, values: dict[str, Any], path: tuple[str, ...] = ("input",)) -> Self:
        """Create an application. Raises `Conflict` when its uid is taken."""
        created_at = now()
        try:
            async with database.transaction():
                return await cls.create(
                    id=new_id("app_", created_at),
                    org_id=caller.org_id,
                    created_at=created_at,
                    updated_at=created_at,
                    **values,
                )
        except IntegrityError as error:
            raise _taken(values, path) from error

    @classmethod
    async def get_or_add(cls, caller: Caller, values: dict[str, Any], path: tuple[str, ...] = ("input",)) -> tuple[Self, bool]:
        """The application with that uid, created when there is none; and whether it was."""
        uid = values.get("uid")
        for _ in range(2):
            if uid is not None:
                found = await cls.filter(org_id=caller.org_id, uid=uid, deleted_at=None).first()
                if found is not None:
                    return found, False
            try:
                return await cls.add(caller, values, path), True
            except Conflict:  # another request created it in between
                continue
        raise _taken(values, path)

    async def change(self, values: dict[str, Any]) -> Self:
        """Write new values. Raises `NotFound` when it was deleted meanwhile, so that no dead row takes a uid, and `Conflict` when a new uid is taken."""
        try:
            async with database.transaction():
                if not await type(self).filter(id=self.id, deleted_at=None).select_for_update():
                    raise NotFound(f"The application {self.id} was deleted meanwhile.")
                self.update_from_dict({**values, "updated_at": now()})
                await self.save(update_fields=[*values, "updated_at"])
        except IntegrityError as error:
            raise _taken(values, ("input",)) from error
        return self

    async def remove(self) -> None:
        """Delete the application: its uid is free again, its endpoints get nothing more."""
        await self.change({"deleted_at": now(), "uid": None})


def operational_id(org_id: str) -> str:
    """The id of an organisation's own application: there is one, whoever creates it first."""
    return "app_" + org_id.removeprefix("org_")


def _taken(values: dict[str, Any], path: tuple[str, ...]) -> Conflict:
    return Conflict(f"An application with the uid {values.get('uid')!r} exists already.", (*path, "uid"))


def _seen(org_id: str) -> Where:
    return Where().equal("org_id", org_id).raw("NOT operational AND deleted_at IS NULL")
