"""Operations on background tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import strawberry

from graphook.auth import Scope
from models import idempotency
from models.task import Task as Row
from models.task import TaskStatus, TaskType
from resolvers.expected import lookup
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.types.ordering import Ordering
from schema.types.task import BackgroundTask


@lookup
async def get(info: Info, id: strawberry.ID) -> BackgroundTask | None:
    """The background task of that id; null when there is none."""
    return BackgroundTask.of(await Row.load(info.context.caller, str(id)))


async def page(
    info: Info,
    paging: Paging,
    order: Ordering = Ordering.DESCENDING,
    status: TaskStatus | None = None,
    task: TaskType | None = None,
) -> Connection[BackgroundTask]:
    """The background tasks, newest first."""
    info.context.caller.require(Scope.READ)
    request = paging.request("qtask_")
    found = await Row.page(info.context.caller, request, status=status, kind=task, descending=order is Ordering.DESCENDING)
    return connection(found, BackgroundTask.in_a_list)


async def watch(info: Info, id: strawberry.ID) -> AsyncGenerator[BackgroundTask, None]:
    """A background task as it gets on: now, and after every change. Completes when it is finished or failed."""
    info.context.caller.require(Scope.READ)
    shown: BackgroundTask | None = None
    row = await Row.load(info.context.caller, str(id))
    async for found in info.context.services.attempts.watch(row.org_id, row.id, lambda: Row.load(info.context.caller, row.id)):
        task = BackgroundTask.of(found)
        if task != shown:
            shown = task
            yield task
        if task.status is not TaskStatus.RUNNING:
            return


async def begin(
    info: Info,
    kind: TaskType,
    arguments: Mapping[str, Any],
    given: Mapping[str, Any],
    idempotency_key: str | None,
    app_id: str | None = None,
) -> BackgroundTask:
    """A new background task, or the one that a request with the same key and the same `given` has begun."""
    caller = info.context.caller
    key = info.context.idempotency(info, idempotency_key, given)

    async def add() -> str:
        return (await start(info, kind, arguments, app_id)).id

    return BackgroundTask.of(await Row.load(caller, await idempotency.once(key, add)))


async def begun(info: Info, given: Mapping[str, Any], idempotency_key: str | None) -> BackgroundTask | None:
    """The background task that a request with the same key and the same `given` has begun, if any: it stays begun, whatever would refuse it now."""
    earlier = await idempotency.earlier(info.context.idempotency(info, idempotency_key, given))
    return None if earlier is None else BackgroundTask.of(await Row.load(info.context.caller, earlier))


async def start(info: Info, kind: TaskType, arguments: Mapping[str, Any], app_id: str | None = None) -> Row:
    """A new background task of the caller's organisation. Raises `LimitExceeded` while it, or the application of its token, has too many."""
    return await Row.start_within(info.context.services.settings.tasks_outstanding, info.context.caller, kind, arguments, app_id)
