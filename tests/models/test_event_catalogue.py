"""The catalogue of event types, written by several at once."""

from __future__ import annotations

import asyncio

import pytest

from graphook.auth import ALL_SCOPES, Caller
from models import event_catalogue
from models.event_type import EventType
from models.organisation import Organisation

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
