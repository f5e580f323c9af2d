"""Remember of a message that is still being fanned out which endpoint was the last when it was accepted; null where an older version accepted it."""

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops


async def add(apps: Any, editor: Any) -> None:
    kind = "TEXT" if editor.client.capabilities.dialect == "sqlite" else 'text COLLATE "C"'
    await editor.client.execute_script(f"ALTER TABLE fanout ADD COLUMN last_endpoint {kind}")


class Migration(migrations.Migration):
    dependencies = [("models", "0006_messages_of_one_endpoint")]
    operations = [ops.RunPython(add)]
