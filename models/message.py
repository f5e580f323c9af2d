"""A message: one thing that happened in an application, accepted durably together with a delivery per listening endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

import orjson

from graphook import database
from graphook.clock import from_us, now, to_us
from graphook.database import Row, Session
from graphook.errors import Conflict, LimitExceeded, NotFound
from graphook.ids import new_id
from graphook.rules import could_be_reference, short
from models import idempotency
from models import message_sql as sql
from models.application import LIVING, Application
from models.cancel import NO_PAYLOAD, cancel_in
from models.fields import dump_nullable
from models.idempotency import IdempotencyKey
from models.page import Page, PageRequest
from models.where import Where, page_where

# Above this many endpoints a transaction would be open too long: workers fan the message out in pages.
INLINE_ENDPOINTS = 500
# Bytes of payloads, or of schemas, that are read at a time, and that one answer has: they are parsed and written without a pause, in which nobody else is served.
MAX_CONTENTS = 64 * 1024 * 1024
TOO_MUCH_CONTENT = f"One answer has at most {MAX_CONTENTS >> 20} MiB of payloads and schemas; ask for less at once."

COLUMNS = "id, org_id, app_id, event_type, event_id, channels, tags, created_at, expires_at, deliver_at"


@dataclass(frozen=True, slots=True)
class EventTypeState:
    """An event type as it was at a time; a change has another `updated_at` (in µs)."""

    id: str
    updated_at: int


class Unchecked(Exception):
    """The payload was not held against the schema that its event type has now. Nothing was written."""


@dataclass(slots=True)
class NewMessage:
    """A message to accept. `app` is an id or uid; `body` is the exact bytes that will be signed and sent."""

    org_id: str
    app: str
    event_type: str
    body: bytes
    event_id: str | None = None
    channels: list[str] | None = None
    tags: list[str] | None = None
    # For transformations: a JSON object as text.
    params: str | None = None
    retention: timedelta = timedelta(days=90)
    deliver_at: datetime | None = None
    # False: no endpoint gets it by itself.
    fan_out: bool = True
    key: IdempotencyKey | None = None
    # Whether the payload must fit the event type's schema, and the event type as it was when it did.
    must_fit: bool = False
    fits: EventTypeState | None = None
    # Only this endpoint gets it, whatever it listens to, also when what was missed is sent.
    endpoint_id: str | None = None
    created_at: datetime = field(default_factory=now)
    id: str = ""
    # The W3C trace context of the request it came with, when that is traced.
    traceparent: str | None = None

    def __post_init__(self) -> None:
        self.id = self.id or new_id("msg_", self.created_at)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a `NewMessage`. `replayed` when its idempotency key named an earlier message."""

    message_id: str
    app_id: str
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class AcceptedBatch:
    """Per message its outcome or error, the endpoints that have something to send, and the applications and organisations with news."""

    outcomes: list[Accepted | Exception]
    endpoint_ids: list[str]
    news: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One stored message. Its content lives until `expires_at` and is read separately."""

    id: str
    org_id: str
    app_id: str
    event_type: str
    event_id: str | None
    channels: list[str] | None
    tags: list[str] | None
    created_at: datetime
    expires_at: datetime
    deliver_at: datetime | None = None

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=row["id"],
            org_id=row["org_id"],
            app_id=row["app_id"],
            event_type=row["event_type"],
            event_id=row["event_id"],
            channels=_list(row["channels"]),
            tags=_list(row["tags"]),
            created_at=from_us(row["created_at"]),
            expires_at=from_us(row["expires_at"]),
            deliver_at=None if row["deliver_at"] is None else from_us(row["deliver_at"]),
        )

    @classmethod
    async def load(cls, app: Application, reference: str, path: tuple[str, ...] = ("messageId",)) -> Self:
        """The application's message of that id or event id. Raises `NotFound`."""
        where = Where().equal("app_id", app.id)
        if reference.startswith("msg_"):
            where.equal("id", reference)
        else:
            where.raw("id = (SELECT message_id FROM message_key WHERE app_id = ? AND event_id = ?)", app.id, reference)
        rows = await where.fetch(f"SELECT {COLUMNS} FROM message") if could_be_reference(reference) else []
        if not rows:
            raise NotFound(f"There is no message {short(reference)} in this application.", path)
        return cls.of(rows[0])

    @classmethod
    async def load_many(cls, app_id: str, message_ids: Sequence[str]) -> dict[str, Self]:
        """The application's messages of those ids, by id; unknown ones are left out."""
        rows = await Where().equal("app_id", app_id).any_of("id", message_ids).fetch(f"SELECT {COLUMNS} FROM message")
        return {row["id"]: cls.of(row) for row in rows}

    @classmethod
    async def find(cls, org_id: str, app_id: str | None, message_ids: Sequence[str]) -> list[Self]:
        """The messages of those ids in the organisation, and in the application if one is given; none of a deleted application."""
        where = Where().any_of("id", message_ids).equal("org_id", org_id).raw(LIVING.format("message"))
        if app_id is not None:
            where.equal("app_id", app_id)
        return [cls.of(row) for row in await where.fetch(f"SELECT {COLUMNS} FROM message")]

    @classmethod
    async def page(cls, where: Where, request: PageRequest) -> Page[Self]:
        """A page of messages, newest first."""
        page = await page_where(f"SELECT {COLUMNS} FROM message", where, request, descending=True)
        return page.map(cls.of)

    @staticmethod
    async def contents(messages: Sequence[Message], most: int = MAX_CONTENTS) -> Mapping[str, bytes]:
        """The bodies, by message id, of those messages whose content is still kept. Raises `LimitExceeded` when they have more than `most` bytes together."""
        async with database.read() as session:
            rows = await session.fetch_rows(sql.CONTENTS, [(m.id, to_us(m.expires_at)) for m in messages], most)
        if rows and rows[0]["total"] > most:
            raise LimitExceeded(TOO_MUCH_CONTENT)
        return {row["message_id"]: bytes(row["body"]) for row in rows}

    async def expunge(self) -> None:
        """Forget the content now and cancel what waits for it; the message and its attempts stay listed."""
        async with database.transaction() as session:
            await session.fetch(sql.EXPUNGE_CONTENT, self.id, to_us(self.expires_at))
            await cancel_in(session, [self.id], None, NO_PAYLOAD)

    @staticmethod
    async def accept(batch: Sequence[NewMessage]) -> AcceptedBatch:
        """Write a batch in one transaction: idempotency keys, messages, contents and one delivery per listening endpoint.

        Outcomes are per message: `NotFound` for an unknown application, `Conflict` for a taken event id or a reused idempotency key, `Unchecked`
        for a payload that was not held against its schema. What is answered with `Accepted` is durable. Every write is in key order.
        """
        outcomes: dict[int, Accepted | Exception] = {}
        async with database.transaction() as session:
            apps = await _resolve(session, batch)
            checks = await _checks(session, batch)
            unchecked = {m.id for m in batch if m.must_fit and checks.get((m.org_id, m.event_type), m.fits) != m.fits}
            accepted: list[tuple[int, NewMessage, str, bool]] = []
            keyed = [(m.key, m.id) for m in batch if m.key and (m.org_id, m.app) in apps and m.id not in unchecked]
            keys = await idempotency.take(session, keyed)
            for index, message in enumerate(batch):
                app = apps.get((message.org_id, message.app))
                answer = keys.get(message.id, message.id)
                if app is None:
                    outcomes[index] = NotFound(f"There is no application {short(message.app)}.", ("appId",))
                elif message.id in unchecked:
                    outcomes[index] = Unchecked(message.event_type)
                elif isinstance(answer, Conflict):
                    outcomes[index] = answer
                elif answer != message.id:
                    outcomes[index] = Accepted(answer, app[0], replayed=True)
                else:
                    accepted.append((index, message, *app))
            accepted = await _take_event_ids(session, accepted, outcomes)
            # Of two in one batch with the same key, the second is answered as the first, also when that one was refused.
            refused = {batch[index].id: outcome for index, outcome in outcomes.items() if isinstance(outcome, Conflict)}
            for index, outcome in outcomes.items():
                if isinstance(outcome, Accepted) and outcome.message_id in refused:
                    outcomes[index] = refused[outcome.message_id]
            endpoint_ids = await _write(session, accepted)
        for index, message, app_id, _ in accepted:
            outcomes[index] = Accepted(message.id, app_id)
        news = sorted({key for _, message, app_id, _ in accepted for key in (app_id, message.org_id)})
        return AcceptedBatch([outcomes[index] for index in range(len(batch))], endpoint_ids, news)

    @staticmethod
    async def write(session: Session, batch: Sequence[tuple[NewMessage, bool]]) -> list[str]:
        """Write messages whose `app` is an id that is known, in a transaction under way; answers with the endpoints that have something to send.

        With each comes whether its application has too many endpoints to fan out inline. One whose event id is taken is left out.
        """
        entries = [(index, message, message.app, many_endpoints) for index, (message, many_endpoints) in enumerate(batch)]
        return await _write(session, await _take_event_ids(session, entries, {}))


