"""A background task: long work that is done in steps, each one transaction, and taken over by another worker when one dies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

import orjson
from tortoise import Model, fields
from tortoise.indexes import Index

from graphook import database
from graphook.auth import Caller
from graphook.clock import now, to_us
from graphook.database import Session, Statement
from graphook.errors import LimitExceeded, NotFound
from graphook.ids import new_id, start_id
from graphook.rules import could_be_reference, short
from graphook.seats import share
from models.fields import IdField, TimestampField, dump_json, json_field
from models.operational import tell_task
from models.page import Page, PageRequest
from models.where import Where, page_of

# A task that was taken up this often without getting through a step is taken out of circulation.
MAX_STARTS = 4
# How long ago a turn may be that still counts against an organisation.
TURNS_KEPT = timedelta(hours=1)


class TaskStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class TaskType(StrEnum):
    """What a task does; the values are the contract's."""

    ENDPOINT_REPLAY = "endpoint.replay"
    ENDPOINT_RECOVER = "endpoint.recover"
    ENDPOINT_BULK_REPLAY = "endpoint.bulk-replay"
    SDK_GENERATE = "sdk.generate"
    APPLICATION_CANCEL_MESSAGES = "application.cancel_messages"
    APPLICATION_PURGE_CONTENT = "application.purge_content"
    APPLICATION_STATS = "application.stats"
    EVENT_TYPE_AGGREGATE = "event-type.aggregate"
    MESSAGE_BROADCAST = "message.broadcast"
    TEMPLATE_GENERATE = "template.generate"
    EVENT_TYPE_GENERATE_SCHEMA = "event-type.generate-schema"


# What asks a model; worked on by a runner of its own.
GENERATIONS = (TaskType.TEMPLATE_GENERATE, TaskType.EVENT_TYPE_GENERATE_SCHEMA)


class LeaseLost(Exception):
    """Another worker has taken the task over; what this one was about to write is rolled back."""


# worker, lease in µs, kinds, the first id of the last hour → the task that is next: of the organisations none of whose tasks is worked on, that whose turn
# is the longest ago, and of its tasks the one that was worked on the longest ago. A turn is when a task was taken up or did a step last, which still runs
# or was begun in the last hour.
CLAIM = Statement.same("""
    UPDATE task SET claim = claim + 1, starts = starts + 1, leased_by = $1, lease_until = graphook_now() + $2::bigint, updated_at = graphook_now()
    WHERE id = (
        SELECT t.id FROM task t JOIN (
            SELECT r.org_id, COALESCE(max(r.lease_until), 0) AS leased_until,
                   max(CASE WHEN r.claim > 0 THEN r.updated_at ELSE 0 END) AS worked_at,
                   COALESCE((SELECT max(e.updated_at) FROM task e
                             WHERE e.org_id = r.org_id AND e.id >= $4 AND e.type = ANY($3::text[]) AND e.claim > 0), 0) AS worked_lately
            FROM task r WHERE r.status = 'running' AND r.type = ANY($3::text[]) GROUP BY r.org_id) o ON o.org_id = t.org_id
        WHERE t.status = 'running' AND t.type = ANY($3::text[]) AND o.leased_until <= graphook_now()
        ORDER BY CASE WHEN o.worked_at > o.worked_lately THEN o.worked_at ELSE o.worked_lately END, t.updated_at, t.id
        LIMIT 1 FOR UPDATE OF t SKIP LOCKED)
    RETURNING id, org_id, app_id, type, arguments, claim, starts""")
# Whether there is anything to claim, for those who find nothing nearly always.
WAITING = Statement.same("SELECT 1 FROM task WHERE status = 'running' AND (lease_until IS NULL OR lease_until <= graphook_now()) LIMIT 1")
# Those who claim look one after the other, or two would each find that nobody works for an organisation. SQLite writes one after the other.
LOCK_TURNS = "SELECT pg_advisory_xact_lock(hashtext('graphook_task_turns'))"
# Those who begin a task of an organisation count one after the other, or all of them would take its last place.
LOCK_STARTS = "SELECT pg_advisory_xact_lock(hashtext('graphook_task_starts'), hashtext($1))"
# id, claim → how far the task has come, held until the step's transaction ends.
POSITION = Statement.same("SELECT state FROM task WHERE id = $1 AND claim = $2 AND status = 'running' FOR UPDATE")
# id, claim, state, progress, lease in µs
ADVANCE = Statement.same("""
    UPDATE task SET state = $3, progress = $4, starts = 0, lease_until = graphook_now() + $5, updated_at = graphook_now()
    WHERE id = $1 AND claim = $2 AND status = 'running' RETURNING id""")
