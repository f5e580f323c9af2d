"""The backlog of an organisation: full for it, and for nobody else."""

from __future__ import annotations

import pytest

from graphook.errors import Overloaded
from models.backlog import Backlog
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
