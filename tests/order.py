"""Waiting for the order of commits: on PostgreSQL, what is committed can be read in order once no older transaction is open on the whole server."""

from __future__ import annotations

import asyncpg

from tests.waiting import until


async def settled_order(database_url: str) -> None:
    """Return once everything that is committed now can be read in order: streams and live readers wait for older transactions, whosever they are."""
    if database_url.startswith("sqlite"):
        return
    connection = await asyncpg.connect(database_url)
    try:
        begun = await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")

        async def over() -> bool:
            return bool(await connection.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $1", begun))

        await until(over, "the transactions that are open to end")
    finally:
        await connection.close()
