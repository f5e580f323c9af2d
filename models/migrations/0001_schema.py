"""Create all tables: those of the control plane, and by a script per dialect those of the hot path, which PostgreSQL partitions by time."""

from pathlib import Path
from typing import Any

from orjson import loads
from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from models.fields import IdField, TimestampField, dump_json


async def create(apps: Any, editor: Any) -> None:
    client = editor.client
    dialect = "sqlite" if client.capabilities.dialect == "sqlite" else "postgresql"
    sql = (Path(__file__).parent / "sql" / f"0001_schema.{dialect}.sql").read_text()
    await client.execute_script(sql)


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Application",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("uid", IdField(null=True, generated=False, unique=False)),
                ("name", fields.TextField(unique=False)),
                ("rate_limit", fields.IntField(null=True)),
                ("metadata", fields.JSONField(encoder=dump_json, decoder=loads)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
                ("deleted_at", TimestampField(null=True, generated=False, unique=False)),
                ("operational", fields.BooleanField(default=False, db_default=False)),
            ],
            options={"table": "application", "app": "models", "unique_together": (("org_id", "uid"), ("org_id", "id")), "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Endpoint",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("app_id", IdField(generated=False, null=False, unique=False)),
                ("uid", IdField(null=True, generated=False, unique=False)),
                ("url", fields.TextField(unique=False)),
                ("description", fields.TextField(unique=False)),
                ("channels", fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
                ("filter_types", fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
                ("rate_limit", fields.IntField(null=True)),
                ("version", fields.IntField(default=1)),
                ("metadata", fields.JSONField(encoder=dump_json, decoder=loads)),
                ("headers", fields.TextField(unique=False)),
                ("secret", fields.TextField(unique=False)),
                ("old_secrets", fields.TextField(unique=False)),
                ("disabled", fields.BooleanField(default=False)),
                ("disabled_reason", fields.TextField(null=True, unique=False)),
                ("failing_since", TimestampField(null=True, generated=False, unique=False)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
                ("deleted_at", TimestampField(null=True, generated=False, unique=False)),
                ("delivery_policy", fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
            ],
            options={"table": "endpoint", "app": "models", "unique_together": (("app_id", "uid"), ("app_id", "id")), "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="EventType",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("name", IdField(generated=False, null=False, unique=False)),
                ("description", fields.TextField(unique=False)),
                ("schemas", fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
                ("feature_flag", IdField(null=True, generated=False, unique=False)),
                ("archived", fields.BooleanField(default=False)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
                ("deprecated", fields.BooleanField(default=False, db_default=False)),
                ("group_name", IdField(null=True, generated=False, unique=False)),
                ("validate_payload", fields.BooleanField(default=False, db_default=False)),
                ("retry_schedule", fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
            ],
            options={"table": "event_type", "app": "models", "unique_together": (("org_id", "name"),), "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Organisation",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("name", fields.TextField(unique=False)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
            ],
            options={"table": "organisation", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Token",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("kind", fields.TextField(unique=False)),
                ("org_id", IdField(db_index=True, generated=False, null=False, unique=False)),
                ("app_id", IdField(null=True, generated=False, unique=False)),
                ("name", fields.TextField(unique=False)),
                ("hash", IdField(unique=True, generated=False, null=False)),
                ("scopes", fields.JSONField(encoder=dump_json, decoder=loads)),
                ("feature_flags", fields.JSONField(encoder=dump_json, decoder=loads)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
                ("expires_at", TimestampField(null=True, generated=False, unique=False)),
                ("revoked_at", TimestampField(null=True, generated=False, unique=False)),
                ("capabilities", fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
                ("grant_until", TimestampField(null=True, generated=False, unique=False)),
                ("sealed", fields.TextField(null=True, unique=False)),
                ("session_id", IdField(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "token",
                "app": "models",
                "indexes": [Index(fields=["app_id"]), Index(fields=["expires_at"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
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
        ops.CreateModel(
            name="OrganisationSettings",
            fields=[
                ("org_id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("enforce_https", fields.BooleanField(default=True)),
                ("read_only", fields.BooleanField(default=False)),
                ("disable_endpoint_on_failure", fields.BooleanField(default=True)),
                ("shown", fields.JSONField(encoder=dump_json, decoder=loads)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
            ],
            options={"table": "organisation_settings", "app": "models", "pk_attr": "org_id"},
            bases=["Model"],
        ),
        ops.RunPython(create),
    ]
