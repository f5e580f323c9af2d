"""Payloads against the schemas of event types: which of these a process keeps."""

from __future__ import annotations

import pytest

from graphook.auth import ALL_SCOPES, Caller
from models.application import Application
from models.event_type import EventType
from models.message import NewMessage
from models.payload_check import PayloadChecks
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")


async def is_known(checks: PayloadChecks, app: Application, name: str) -> bool:
    """Whether the schema of an event type is kept, which is used by that."""
    message = NewMessage(app.org_id, app.id, name, b"{}")
    await checks.hold(message, ("input", "payload"))
    return message.fits is not None


async def test_of_schemas_beyond_what_is_kept_that_which_was_used_the_longest_ago_is_forgotten() -> None:
    app = await make.application()
    caller = Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES))
    for name in ("a", "b", "c", "d"):
        await EventType.add(caller, {"name": name, "description": "", "schemas": {"1": {}}, "validate_payload": True})
    checks = PayloadChecks(kept=2)

    await checks.learn(app.org_id, "a")
    await checks.learn(app.org_id, "b")
    assert await is_known(checks, app, "a")
    await checks.learn(app.org_id, "c")
    assert not await is_known(checks, app, "b")
    assert await is_known(checks, app, "c")
    assert await is_known(checks, app, "a")

    await checks.learn(app.org_id, "c")  # anew, as after a change
    await checks.learn(app.org_id, "d")
    assert [await is_known(checks, app, name) for name in ("a", "b", "c", "d")] == [False, False, True, True]
