"""Transactions within transactions: a failure that is caught breaks nothing around it."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.errors import Conflict
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


@pytest.mark.sqlite_only
async def test_a_transaction_that_is_cancelled_twice_while_it_begins_is_nobodys_afterwards(db: str) -> None:
    """By the end of a subscription's connection, say, and by the limit of its time."""
    organisation = await Organisation.found("a test")
    other = sqlite3.connect(db.removeprefix("sqlite://"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def rename() -> None:
        async with database.transaction():
            await Organisation.filter(id=organisation.id).update(name="another")

    task = asyncio.create_task(rename())
    for _ in range(2):
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    other.execute("ROLLBACK")
    with pytest.raises(asyncio.CancelledError):
        await task

    await rename()
    assert other.execute("SELECT name FROM organisation").fetchall() == [("another",)]
    other.close()
