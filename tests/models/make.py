"""Builders of rows for tests of the models: valid by default."""

from __future__ import annotations

import itertools
from typing import Any

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.database import Statement
from models import claiming
from models.application import Application
from models.attempt import MessageStatus
from models.claim import Claim
from models.delivery import Result, State
from models.destination import Destination
from models.endpoint import Endpoint
from models.message import Accepted, Message, NewMessage
from models.organisation import Organisation
from models.page import PageRequest
from models.task import Task, TaskStatus
from tests.waiting import until

_numbers = itertools.count(1)


async def application(**values: Any) -> Application:
    """An application in an organisation of its own."""
    organisation = await Organisation.found("a test")
    caller = Caller("tok_test", organisation.id, None, frozenset(ALL_SCOPES))
    return await Application.add(caller, {"name": "a test", "uid": None, "rate_limit": None, "metadata": {}, **values})


async def endpoint(app: Application, **values: Any) -> Endpoint:
    return await Endpoint.add(app, {"url": "http://127.0.0.1:1/", "description": "", "metadata": {}, **values})


async def copies(endpoint: Endpoint, count: int) -> None:
    """So many more endpoints like that one, whose secrets nobody can open."""
    async with database.transaction() as session:
        columns = "org_id, app_id, url, description, version, metadata, headers, secret, old_secrets, disabled, created_at, updated_at"
        counting = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $1)"
        copied = f"{counting} SELECT 'ep_many' || n, {columns} FROM endpoint, c WHERE id = '{endpoint.id}'"
        await session.fetch(Statement.same(f"INSERT INTO endpoint (id, {columns}) {copied}"), count)


async def message(app: Application, **values: Any) -> str:
    """The id of an accepted message."""
    accepted = await Message.accept([NewMessage(app.org_id, app.id, "a.b", b'{"n":%d}' % next(_numbers), **values)])
    (outcome,) = accepted.outcomes
    assert isinstance(outcome, Accepted), outcome
    return outcome.message_id


async def claims(*endpoints: Endpoint, each: int = 10, worker: str = "worker", lease_us: int = 30_000_000) -> list[Claim]:
    """What is ready for the endpoints, leased."""
    return (await claiming.claim({e.id: each for e in endpoints}, worker, lease_us)).claims


async def ended(task: Task) -> Task:
    """A task once it has ended."""

    async def is_ended() -> bool:
        await task.refresh_from_db()
        return task.status != TaskStatus.RUNNING.value

    await until(is_ended, lambda: f"the end of {task.id}, now {task.progress} % and {task.state}")
    return task


async def standing(message_id: str) -> MessageStatus:
    """How a message stands with its one endpoint."""
    (destination,) = (await Destination.page(message_id, PageRequest())).items
    return destination.status


def result(
    claim: Claim, state: State = State.SUCCEEDED, *, delay: int | None = None, status: int = 200, at: int = 1_800_000_000_000_000
) -> Result:
    """The result of a claim as the engine would record it."""
    return Result(
        claim=claim,
        state=state,
        delay=delay,
        counted=True,
        started_at=at,
        duration_ms=3,
        status_code=status,
        response=b"said",
        response_headers=[("Content-Length", "4")],
        request_headers=[("webhook-id", claim.message_id)],
        sensitive_headers=[],
        error_code=None,
    )