# id, claim, status, data. What it was to do, such as a payload to send, goes with its end.
END = Statement.same("""
    UPDATE task SET status = $3, data = $4, arguments = '{}', progress = CASE WHEN $3 = 'finished' THEN 100 ELSE progress END, lease_until = NULL,
           leased_by = NULL, updated_at = graphook_now()
    WHERE id = $1 AND claim = $2 AND status = 'running' RETURNING id""")
# id, data → ended by request, whoever works on it.
CANCEL = Statement.same("""
    UPDATE task SET status = 'failed', data = $2, arguments = '{}', lease_until = NULL, leased_by = NULL, updated_at = graphook_now()
    WHERE id = $1 AND status = 'running' RETURNING org_id, type""")
# A process that owns the database alone takes back what its former life had leased.
TAKE_BACK = Statement.same("UPDATE task SET lease_until = NULL WHERE status = 'running' AND leased_by <> $1")
# First id and instant that are kept, at most so many → the tasks that were forgotten.
FORGET_ENDED = Statement.same("""
    DELETE FROM task WHERE id IN (
        SELECT id FROM task WHERE status IN ('finished', 'failed') AND id < $1 AND updated_at < $2 LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING id""")
RELEASE = Statement.same("UPDATE task SET lease_until = NULL, starts = 0 WHERE id = $1 AND claim = $2 AND status = 'running'")


class Task(Model):
    id = IdField(primary_key=True)
    org_id = IdField()
    app_id = IdField(null=True)
    type = fields.TextField()
    status = fields.TextField()
    arguments: dict[str, Any] = json_field()
    # How far it has come: what the next step begins with.
    state: dict[str, Any] = json_field()
    # Percent.
    progress = fields.FloatField(default=0.0)
    data: dict[str, Any] = json_field()
    claim = fields.IntField(default=0)
    # How often it was taken up since its last step.
    starts = fields.IntField(default=0)
    leased_by = fields.TextField(null=True)
    lease_until = TimestampField(null=True)
    created_at = TimestampField()
    updated_at = TimestampField()

    class Meta:
        table = "task"
        indexes = (Index(fields=("org_id", "id")), Index(fields=("status", "id")))

    @classmethod
    async def start(cls, org_id: str, kind: TaskType, arguments: Mapping[str, Any], app_id: str | None = None) -> Self:
        """Begin a task: a worker takes it up within a second. `arguments` hold what JSON can hold."""
        created_at = now()
        return await cls.create(
            id=new_id("qtask_", created_at),
            org_id=org_id,
            app_id=app_id,
            type=kind.value,
            status=TaskStatus.RUNNING.value,
            arguments=dict(arguments),
            state={},
            data={},
            created_at=created_at,
            updated_at=created_at,
        )

    @classmethod
    async def start_within(cls, most: int, caller: Caller, kind: TaskType, arguments: Mapping[str, Any], app_id: str | None = None) -> Self:
        """Begin a task that asks no model. Raises `LimitExceeded` while the organisation has `most` of them that have not ended.

        A token of an application begins none while there is a share of that many about its application.
        """
        org_id, own = caller.org_id, set(TaskType) - set(GENERATIONS)
        async with database.transaction() as session:
            if session.dialect == "postgresql":
                await session.fetch_text(LOCK_STARTS, org_id)
            if caller.app_id is not None and await cls.outstanding(org_id, own, app_id=caller.app_id) >= share(most):
                raise LimitExceeded(
                    f"At most {share(most)} background tasks of an application wait or are worked on; wait for some to end."
                )
            if await cls.outstanding(org_id, own) >= most:
                raise LimitExceeded(f"At most {most} background tasks of an organisation wait or are worked on; wait for some to end.")
            return await cls.start(org_id, kind, arguments, app_id)

    @classmethod
    async def outstanding(cls, org_id: str, kinds: Iterable[TaskType], **only: str) -> int:
        """How many tasks of those kinds an organisation has begun that have not ended; `only` says which columns hold what."""
        return await cls.filter(org_id=org_id, status=TaskStatus.RUNNING.value, type__in=[kind.value for kind in kinds], **only).count()

    @classmethod
    async def load(cls, caller: Caller, task_id: str) -> Self:
        """The caller's task of that id. Raises `NotFound`, also for somebody else's."""
        found = await _seen_by(caller).equal("id", task_id).load(cls) if could_be_reference(task_id) else []
        if not found:
            raise NotFound(f"There is no background task {short(task_id)}.", ("id",))
        return found[0]

    @classmethod
    async def page(
        cls, caller: Caller, request: PageRequest, *, status: TaskStatus | None, kind: TaskType | None, descending: bool
    ) -> Page[Self]:
        """The caller's tasks by id."""
        where = _seen_by(caller)
        if status is not None:
            where.equal("status", status.value)
        if kind is not None:
            where.equal("type", kind.value)
        return await page_of(cls, where, request, descending=descending)


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task leased to this process; `number` fences every step of it."""

    id: str
    org_id: str
    app_id: str | None
    type: TaskType
    arguments: Mapping[str, Any]
    number: int
    starts: int

    async def position(self, session: Session) -> Mapping[str, Any]:
        """How far the task has come, inside the step's transaction. Raises `LeaseLost`."""
        rows = await session.fetch(POSITION, self.id, self.number)
        if not rows:
            raise LeaseLost(self.id)
        found: Mapping[str, Any] = orjson.loads(rows[0]["state"])
        return found

    async def advance(self, session: Session, state: Mapping[str, Any], progress: float, lease_us: int) -> None:
        """Keep how far the task has come, inside the step's transaction. Raises `LeaseLost`."""
        if not await session.fetch(ADVANCE, self.id, self.number, dump_json(dict(state)), progress, lease_us):
            raise LeaseLost(self.id)

    async def end(self, session: Session, status: TaskStatus, data: Mapping[str, Any]) -> list[str]:
        """Record the result, inside the last step's transaction; answers with the endpoints that are to be told. Raises `LeaseLost`."""
        if not await session.fetch(END, self.id, self.number, status.value, dump_json(dict(data))):
            raise LeaseLost(self.id)
        return await _tell(session, self.org_id, self.id, self.type.value, status, data)

    async def release(self) -> None:
        """Give the task back, to be taken up at once by whoever looks next."""
        async with database.transaction() as session:
            await session.fetch(RELEASE, self.id, self.number)


