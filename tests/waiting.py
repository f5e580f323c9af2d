"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from graphook import database

# Seconds that a condition may take on a machine that has much else to do; they cost nothing when all is well.
PATIENCE = 60.0
LOOK_EVERY = 0.02


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: Callable[[], str] | str = "the condition", *, patience: float = PATIENCE
) -> None:
    """Return once the condition holds; fail with what was being waited for when it does not."""
    try:
        async with asyncio.timeout(patience):
            while True:
                holds = condition()
                if inspect.isawaitable(holds):
                    holds = await holds
                if holds:
                    return
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError:
        raise AssertionError(f"waited {patience:g} s for {what() if callable(what) else what}") from None


async def somebody_waits_for_a_lock() -> bool:
    """Whether a statement in the process's database, which is PostgreSQL, waits for a lock that another transaction holds."""
    async with database.read() as session:
        text = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await session.fetch_text(text))
