"""The backlog of an organisation: full for it, and for nobody else."""

from __future__ import annotations

import time

import pytest

from graphook.errors import Overloaded
from models.backlog import BELIEVED, Backlog
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")


async def test_an_organisation_whose_backlog_is_full_is_refused_and_others_are_not() -> None:
    app, other = await make.application(), await make.application()
    endpoint = await make.endpoint(app)
    await make.endpoint(other)
    for _ in range(3):
        await make.message(app)
    await make.message(other)

    assert await refusal(3, app.org_id) == "BACKLOG_FULL"
    assert await refusal(3, other.org_id) is None
    assert await refusal(4, app.org_id) is None
    await make.claims(endpoint)
    assert await refusal(3, app.org_id) is None


async def refusal(limit: int, org_id: str) -> str | None:
    """The code that a backlog refuses with once it has counted."""
    backlog = Backlog(limit)
    backlog.check(org_id)
    await backlog.counted()
    try:
        backlog.check(org_id)
    except Overloaded as error:
        return error.code
    return None


async def test_an_organisation_that_was_quiet_for_a_while_is_not_refused_for_what_was_counted_then(monkeypatch: pytest.MonkeyPatch) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    backlog = Backlog(1)
    backlog.check(app.org_id)
    await backlog.counted()
    with pytest.raises(Overloaded):
        backlog.check(app.org_id)
    await make.claims(endpoint)

    later = time.monotonic() + BELIEVED
    monkeypatch.setattr("models.backlog.time.monotonic", lambda: later)
    backlog.check(app.org_id)

    await backlog.counted()