async def claim_task(worker: str, lease_us: int, kinds: Iterable[TaskType] = TaskType) -> ClaimedTask | None:
    """Lease the next task of those kinds: one of an organisation at a time, and organisations take turns, as do the tasks of each.

    What a newer version has begun is left to its workers.
    """
    async with database.read() as session:
        if not await session.fetch(WAITING):
            return None
    async with database.transaction() as session:
        if session.dialect == "postgresql":
            await session.fetch_text(LOCK_TURNS)
        rows = await session.fetch(CLAIM, worker, lease_us, [kind.value for kind in kinds], start_id("qtask_", now() - TURNS_KEPT))
    if not rows:
        return None
    row = rows[0]
    return ClaimedTask(
        id=row["id"],
        org_id=row["org_id"],
        app_id=row["app_id"],
        type=TaskType(row["type"]),
        arguments=orjson.loads(row["arguments"]),
        number=row["claim"],
        starts=row["starts"],
    )


async def cancel_task(task_id: str, data: Mapping[str, Any]) -> list[str]:
    """End a task as failed if it still runs, whoever works on it; answers with the endpoints that are to be told."""
    async with database.transaction() as session:
        rows = await session.fetch(CANCEL, task_id, dump_json(dict(data)))
        told: list[str] = []
        for row in rows:
            told += await _tell(session, row["org_id"], task_id, row["type"], TaskStatus.FAILED, data)
        return told


async def forget_ended(before: datetime, limit: int) -> int:
    """Forget tasks that had ended before an instant, a batch of them; answers with how many."""
    async with database.transaction() as session:
        return len(await session.fetch(FORGET_ENDED, start_id("qtask_", before), to_us(before), limit))


async def take_back_tasks(but_of: str) -> None:
    """Let every lease of another process run out now: for a process that owns the database alone."""
    async with database.transaction() as session:
        await session.fetch(TAKE_BACK, but_of)


async def _tell(session: Session, org_id: str, task_id: str, kind: str, status: TaskStatus, data: Mapping[str, Any]) -> list[str]:
    # What a model wrote is of any size, and may hold what a payload held: whoever may read it asks for it.
    shown = {} if kind in GENERATIONS else data
    return await tell_task(session, org_id, {"taskId": task_id, "task": kind, "status": status.value, "data": shown})


def _seen_by(caller: Caller) -> Where:
    where = Where().equal("org_id", caller.org_id)
    return where if caller.app_id is None else where.equal("app_id", caller.app_id)
