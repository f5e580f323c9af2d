"""What becomes of a key at the end of its day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from graphook import database
from graphook.database import Row, Session, Statement
from models import idempotency
from models.idempotency import FIND, RELEASE, IdempotencyKey

pytestmark = pytest.mark.usefixtures("db")


class Pruning:
    """A session in which the keys' time is over, and another process prunes them, just before they are looked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.pruned = False

    async def fetch_rows(self, statement: Statement, rows: Sequence[Sequence[Any]], *args: Any) -> Sequence[Row]:
        if statement is FIND and not self.pruned:
            self.pruned = True
            await self._session.fetch_rows(RELEASE, rows)
        return await self._session.fetch_rows(statement, rows, *args)


async def test_a_key_that_is_pruned_as_it_is_looked_for_is_free_again() -> None:
    key, other = (IdempotencyKey.of("org_1", "applicationCreate", name, {}) for name in ("a", "b"))
    async with database.transaction() as session:
        assert await idempotency.take(session, [(key, "app_old")]) == {"app_old": "app_old"}

    async with database.transaction() as session:
        pruning = Pruning(session)
        taken = await idempotency.take(cast(Session, pruning), [(key, "app_new"), (key, "app_twice"), (other, "app_other")])

    assert pruning.pruned
    assert taken.pop("app_other") == "app_other"
    assert sorted(taken) == ["app_new", "app_twice"]
    assert len(set(taken.values())) == 1, "one of the two repeats the other"


async def test_a_key_names_what_it_made_for_a_day() -> None:
    key = IdempotencyKey.of("org_1", "applicationCreate", "a", {})
    async with database.transaction() as session:
        await idempotency.take(session, [(key, "app_old")])

    assert await idempotency.earlier(key) == "app_old"
    async with database.transaction() as session:
        assert await idempotency.take(session, [(key, "app_new")]) == {"app_new": "app_old"}
        await session.fetch_text("UPDATE idempotency SET expires_at = expires_at - 86400000000")

    assert await idempotency.earlier(key) is None
    async with database.transaction() as session:
        assert await idempotency.take(session, [(key, "app_new")]) == {"app_new": "app_new"}


@pytest.mark.postgresql_only
async def test_that_day_is_one_by_the_clock_of_the_database() -> None:
    """A process whose own clock is wrong forgets no key of the others, and keeps none for longer."""
    key = IdempotencyKey.of("org_1", "applicationCreate", "a", {})
    async with database.transaction() as session:
        await session.fetch_text("ALTER FUNCTION graphook_now() RENAME TO graphook_right_now")
        await session.fetch_text(
            "CREATE FUNCTION graphook_now() RETURNS bigint LANGUAGE sql AS 'SELECT graphook_right_now() + 172800000000'"
        )
        await idempotency.take(session, [(key, "app_old")])
    assert await idempotency.earlier(key) == "app_old"

    async with database.transaction() as session:
        await session.fetch_text("DROP FUNCTION graphook_now()")
        await session.fetch_text("ALTER FUNCTION graphook_right_now() RENAME TO graphook_now")
        (row,) = await session.fetch_text("SELECT (expires_at - graphook_now()) / 3600000000 AS hours FROM idempotency")
    assert 71 <= row["hours"] <= 72
