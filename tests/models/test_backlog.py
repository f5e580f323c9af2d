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

    with pytest.raises(Overloaded) as refusal:
        await Backlog(3).check(app.org_id)
    assert refusal.value.code == "BACKLOG_FULL"
    await Backlog(3).check(other.org_id)
    await Backlog(4).check(app.org_id)
    await make.claims(endpoint)
    await Backlog(3).check(app.org_id)
