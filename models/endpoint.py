"""An endpoint: a URL of a customer that listens, with its filters, headers, secret and health."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import Enum
from typing import Any, Self

import orjson
from tortoise import Model, fields
from tortoise.exceptions import IntegrityError

from graphook import database
from graphook.clock import now, to_us
from graphook.database import Row, Session, Statement
from graphook.errors import Conflict, LimitExceeded, NotFound
from graphook.ids import new_id
from graphook.rules import could_be_reference, short
from graphook.secrets import SecretUnreadable, seal, unseal
from graphook.signing import SigningKey, generate_secret, parse_secret
from models import restriction
from models.application import NAMED, Application
from models.fields import IdField, TimestampField, dump_json, json_field
from models.operational import EndpointChange, shown_instant, tell_endpoints
from models.operational_type import OperationalType
from models.page import Page, PageRequest
from models.where import Where, page_of

ROTATION_GRACE = timedelta(hours=24)
MAX_OLD_SECRETS = 10

LOCK = Statement.same(
    "SELECT uid, disabled, failing_since, delivery_policy::text AS policy FROM endpoint WHERE deleted_at IS NULL AND id = $1 FOR UPDATE"
)

# Those of an application that there are and, with them, those that were deleted and are still remembered; counted no further than to `$2`.
COUNT = Statement.same("""
    SELECT count(*) AS kept, count(CASE WHEN deleted_at IS NULL THEN 1 END) AS living
    FROM (SELECT deleted_at FROM endpoint WHERE app_id = $1 LIMIT $2) e""")
# For each endpoint that an application may have, so many may be remembered.
REMEMBERED = 10


class Refusal(Enum):
    """Why an endpoint does not get a message."""

    DISABLED = "disabled"
    FILTER_TYPES = "filter_types"
    CHANNELS = "channels"


class Endpoint(Model):
    id = IdField(primary_key=True)
    org_id = IdField()
    app_id = IdField()
    uid = IdField(null=True)
    url = fields.TextField()
    description = fields.TextField()
    channels: list[str] | None = json_field(null=True)
    filter_types: list[str] | None = json_field(null=True)
    rate_limit = fields.IntField(null=True)
    # The choices of `models.delivery_policy`, null for none.
    delivery_policy: dict[str, Any] | None = json_field(null=True)
    version = fields.IntField(default=1)
    metadata: dict[str, str] = json_field()
    # Encrypted and bound to this row: a JSON object of custom headers, the secret, and a JSON list of [old secret, expiry in µs].
    headers = fields.TextField()
    secret = fields.TextField()
    old_secrets = fields.TextField()
    disabled = fields.BooleanField(default=False)
    disabled_reason = fields.TextField(null=True)
    # When the present run of failures began; cleared by a success.
    failing_since = TimestampField(null=True)
    created_at = TimestampField()
    updated_at = TimestampField()
    deleted_at = TimestampField(null=True)

    class Meta:
        table = "endpoint"
        unique_together = (("app_id", "uid"), ("app_id", "id"))

    @classmethod
    async def load(cls, app: Application, reference: str, path: tuple[str, ...] = ("endpointId",)) -> Self:
        """The application's endpoint of that id or uid. Raises `NotFound`."""
        found = await _living(app).raw(NAMED, reference, reference).load(cls) if could_be_reference(reference) else []
        if not found:
            raise NotFound(f"There is no endpoint {short(reference)} in this application.", path)
        return found[0]

    @classmethod
    async def page(cls, app: Application, request: PageRequest, *, descending: bool = True) -> Page[Self]:
        """The application's endpoints by id, newest first unless asked otherwise."""
        return await page_of(cls, _living(app), request, descending=descending)

    @classmethod
    async def require_room(cls, app: Application, most: int) -> None:
        """Raise `LimitExceeded` when the application has `most` endpoints, or `REMEMBERED` times as many with those that were deleted.

        Of those created at the same moment a few may go beyond.
        """
        async with database.read() as session:
            (row,) = await session.fetch(COUNT, app.id, REMEMBERED * most)
        if row["living"] >= most:
            raise LimitExceeded(f"An application has at most {most} endpoints; delete one first.")
        if row["kept"] >= REMEMBERED * most:
            raise LimitExceeded(
                "This application had so many endpoints that some must be forgotten first, when retention comes to those that were deleted."
            )

    @classmethod
    async def add(
        cls,
        app: Application,
        values: Mapping[str, Any],
        *,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Create an endpoint with its own secret. Raises `Conflict` when its uid is taken."""
        created_at = now()
        endpoint_id = new_id("ep_", created_at)
        if secret is not None:
            parse_secret(secret)
        try:
            async with database.transaction() as session:
                endpoint = await cls.create(
                    id=endpoint_id,
                    org_id=app.org_id,
                    app_id=app.id,
                    created_at=created_at,
                    updated_at=created_at,
                    headers=seal("endpoint.headers", endpoint_id, dump_json(dict(headers or {}))),
                    secret=seal("endpoint.secret", endpoint_id, secret or generate_secret()),
                    old_secrets=seal("endpoint.old_secrets", endpoint_id, "[]"),
                    **values,
                )
                await tell_endpoints(session, [EndpointChange(OperationalType.ENDPOINT_CREATED, endpoint_id, endpoint.uid)])
                return endpoint
        except IntegrityError as error:
            raise _taken(values) from error

    async def change(self, values: Mapping[str, Any]) -> Self:
        """Write new values. Raises `Conflict` when a new uid is taken. Enabling an endpoint forgets its failures."""
        try:
            async with database.transaction() as session:
                # Of two requests at once that disable it, one does: it is told once.
                before = await self._lock(session)
                told: dict[OperationalType, dict[str, Any]] = {OperationalType.ENDPOINT_UPDATED: {}}
                changed = dict(values)
                if changed.get("disabled") is False and before["disabled"]:
                    changed |= {"failing_since": None, "disabled_reason": None}
                    told[OperationalType.ENDPOINT_ENABLED] = {"trigger": "manual"}
                elif changed.get("disabled") is True and not before["disabled"]:
                    changed["disabled_reason"] = "disabled by request"
                    told[OperationalType.ENDPOINT_DISABLED] = {"trigger": "manual", "failSince": shown_instant(before["failing_since"])}
                if _begins_a_queue(before, changed):
                    await restriction.forget_head(session, self.id)
                await self._write(changed)
                await tell_endpoints(session, [EndpointChange(kind, self.id, self.uid, more) for kind, more in told.items()])
        except IntegrityError as error:
            raise _taken(values) from error
        return self

    async def remove(self) -> None:
        """Delete the endpoint: its uid is free again; what still waits for it is canceled when it falls due."""
        async with database.transaction() as session:
            before = await self._lock(session)
            await self._write({"deleted_at": now(), "uid": None})
            await tell_endpoints(session, [EndpointChange(OperationalType.ENDPOINT_DELETED, self.id, before["uid"])])

    async def _lock(self, session: Session) -> Row:
        """What the row holds now, until the transaction is over. Raises `NotFound` when it was deleted meanwhile."""
        rows = await session.fetch(LOCK, self.id)
        if not rows:
            raise NotFound(f"The endpoint {self.id} was deleted meanwhile.")
        return rows[0]

    async def _write(self, values: Mapping[str, Any]) -> None:
        changed = {**values, "updated_at": now()}
        self.update_from_dict(changed)
        await self.save(update_fields=list(changed))

    def refusal(self, event_type: str, channels: Sequence[str] | None) -> Refusal | None:
        """Why a message would not be sent here; None when it would. Accepting decides the same in SQL."""
        if self.disabled:
            return Refusal.DISABLED
        if self.filter_types is not None and event_type not in self.filter_types:
            return Refusal.FILTER_TYPES
        if self.channels is not None and not set(self.channels) & set(channels or ()):
            return Refusal.CHANNELS
        return None

    def require_enabled(self) -> None:
        """Raise `Conflict` while it is disabled: nothing can be sent to it, by hand neither."""
        if self.disabled:
            raise Conflict("The endpoint is disabled; enable it first.", ("endpointId",), code="ENDPOINT_DISABLED")

    def header_map(self) -> dict[str, str]:
        """The custom headers in clear."""
        return open_headers(self.id, self.headers)

    async def set_headers(self, headers: Mapping[str, str]) -> None:
        """Replace the custom headers; the next attempt carries them."""
        await self.change({"headers": seal("endpoint.headers", self.id, dump_json(dict(headers)))})

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """One transaction in which the row, read anew, is nobody else's to change: for a change that depends on what it replaces."""
        async with database.transaction() as session:
            await self._lock(session)
            await self.refresh_from_db()
            yield

    def secret_text(self) -> str:
        """The current secret in clear."""
        return unseal("endpoint.secret", self.id, self.secret)

    async def rotate_secret(
        self, secret: str | None = None, grace: timedelta = ROTATION_GRACE, values: Mapping[str, Any] | None = None
    ) -> None:
        """Make `secret` (or a fresh one) current. The one before keeps signing, second, until `grace` is over. Other new values come with it.

        Raises `LimitExceeded` when the old secret would be the eleventh within its grace, and what `change` raises.
        """
        if secret is not None:
            parse_secret(secret)
        async with self.locked():
            try:
                old = [[key, until] for key, until in _old_secrets(self.id, self.old_secrets) if until > to_us(now())]
                before = self.secret_text()
            except SecretUnreadable:  # a new one is what mends it
                old, grace = [], timedelta(0)
            if grace > timedelta(0):
                if len(old) >= MAX_OLD_SECRETS:
                    raise LimitExceeded(
                        f"{MAX_OLD_SECRETS} old secrets are still valid; wait until one of them expires, or give this one no grace."
                    )
                old.insert(0, [before, to_us(now() + grace)])
            await self.change(
                {
                    **(values or {}),
                    "secret": seal("endpoint.secret", self.id, secret or generate_secret()),
                    "old_secrets": seal("endpoint.old_secrets", self.id, dump_json(old)),
                }
            )


def signing_keys(endpoint_id: str, secret: str, old_secrets: str, at_us: int) -> list[SigningKey]:
    """The keys that sign at a moment (in microseconds), current first, from an endpoint's sealed columns."""
    texts = [unseal("endpoint.secret", endpoint_id, secret)]
    texts += [key for key, until in _old_secrets(endpoint_id, old_secrets) if until > at_us]
    return [parse_secret(text) for text in texts]


def open_headers(endpoint_id: str, headers: str) -> dict[str, str]:
    """The custom headers in clear, from an endpoint's sealed column."""
    found: dict[str, str] = orjson.loads(unseal("endpoint.headers", endpoint_id, headers))
    return found


def _old_secrets(endpoint_id: str, sealed: str) -> Sequence[tuple[str, int]]:
    found: Sequence[tuple[str, int]] = orjson.loads(unseal("endpoint.old_secrets", endpoint_id, sealed))
    return found


def _taken(values: Mapping[str, Any]) -> Conflict:
    return Conflict(f"An endpoint with the uid {values.get('uid')!r} exists already in this application.", ("input", "uid"))


def _begins_a_queue(before: Row, changed: Mapping[str, Any]) -> bool:
    # By what the row holds, not by what whoever changes it had read of it.
    policy = orjson.loads(before["policy"]) if before["policy"] else {}
    return not policy.get("ordered") and bool((changed.get("delivery_policy") or {}).get("ordered"))


def _living(app: Application) -> Where:
    return Where().equal("app_id", app.id).raw("deleted_at IS NULL")
