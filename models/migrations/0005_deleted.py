"""Index the few applications and endpoints that are deleted, for retention to find them."""

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops


async def create(apps: Any, editor: Any) -> None:
    concurrently = "CONCURRENTLY" if editor.client.capabilities.dialect == "postgresql" else ""
    for table in ("application", "endpoint"):
        name = f"{table}_deleted"
        # One that was cut off while it was built is there, and of no use.
        await editor.client.execute_script(f"DROP INDEX {concurrently} IF EXISTS {name}")
        await editor.client.execute_script(f"CREATE INDEX {concurrently} {name} ON {table} (deleted_at) WHERE deleted_at IS NOT NULL")


class Migration(migrations.Migration):
    dependencies = [("models", "0004_starts")]
    atomic = False
    operations = [ops.RunPython(create)]
