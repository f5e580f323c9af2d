"""Let tokens be limited to capabilities, belong to sessions, be shown again and lead to others; create integrations and inbound URLs."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from models.fields import IdField, TimestampField, dump_json


class Migration(migrations.Migration):
    dependencies = [("models", "0006_delivery_policy")]

    operations = [
        ops.AddField(
            model_name="Token",
            name="capabilities",
            field=fields.JSONField(null=True, encoder=dump_json, decoder=loads),
        ),
        ops.AddField(
            model_name="Token",
            name="grant_until",
            field=TimestampField(null=True, generated=False, unique=False),
        ),
        ops.AddField(
            model_name="Token",
            name="sealed",
            field=fields.TextField(null=True, unique=False),
        ),
        ops.AddField(
            model_name="Token",
            name="session_id",
            field=IdField(null=True, generated=False, unique=False),
        ),
        ops.AddIndex(
            model_name="Token",
            index=Index(fields=["app_id"]),
        ),
        ops.AddIndex(
            model_name="Token",
            index=Index(fields=["expires_at"]),
        ),
        ops.CreateModel(
            name="Integration",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("app_id", IdField(generated=False, null=False, unique=False)),
                ("name", fields.TextField(unique=False)),
                ("token_id", IdField(generated=False, null=False, unique=False)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
            ],
            options={"table": "integration", "app": "models", "unique_together": (("app_id", "id"),), "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Inbound",
            fields=[
                ("app_id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("token_hash", IdField(null=True, unique=True, generated=False)),
                ("token", fields.TextField(null=True, unique=False)),
                ("scheme", fields.TextField(unique=False)),
                ("secret", fields.TextField(null=True, unique=False)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
            ],
            options={"table": "inbound", "app": "models", "pk_attr": "app_id"},
            bases=["Model"],
        ),
    ]
