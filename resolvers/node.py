"""Anything by its id, within what the caller may see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import strawberry

from graphook.auth import Caller, Scope
from graphook.errors import InvalidInput, NotFound
from graphook.ids import is_id
from models.application import Application as ApplicationRow
from models.attempt import Attempt as AttemptRow
from models.endpoint import Endpoint as EndpointRow
from models.event_type import EventType as EventTypeRow
from models.integration import Integration as IntegrationRow
from models.message import COLUMNS
from models.message import Message as MessageRow
from models.task import Task as TaskRow
from models.where import Where
from schema.context import Info
from schema.node import Node
from schema.types.application import Application
from schema.types.attempt import MessageAttempt
from schema.types.endpoint import Endpoint
from schema.types.event_type import EventType
from schema.types.integration import Integration
from schema.types.message import Message
from schema.types.task import BackgroundTask

MAX_NODES = 100


async def get(info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The id.")]) -> Node | None:
    """Anything by its id; null when there is none, or when it is somebody else's."""
    info.context.caller.require(Scope.READ)
    return await _find(info.context.caller, str(id))


async def many(info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
    """Several things by their ids, in order, at most 100; null where there is none."""
    info.context.caller.require(Scope.READ)
    if len(ids) > MAX_NODES:
        raise InvalidInput(f"ids has {len(ids)} items; at most {MAX_NODES} are allowed.", ("ids",))
    return [await _find(info.context.caller, str(id)) for id in ids]


async def _find(caller: Caller, node_id: str) -> Node | None:
    for prefix, find in _FINDERS.items():
        if is_id(node_id, prefix):
            return await find(caller, node_id)
    return None


async def _application(caller: Caller, node_id: str) -> Node | None:
    try:
        return Application.of(await ApplicationRow.load(caller, node_id))
    except NotFound:
        return None


async def _endpoint(caller: Caller, node_id: str) -> Node | None:
    only = {} if caller.app_id is None else {"app_id": caller.app_id}
    row = await EndpointRow.filter(id=node_id, org_id=caller.org_id, deleted_at=None, **only).first()
    return None if row is None else Endpoint.of(row)


async def _integration(caller: Caller, node_id: str) -> Node | None:
    only = {} if caller.app_id is None else {"app_id": caller.app_id}
    row = await IntegrationRow.filter(id=node_id, org_id=caller.org_id, **only).first()
    return None if row is None else Integration.of(row)


async def _event_type(caller: Caller, node_id: str) -> Node | None:
    row = await EventTypeRow.filter(id=node_id, org_id=caller.org_id).first()
    return None if row is None or not row.is_visible_to(caller) else EventType.of(row)


async def _message(caller: Caller, node_id: str) -> Node | None:
    where = Where().equal("id", node_id).equal("org_id", caller.org_id)
    if caller.app_id is not None:
        where.equal("app_id", caller.app_id)
    rows = await where.fetch(f"SELECT {COLUMNS} FROM message")
    return Message.of(MessageRow.of(rows[0])) if rows else None


async def _attempt(caller: Caller, node_id: str) -> Node | None:
    row = await AttemptRow.find(caller.org_id, caller.app_id, node_id)
    return None if row is None else MessageAttempt.of(row)


async def _task(caller: Caller, node_id: str) -> Node | None:
    try:
        return BackgroundTask.of(await TaskRow.load(caller, node_id))
    except NotFound:
        return None


_FINDERS: dict[str, Callable[[Caller, str], Awaitable[Node | None]]] = {
    "app_": _application,
    "ep_": _endpoint,
    "evtype_": _event_type,
    "integ_": _integration,
    "msg_": _message,
    "atmpt_": _attempt,
    "qtask_": _task,
}
