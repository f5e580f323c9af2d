"""The catalogue of event types, written by several at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.errors import LimitExceeded
from models import event_catalogue
from models.event_type import EventType
from models.organisation import Organisation
from models.task import Task, TaskType, claim_task
from workers.event_export import export_openapi

pytestmark = pytest.mark.usefixtures("db")

VALUES = {"description": "", "schemas": None, "archived": False}


async def test_imports_that_archive_what_others_write_do_not_wait_for_each_other_in_a_circle() -> None:
    caller = Caller("tok_test", (await Organisation.found("a test")).id, None, frozenset(ALL_SCOPES))
    halves = [[f"type.{number:02}" for number in range(start, 40, 2)] for start in (0, 1)]
    for _ in range(10):
        await event_catalogue.write(caller, dict.fromkeys([*halves[0], *halves[1]], VALUES), archive_others=True)
        await asyncio.gather(*(event_catalogue.write(caller, dict.fromkeys(half, VALUES), archive_others=True) for half in halves))

    live = [row.name for row in await EventType.filter(org_id=caller.org_id, archived=False).order_by("name")]
    assert live in halves


async def test_a_catalogue_whose_document_would_be_too_long_is_not_read_to_find_that_out(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller("tok_test", (await Organisation.found("a test")).id, None, frozenset(ALL_SCOPES))
    schemas = {"1": {"description": "é" * 100_000}}
    wanted = {f"type.{number:02}": {**VALUES, "schemas": schemas} for number in range(30)}
    await event_catalogue.write(caller, wanted, archive_others=True)
    await Task.start(caller.org_id, TaskType.SDK_GENERATE, {})
    task = await claim_task("worker", 30_000_000)
    assert task is not None
    read: list[str] = []

    async def live(org_id: str) -> list[dict[str, Any]]:
        read.append(org_id)
        return []

    with monkeypatch.context() as patched:
        patched.setattr(event_catalogue, "live", live)
        async with database.transaction() as session:
            with pytest.raises(LimitExceeded, match="more than 2097152 bytes"):
                await export_openapi(session, task, {})
        assert read == []

    await event_catalogue.write(caller, {"type.00": {**VALUES, "schemas": schemas}}, archive_others=True)
    async with database.transaction() as session:
        assert (await export_openapi(session, task, {})).data["eventTypes"] == 1, "what is archived does not count"
