"""Create the starts that the cursors of a SQLite file name. PostgreSQL tells its lives apart by itself.

Nothing uses `incarnation` any more; it stays for the release before.
"""

from pathlib import Path
from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops


async def create(apps: Any, editor: Any) -> None:
    if editor.client.capabilities.dialect == "sqlite":
        await editor.client.execute_script((Path(__file__).parent / "sql" / "0004_starts.sqlite.sql").read_text())


class Migration(migrations.Migration):
    dependencies = [("models", "0003_templates")]
    operations = [ops.RunPython(create)]
