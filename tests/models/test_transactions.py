"""Transactions within transactions: a failure that is caught breaks nothing around it."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.errors import Conflict, Locked
from models.application import Application
from models.organisation import Organisation

pytestmark = pytest.mark.usefixtures("db")


async def test_a_conflict_that_is_caught_leaves_the_transaction_around_it_usable() -> None:
    caller = Caller("tok_test", (await Organisation.found("a test")).id, None, frozenset(ALL_SCOPES))
    values: dict[str, Any] = {"name": "a test", "uid": "taken", "rate_limit": None, "metadata": {}}
    await Application.add(caller, values)

    async with database.transaction():
        with pytest.raises(Conflict):
            await Application.add(caller, values)
        await Application.add(caller, {**values, "uid": "free"})

    assert await Application.all().count() == 2


@pytest.mark.postgresql_only
async def test_a_row_that_somebody_holds_for_too_long_is_told_from_an_outage(db: str) -> None:
    organisation = await Organisation.found("a test")
    holder = await asyncpg.connect(db)
    hold = holder.transaction()
    await hold.start()
    await holder.execute("UPDATE organisation SET name = 'held' WHERE id = $1", organisation.id)

    async def rename() -> None:
        async with database.transaction() as session:
            await session.fetch_text("SET LOCAL lock_timeout = '50ms'")
            await Organisation.filter(id=organisation.id).update(name="another")

    with pytest.raises(Locked):
        await rename()

    await hold.rollback()
    await holder.close()
