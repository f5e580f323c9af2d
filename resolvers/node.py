"""Anything by its id, within what the caller may see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import strawberry
from tortoise.expressions import Subquery

from graphook.auth import Caller, Scope
from graphook.errors import InvalidInput
from graphook.ids import is_id
from models.application import Application as ApplicationRow
from models.attempt import Attempt as AttemptRow
from models.endpoint import Endpoint as EndpointRow
from models.event_type import EventType as EventTypeRow
from models.integration import Integration as IntegrationRow
from models.message import Message as MessageRow
from models.task import Task as TaskRow
from models.template import Template as TemplateRow
from schema.context import Info
from schema.node import Node
from schema.types.application import Application
from schema.types.attempt import MessageAttempt
from schema.types.endpoint import Endpoint
from schema.types.event_type import EventType
from schema.types.integration import Integration
from schema.types.message import Message
from schema.types.task import BackgroundTask
from schema.types.template import Template

MAX_NODES = 100


async def get(info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The id.")]) -> Node | None:
    """Anything by its id; null when there is none, or when it is somebody else's."""
    info.context.caller.require(Scope.READ)
    return (await _find(info.context.caller, [str(id)])).get(str(id))


async def many(info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
    """Several things by their ids, in order, at most 100; null where there is none."""
    info.context.caller.require(Scope.READ)
    if len(ids) > MAX_NODES:
        raise InvalidInput(f"ids has {len(ids)} items; at most {MAX_NODES} are allowed.", ("ids",))
    found = await _find(info.context.caller, [str(id) for id in ids])
    return [found.get(str(id)) for id in ids]


async def _find(caller: Caller, ids: Sequence[str]) -> dict[str, Node]:
    """What the caller may see of these, by id, with one query for each kind."""
    found: dict[str, Node] = {}
    for prefix, find in _FINDERS.items():
        wanted = sorted({node_id for node_id in ids if is_id(node_id, prefix)})
        if wanted:
            found |= {str(node.id): node for node in await find(caller, wanted)}
    return found


def _only(caller: Caller) -> dict[str, str]:
    return {"org_id": caller.org_id} if caller.app_id is None else {"org_id": caller.org_id, "app_id": caller.app_id}


async def _applications(caller: Caller, ids: list[str]) -> list[Node]:
    return [Application.of(row) for row in await ApplicationRow.seen_by(caller).any_of("id", ids).load(ApplicationRow)]


async def _endpoints(caller: Caller, ids: list[str]) -> list[Node]:
    found = EndpointRow.filter(id__in=ids, deleted_at=None, app_id__in=_living(caller), **_only(caller))
    return [Endpoint.of(row) for row in await found]


async def _integrations(caller: Caller, ids: list[str]) -> list[Node]:
    return [Integration.of(row) for row in await IntegrationRow.filter(id__in=ids, app_id__in=_living(caller), **_only(caller))]


def _living(caller: Caller) -> Subquery:
    return Subquery(ApplicationRow.filter(org_id=caller.org_id, deleted_at=None).values("id"))


async def _event_types(caller: Caller, ids: list[str]) -> list[Node]:
    rows = await EventTypeRow.listed(caller.org_id).filter(id__in=ids)
    return [EventType.of(row) for row in rows if row.is_visible_to(caller)]


async def _messages(caller: Caller, ids: list[str]) -> list[Node]:
    return [Message.of(row) for row in await MessageRow.find(caller.org_id, caller.app_id, ids)]


async def _attempts(caller: Caller, ids: list[str]) -> list[Node]:
    return [MessageAttempt.of(row) for row in await AttemptRow.find(caller.org_id, caller.app_id, ids)]


async def _tasks(caller: Caller, ids: list[str]) -> list[Node]:
    return [BackgroundTask.of(row) for row in await TaskRow.filter(id__in=ids, **_only(caller))]


async def _templates(caller: Caller, ids: list[str]) -> list[Node]:
    return [Template.of(row) for row in await TemplateRow.find(caller, ids)]


_FINDERS: dict[str, Callable[[Caller, list[str]], Awaitable[list[Node]]]] = {
    "app_": _applications,
    "ep_": _endpoints,
    "evtype_": _event_types,
    "integ_": _integrations,
    "msg_": _messages,
    "atmpt_": _attempts,
    "qtask_": _tasks,
    "trtmpl_": _templates,
}
