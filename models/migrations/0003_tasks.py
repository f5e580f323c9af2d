"""Create the table of background tasks."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from models.fields import IdField, TimestampField, dump_json


class Migration(migrations.Migration):
    dependencies = [("models", "0002_deliveries")]

    operations = [
        ops.CreateModel(
            name="Task",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("app_id", IdField(null=True, generated=False, unique=False)),
                ("type", fields.TextField(unique=False)),
                ("status", fields.TextField(unique=False)),
                ("arguments", fields.JSONField(encoder=dump_json, decoder=loads)),
                ("state", fields.JSONField(encoder=dump_json, decoder=loads)),
                ("progress", fields.FloatField(default=0.0)),
                ("data", fields.JSONField(encoder=dump_json, decoder=loads)),
                ("claim", fields.IntField(default=0)),
                ("starts", fields.IntField(default=0)),
                ("leased_by", fields.TextField(null=True, unique=False)),
                ("lease_until", TimestampField(null=True, generated=False, unique=False)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "task",
                "app": "models",
                "indexes": [Index(fields=("org_id", "id")), Index(fields=("status", "id"))],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
    ]
