"""Let each endpoint choose how it is delivered to, and keep what restricts it."""

from pathlib import Path
from typing import Any

from orjson import loads
from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from models.fields import dump_json


async def extend(apps: Any, editor: Any) -> None:
    client = editor.client
    dialect = "sqlite" if client.capabilities.dialect == "sqlite" else "postgresql"
    sql = (Path(__file__).parent / "sql" / f"0006_delivery_policy.{dialect}.sql").read_text()
    await client.execute_script(sql)


class Migration(migrations.Migration):
    dependencies = [("models", "0005_trace_context")]
    operations = [
        ops.AddField(model_name="Endpoint", name="delivery_policy", field=fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
        ops.RunPython(extend),
    ]
    atomic = False
