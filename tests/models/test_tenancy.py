"""What belongs to another organisation, or to another application, is not there, by whatever name it is asked for."""

from __future__ import annotations

import pytest

from graphook.auth import ALL_SCOPES, Caller
from graphook.errors import InvalidInput, NotFound
from models import event_catalogue
from models.application import Application
from models.event_type import EventType
from models.message import Message, NewMessage, Unchecked
from models.page import PageRequest
from models.task import Task, TaskType
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")


def caller(app: Application, *, limited: bool = False) -> Caller:
    """Who speaks for the application's organisation, or for the application alone."""
    return Caller("tok_test", app.org_id, app.id if limited else None, frozenset(ALL_SCOPES))


async def test_an_application_that_another_organisation_calls_the_same_is_not_taken_for_ours() -> None:
    theirs = await make.application(uid="customer")
    ours = await make.application()

    found, created = await Application.get_or_add(caller(ours), {"uid": "customer", "name": "New", "metadata": {}})

    assert created
    assert (found.org_id, found.id != theirs.id) == (ours.org_id, True)


async def test_an_operator_finds_a_living_application_of_the_organisation_and_not_its_own_one() -> None:
    app, theirs = await make.application(uid="customer"), await make.application(uid="another")
    own = await Application.of_operational_messages(caller(app), create=True)

    for reference in (app.id, "customer"):
        assert (await Application.of_organisation(app.org_id, reference)).id == app.id
    await app.remove()
    for reference in (app.id, "customer", theirs.id, "another", own.id):
        with pytest.raises(NotFound):
            await Application.of_organisation(app.org_id, reference)


async def test_a_token_of_one_application_has_no_task_of_another_nor_of_the_organisation() -> None:
    app = await make.application()
    neighbour = await Application.add(caller(app), {"name": "a neighbour", "metadata": {}})
    mine = await Task.start(app.org_id, TaskType.ENDPOINT_RECOVER, {}, app.id)
    others = [
        await Task.start(app.org_id, TaskType.ENDPOINT_RECOVER, {}, neighbour.id),
        await Task.start(app.org_id, TaskType.MESSAGE_BROADCAST, {}),
        await Task.start((await make.application()).org_id, TaskType.ENDPOINT_RECOVER, {}),
    ]
    limited = caller(app, limited=True)

    assert (await Task.load(limited, mine.id)).id == mine.id
    assert (await Task.page(limited, PageRequest(), status=None, kind=None, descending=True)).keys == [mine.id]
    for task in others:
        with pytest.raises(NotFound):
            await Task.load(limited, task.id)


async def test_event_types_of_another_organisation_are_neither_known_nor_brought_back_nor_read_here() -> None:
    ours, theirs = caller(await make.application()), caller(await make.application())
    await EventType.add(theirs, {"name": "a.live", "description": "theirs"})
    await (await EventType.add(theirs, {"name": "an.archived", "description": "theirs"})).remove()

    with pytest.raises(InvalidInput) as refused:
        await EventType.require_known(ours, ["a.live"], ("input", "filterTypes"))
    assert refused.value.path == ("input", "filterTypes", "0")
    for name in ("a.live", "an.archived"):
        with pytest.raises(NotFound):
            await EventType.load(ours, name)
    assert await event_catalogue.existing(ours, ["a.live", "an.archived"]) == {}
    assert await event_catalogue.others(ours, []) == []
    assert await event_catalogue.live(ours.org_id) == []

    assert (await EventType.add(ours, {"name": "an.archived", "description": "ours"})).org_id == ours.org_id
    assert [(row.description, row.archived) for row in await EventType.filter(org_id=theirs.org_id).order_by("name")] == [
        ("theirs", False),
        ("theirs", True),
    ]


async def test_an_archived_event_type_is_none_that_an_endpoint_may_listen_to() -> None:
    ours = caller(await make.application())
    await (await EventType.add(ours, {"name": "a.b", "description": ""})).remove()

    with pytest.raises(InvalidInput):
        await EventType.require_known(ours, ["a.b"], ())


async def test_an_event_type_of_the_same_name_in_another_organisation_decides_nothing_about_a_message() -> None:
    app, theirs = await make.application(), await make.application()
    await EventType.add(caller(theirs), {"name": "a.b", "description": "", "retry_schedule": [7.0], "validate_payload": True})
    endpoint = await make.endpoint(app)

    (outcome,) = (await Message.accept([NewMessage(app.org_id, app.id, "a.b", b"{}", must_fit=True)])).outcomes
    assert not isinstance(outcome, Exception)
    (claim,) = await make.claims(endpoint)
    assert claim.retry_schedule is None

    (outcome,) = (await Message.accept([NewMessage(theirs.org_id, theirs.id, "a.b", b"{}", must_fit=True)])).outcomes
    assert isinstance(outcome, Unchecked)
