"""The migrations lead to what the models say."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from tortoise import Tortoise
from tortoise.migrations.autodetector import MigrationAutodetector

from graphook import database
from tests.conftest import Backend
from tests.deployment import ROOT, SECRET_KEY


async def test_no_model_has_a_change_that_lacks_a_migration(db: str) -> None:
    assert Tortoise.apps is not None
    changes = await MigrationAutodetector(Tortoise.apps, database.tortoise_config(db)["apps"]).changes()
    assert [operation for change in changes for operation in change.operations] == []


@pytest.mark.postgresql_only
async def test_many_that_migrate_at_once_take_turns(backend: Backend) -> None:
    """As replicas do that are started together."""
    url = await backend.empty_database()
    environment = {**os.environ, "GRAPHOOK_DATABASE_URL": url, "GRAPHOOK_SECRET_KEY": SECRET_KEY}

    async def migrate() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "graphook.cli", "migrate", env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    results = await asyncio.gather(*(migrate() for _ in range(3)))

    assert [status for status, _ in results] == [0, 0, 0], results
    assert sorted(said.startswith("applied 0001") for _, said in results) == [False, False, True]
