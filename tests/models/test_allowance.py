"""What an organisation may do only so often, by the clock of the database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from graphook import database
from graphook.clock import now, to_us
from graphook.errors import LimitExceeded
from models.allowance import draw

pytestmark = pytest.mark.usefixtures("db")


async def test_there_are_no_more_than_a_minute_allows() -> None:
    for _ in range(3):
        await draw("test:org_a", 3, "tests")

    with pytest.raises(LimitExceeded, match="At most 3 tests a minute"):
        await draw("test:org_a", 3, "tests")
    await draw("test:org_b", 3, "tests")


async def test_a_clock_that_was_set_back_keeps_nobody_waiting_until_it_is_where_it_was() -> None:
    await draw("test:org_a", 3, "tests")
    async with database.transaction() as session:
        await session.fetch_text(f"UPDATE allowance SET refilled_at = {to_us(now() + timedelta(hours=1))}")

    for _ in range(2):
        await draw("test:org_a", 3, "tests")
    with pytest.raises(LimitExceeded):
        await draw("test:org_a", 3, "tests")


async def test_nor_whoever_has_none_left() -> None:
    for _ in range(3):
        await draw("test:org_a", 3, "tests")
    async with database.transaction() as session:
        await session.fetch_text(f"UPDATE allowance SET refilled_at = {to_us(now() + timedelta(hours=1))}")

    with pytest.raises(LimitExceeded):
        await draw("test:org_a", 3, "tests")

    async with database.read() as session:
        (row,) = await session.fetch_text("SELECT refilled_at FROM allowance")
    assert row["refilled_at"] <= to_us(now()) + 1_000_000