async def _resolve(session: Session, batch: Sequence[NewMessage]) -> dict[tuple[str, str], tuple[str, bool]]:
    """(organisation, reference) → application id, and whether it has too many endpoints to fan out inline."""
    wanted = sorted({(message.org_id, message.app) for message in batch if could_be_reference(message.app)})
    rows = await session.fetch_rows(sql.RESOLVE_APPLICATIONS, wanted, INLINE_ENDPOINTS + 1)
    return {(row["org_id"], row["reference"]): (row["id"], row["endpoints"] > INLINE_ENDPOINTS) for row in rows}


async def _checks(session: Session, batch: Sequence[NewMessage]) -> dict[tuple[str, str], EventTypeState]:
    """(organisation, name) → those event types that want payloads to fit, as they are now."""
    wanted = sorted({(message.org_id, message.event_type) for message in batch if message.must_fit})
    rows = await session.fetch_rows(sql.CHECKING_EVENT_TYPES, wanted)
    return {(row["org_id"], row["name"]): EventTypeState(row["id"], row["updated_at"]) for row in rows}


async def _take_event_ids(
    session: Session, accepted: list[tuple[int, NewMessage, str, bool]], outcomes: dict[int, Accepted | Exception]
) -> list[tuple[int, NewMessage, str, bool]]:
    # Of two in one batch that want the same event id, the earlier gets it.
    keyed = sorted((app_id, message.event_id, index, message.id) for index, message, app_id, _ in accepted if message.event_id is not None)
    wanted = [(app_id, event_id, message_id) for app_id, event_id, _, message_id in keyed]
    taken = {row["message_id"] for row in await session.fetch_rows(sql.TAKE_EVENT_IDS, wanted)}
    refused: list[IdempotencyKey] = []
    kept = []
    for entry in accepted:
        index, message, _, _ = entry
        if message.event_id is None or message.id in taken:
            kept.append(entry)
            continue
        outcomes[index] = Conflict(
            f"A message with the event id {message.event_id!r} exists already in this application.", ("input", "eventId")
        )
        if message.key is not None:
            refused.append(message.key)
    await idempotency.release(session, refused)
    return kept


