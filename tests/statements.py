"""What a test's own connection to SQLite is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tortoise import Tortoise


@asynccontextmanager
async def reads() -> AsyncIterator[list[str]]:
    """The queries that are run in the block."""
    found: list[str] = []
    connection = getattr(Tortoise.get_connection("default"), "_connection")  # noqa: B009
    await connection.set_trace_callback(lambda text: found.append(text) if text.lstrip().upper().startswith(("SELECT", "WITH")) else None)
    try:
        yield found
    finally:
        await connection.set_trace_callback(None)
