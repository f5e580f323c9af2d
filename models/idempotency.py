"""Idempotency keys: the same key and the same arguments give the same entity, decided by the database."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import orjson

from graphook import database
from graphook.database import Session, Statement
from graphook.errors import Conflict, NotFound

T = TypeVar("T")

# A day, by the database's clock, which all processes share.
KEPT_FOR_US = 24 * 3_600_000_000

DELETE_EXPIRED = Statement(
    postgresql="""
        DELETE FROM idempotency i USING unnest($1::text[], $2::text[], $3::text[]) AS k(org_id, operation, key)
        WHERE i.org_id = k.org_id AND i.operation = k.operation AND i.key = k.key AND i.expires_at <= graphook_now()""",
    sqlite="""
        DELETE FROM idempotency WHERE expires_at <= graphook_now() AND (org_id, operation, key) IN (
            SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))""",
)
# (org_id, operation, key, request_hash, entity_id), and for how many µs they are kept → the entities whose key was free.
TAKE = Statement(
    postgresql="""
        INSERT INTO idempotency (org_id, operation, key, request_hash, entity_id, expires_at)
        SELECT k.*, graphook_now() + $6::bigint FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS k
        ON CONFLICT DO NOTHING RETURNING entity_id""",
    sqlite="""
        INSERT INTO idempotency (org_id, operation, key, request_hash, entity_id, expires_at)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, graphook_now() + ?2 FROM json_each(?1) WHERE true
        ON CONFLICT DO NOTHING RETURNING entity_id""",
)
FIND = Statement(
    postgresql="""
        SELECT i.org_id, i.operation, i.key, i.request_hash, i.entity_id, i.expires_at > graphook_now() AS kept
        FROM unnest($1::text[], $2::text[], $3::text[]) AS k(org_id, operation, key)
        JOIN idempotency i ON i.org_id = k.org_id AND i.operation = k.operation AND i.key = k.key""",
    sqlite="""
        SELECT i.org_id, i.operation, i.key, i.request_hash, i.entity_id, i.expires_at > graphook_now() AS kept FROM json_each(?1) k
        JOIN idempotency i ON i.org_id = k.value ->> 0 AND i.operation = k.value ->> 1 AND i.key = k.value ->> 2""",
)
RELEASE = Statement(
    postgresql="""
        DELETE FROM idempotency i USING unnest($1::text[], $2::text[], $3::text[]) AS k(org_id, operation, key)
        WHERE i.org_id = k.org_id AND i.operation = k.operation AND i.key = k.key""",
    sqlite="""
        DELETE FROM idempotency WHERE (org_id, operation, key) IN (
            SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))""",
)
NAME_ENTITY = Statement.same("UPDATE idempotency SET entity_id = $1 WHERE org_id = $2 AND operation = $3 AND key = $4")
DELETE_ALL_EXPIRED = Statement.same("""
    DELETE FROM idempotency WHERE (org_id, operation, key) IN (
        SELECT org_id, operation, key FROM idempotency WHERE expires_at <= graphook_now() LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING key""")


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one operation, with a hash of the arguments it came with."""

    org_id: str
    operation: str
    key: str
    request_hash: str

    @classmethod
    def of(cls, org_id: str, operation: str, key: str, arguments: object) -> IdempotencyKey:
        """The key for an operation with these arguments (anything JSON can hold)."""
        canonical = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
        return cls(org_id, operation, key, hashlib.sha256(canonical).hexdigest())

    @property
    def identity(self) -> tuple[str, str, str]:
        return (self.org_id, self.operation, self.key)


async def take(session: Session, wanted: Sequence[tuple[IdempotencyKey, str]]) -> dict[str, str | Conflict]:
    """Reserve keys for new entities, inside the transaction that creates them.

    Per wanted entity id: the id itself when the key was free, the earlier entity's id when this repeats it, or a `Conflict` when the key came
    with other arguments. Rows are written in key order, so that batches which share keys do not deadlock.
    """
    if not wanted:
        return {}
    answers: dict[str, str | Conflict] = {}
    # A key that was taken may be pruned before it is looked for, by another process: then it is free after all.
    while left := sorted(((key, entity_id) for key, entity_id in wanted if entity_id not in answers), key=lambda pair: pair[0].identity):
        identities = sorted({key.identity for key, _ in left})
        await session.fetch_rows(DELETE_EXPIRED, identities)
        taken = await session.fetch_rows(TAKE, [(*key.identity, key.request_hash, entity_id) for key, entity_id in left], KEPT_FOR_US)
        answers |= {row["entity_id"]: row["entity_id"] for row in taken}
        if len(taken) == len(left):
            break
        found = {
            (row["org_id"], row["operation"], row["key"]): (row["request_hash"], row["entity_id"])
            for row in await session.fetch_rows(FIND, identities)
        }
        for key, entity_id in left:
            if entity_id not in answers and key.identity in found:
                request_hash, earlier = found[key.identity]
                answers[entity_id] = earlier if request_hash == key.request_hash else _reused(key)
    return answers


async def earlier(key: IdempotencyKey | None) -> str | None:
    """The entity that the key names already, for what is checked before `once`. Raises `Conflict` when it came with other arguments."""
    if key is None:
        return None
    async with database.read() as session:
        rows = await session.fetch_rows(FIND, [key.identity])
    for row in rows:
        if row["kept"]:
            if row["request_hash"] != key.request_hash:
                raise _reused(key)
            return str(row["entity_id"])
    return None


async def release(session: Session, keys: Sequence[IdempotencyKey]) -> None:
    """Free keys whose creation failed, inside the transaction that reserved them."""
    await session.fetch_rows(RELEASE, sorted(key.identity for key in keys))


async def once(key: IdempotencyKey | None, create: Callable[[], Awaitable[str]]) -> str:
    """Run `create` (which answers with the new entity's id) unless the key names an earlier one; both in one transaction."""
    if key is None:
        return await create()
    placeholder = f"pending:{key.request_hash}"
    async with database.transaction() as session:
        answer = (await take(session, [(key, placeholder)]))[placeholder]
        if isinstance(answer, Conflict):
            raise answer
        if answer != placeholder:
            return answer
        entity_id = await create()
        await session.fetch(NAME_ENTITY, entity_id, *key.identity)
        return entity_id


async def made(entity: Awaitable[T]) -> T:
    """The entity that `once` answered with, as it loads. Raises `NotFound` that names the key where it was deleted since."""
    try:
        return await entity
    except NotFound:
        raise gone() from None


def gone() -> NotFound:
    """What a repeated creation hears whose entity there is no more."""
    return NotFound("What this idempotency key made was deleted since; a new key makes another.", ("idempotencyKey",))


def _reused(key: IdempotencyKey) -> Conflict:
    return Conflict(f"The idempotency key {key.key!r} was used with other arguments.", ("idempotencyKey",), code="IDEMPOTENCY_KEY_REUSED")
