"""Connecting to the database: what its URL says is done."""

from __future__ import annotations

import pytest

from graphook import database
from graphook.errors import Unavailable
from tests.conftest import Backend


@pytest.mark.postgresql_only
async def test_the_query_of_a_url_says_how_to_connect(backend: Backend) -> None:
    """As it does in the URLs of those who let PostgreSQL, which end in ?sslmode=require."""
    url = await backend.fresh_database()
    try:
        await database.connect(f"{url}?sslmode=disable&application_name=ours")
        async with database.read() as session:
            (row,) = await session.fetch_text("SELECT current_setting('application_name') AS name, current_database() AS made")
        assert (row["name"], row["made"]) == ("ours", url.rpartition("/")[2])
        await database.disconnect()
        for query, fault in {"sslmode=verify-full&sslrootcert=/nowhere/root.crt": "No such file", "nonsense=1": "nonsense"}.items():
            with pytest.raises(Unavailable, match=fault):
                await database.connect(f"{url}?{query}")
    finally:
        await database.disconnect()
        await backend.drop(url)
