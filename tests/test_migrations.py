"""The migrations lead to what the models say."""

from __future__ import annotations

from tortoise import Tortoise
from tortoise.migrations.autodetector import MigrationAutodetector

from graphook import database


async def test_no_model_has_a_change_that_lacks_a_migration(db: str) -> None:
    assert Tortoise.apps is not None
    changes = await MigrationAutodetector(Tortoise.apps, database.tortoise_config(db)["apps"]).changes()
    assert [operation for change in changes for operation in change.operations] == []
