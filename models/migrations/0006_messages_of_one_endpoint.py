"""Remember of a message that was sent to one endpoint by hand which one that was."""

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops


async def add(apps: Any, editor: Any) -> None:
    kind = "TEXT" if editor.client.capabilities.dialect == "sqlite" else 'text COLLATE "C"'
    await editor.client.execute_script(f"ALTER TABLE message ADD COLUMN endpoint_id {kind}")


class Migration(migrations.Migration):
    dependencies = [("models", "0005_deleted")]
    operations = [ops.RunPython(add)]
