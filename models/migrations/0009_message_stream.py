"""Add the consumers of the message stream, and indexes that find messages by tag and by channel."""

from pathlib import Path
from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

_PARTITIONS = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'message'::regclass ORDER BY 1"


async def create(apps: Any, editor: Any) -> None:
    client = editor.client
    dialect = "sqlite" if client.capabilities.dialect == "sqlite" else "postgresql"
    sql = (Path(__file__).parent / "sql" / f"0009_message_stream.{dialect}.sql").read_text()
    await client.execute_script(sql)


async def index(apps: Any, editor: Any) -> None:
    """Partition by partition, so that messages are accepted meanwhile; new partitions have the indexes from the first statement on."""
    client = editor.client
    if client.capabilities.dialect == "sqlite":
        return
    for column in ("tags", "channels"):
        how = f"USING gin ({column} jsonb_path_ops) WITH (gin_pending_list_limit = 512) WHERE {column} IS NOT NULL"
        await client.execute_script(f"CREATE INDEX message_by_{column} ON ONLY message {how}")
        for partition in await client.execute_query_dict(_PARTITIONS):
            name = partition["name"]
            await client.execute_script(f"CREATE INDEX CONCURRENTLY {name}_by_{column} ON {name} {how}")
            await client.execute_script(f"ALTER INDEX message_by_{column} ATTACH PARTITION {name}_by_{column}")


class Migration(migrations.Migration):
    dependencies = [("models", "0008_event_type_policies")]
    operations = [ops.RunPython(create), ops.RunPython(index)]
    atomic = False