async def _write(session: Session, accepted: Sequence[tuple[int, NewMessage, str, bool]]) -> list[str]:
    """Insert messages, contents and deliveries; the endpoints that have something to send."""
    messages, contents, inline, paged, single = [], [], [], [], []
    for _, message, app_id, many_endpoints in sorted(accepted, key=lambda entry: entry[1].id):
        created_at, expires_at = to_us(message.created_at), to_us(message.created_at + message.retention)
        channels, tags = dump_nullable(message.channels), dump_nullable(message.tags)
        deliver_at = None if message.deliver_at is None else to_us(message.deliver_at)
        messages.append(
            (
                message.id, message.org_id, app_id, message.event_type, message.event_id, channels, tags, created_at, expires_at,
                message.traceparent, deliver_at, message.endpoint_id,
            )
        )  # fmt: skip
        contents.append((message.id, expires_at, message.body, message.params))
        if not message.fan_out:
            continue
        if message.endpoint_id is not None:
            single.append((message.id, message.endpoint_id, created_at))
        elif many_endpoints:
            paged.append((message.id, app_id))
        else:
            # Ready, or waiting for its time.
            due = (created_at, 0) if deliver_at is None else (deliver_at, 1)
            inline.append((message.id, app_id, message.event_type, channels, *due))
    await session.write_rows(sql.INSERT_MESSAGES, messages)
    await session.write_rows(sql.INSERT_CONTENTS, contents)
    await session.write_rows(sql.INSERT_FANOUTS, paged)
    rows = [*await session.fetch_rows(sql.FAN_OUT, inline), *await session.fetch_rows(sql.SEND_TO, single)]
    return sorted({row["endpoint_id"] for row in rows if not row["state"]})


def _list(value: Any) -> list[str] | None:
    found: list[str] | None = orjson.loads(value) if isinstance(value, str) else value
    return found
