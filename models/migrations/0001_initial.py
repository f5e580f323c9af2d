"""Create the tables of the control plane."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from models.fields import IdField, TimestampField, dump_json


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
            ],
            options={"table": "token", "app": "models", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]
