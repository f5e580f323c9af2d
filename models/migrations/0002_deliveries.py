"""Create the tables of the hot path, partitioned by time on PostgreSQL."""

from pathlib import Path
from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops


async def create(apps: Any, editor: Any) -> None:
    client = editor.client
    dialect = "sqlite" if client.capabilities.dialect == "sqlite" else "postgresql"
    sql = (Path(__file__).parent / "sql" / f"0002_deliveries.{dialect}.sql").read_text()
    await client.execute_script(sql)


class Migration(migrations.Migration):
    dependencies = [("models", "0001_initial")]
    operations = [ops.RunPython(create)]
    atomic = False
