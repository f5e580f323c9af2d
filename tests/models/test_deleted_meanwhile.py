"""Changes of rows that somebody else has deleted since they were read: nothing is written, and the caller is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graphook.auth import ALL_SCOPES, Caller
from graphook.errors import Conflict, NotFound
from models.application import Application
from models.event_type import EventType
from models.integration import Integration
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")


async def caller_of(app: Application) -> Caller:
    return Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES))


async def test_an_application_that_was_deleted_takes_no_uid() -> None:
    app = await make.application(uid="wanted")
    caller = await caller_of(app)
    read_before = await Application.load(caller, app.id)
    await app.remove()

    with pytest.raises(NotFound):
        await read_before.change({"uid": "wanted", "name": "late"})
    with pytest.raises(NotFound):
        await read_before.remove()

    again = await Application.add(caller, {"name": "again", "uid": "wanted", "rate_limit": None, "metadata": {}})
    assert (await Application.load(caller, "wanted")).id == again.id


async def test_of_two_changes_that_want_one_uid_the_second_conflicts() -> None:
    first = await make.application()
    caller = await caller_of(first)
    second = await Application.add(caller, {"name": "second", "uid": None, "rate_limit": None, "metadata": {}})

    answers = await asyncio.gather(*(app.change({"uid": "wanted"}) for app in (first, second)), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["Application", "Conflict"], answers
    assert isinstance(next(answer for answer in answers if isinstance(answer, Exception)), Conflict)


async def test_an_event_type_that_was_forgotten_is_not_found_by_a_change_and_made_anew_by_a_create() -> None:
    app = await make.application()
    caller = await caller_of(app)
    values: dict[str, Any] = {"name": "invoice.paid", "description": "", "archived": True}
    read_before = await EventType.add(caller, values)
    await (await EventType.load(caller, "invoice.paid")).remove(expunge=True)

    with pytest.raises(NotFound):
        await read_before.change({"description": "late"})
    with pytest.raises(NotFound):
        await read_before.remove()
    assert await EventType.all().count() == 0

    assert (await EventType.add(caller, {**values, "archived": False})).id != read_before.id


async def test_of_two_that_bring_an_event_type_back_at_once_the_second_is_told_that_it_exists() -> None:
    caller = await caller_of(await make.application())
    values: dict[str, Any] = {"name": "invoice.paid", "description": "", "archived": True}
    archived = await EventType.add(caller, values)

    both = (EventType.add(caller, {**values, "description": text, "archived": False}) for text in ("one", "other"))
    answers = await asyncio.gather(*both, return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "EventType"], answers
    made = next(answer for answer in answers if isinstance(answer, EventType))
    assert made.id == archived.id
    assert (await EventType.load(caller, "invoice.paid")).description == made.description


async def test_an_integration_that_was_deleted_is_not_found_by_whatever_comes_after() -> None:
    app = await make.application()
    caller = await caller_of(app)
    row = await Integration.add(caller, app, "a name")
    read_before = await Integration.load(app, row.id)
    await row.remove()

    for late in (read_before.rename("late"), read_before.rotate_key(), read_before.remove()):
        with pytest.raises(NotFound):
            await late
    assert await Integration.all().count() == 0
