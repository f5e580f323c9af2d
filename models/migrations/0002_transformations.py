"""Create the transformations of endpoints, and keep what messages say to them with their payload."""

from typing import Any

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from models.fields import IdField, TimestampField


async def extend(apps: Any, editor: Any) -> None:
    await editor.client.execute_script("ALTER TABLE message_content ADD COLUMN params text")


class Migration(migrations.Migration):
    dependencies = [("models", "0001_schema")]
    operations = [
        ops.CreateModel(
            name="Transformation",
            fields=[
                ("endpoint_id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("code", fields.TextField(null=True, unique=False)),
                ("enabled", fields.BooleanField(default=False)),
                ("variables", fields.TextField(unique=False)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
            ],
            options={"table": "transformation", "app": "models", "pk_attr": "endpoint_id"},
            bases=["Model"],
        ),
        ops.RunPython(extend),
    ]
