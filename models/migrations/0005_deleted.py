"""Index the few applications and endpoints that are deleted, for retention to find them."""

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

TABLES = ("application", "endpoint")


async def create(apps: Any, editor: Any) -> None:
    if editor.client.capabilities.dialect == "sqlite":
        for table in TABLES:
            await editor.client.execute_script(
                f"CREATE INDEX IF NOT EXISTS {table}_deleted ON {table} (deleted_at) WHERE deleted_at IS NOT NULL"
            )
        return
    async with editor.client.acquire_connection() as connection:
        # It waits for everybody who reads already, such as a backup, and holds nobody up meanwhile.
        await connection.execute("SET lock_timeout = 0")
        try:
            for table in TABLES:
                # One that was cut off while it was built is there, and of no use.
                await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {table}_deleted")
                await connection.execute(f"CREATE INDEX CONCURRENTLY {table}_deleted ON {table} (deleted_at) WHERE deleted_at IS NOT NULL")
        finally:
            await connection.execute("SET lock_timeout = '3s'")


class Migration(migrations.Migration):
    dependencies = [("models", "0004_starts")]
    atomic = False
    operations = [ops.RunPython(create)]
