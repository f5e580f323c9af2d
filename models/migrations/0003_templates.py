"""Create templates, and the states of OAuth dances."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from models.fields import IdField, TimestampField, dump_json


class Migration(migrations.Migration):
    dependencies = [("models", "0002_transformations")]

    operations = [
        ops.CreateModel(
            name="Template",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("name", fields.TextField(unique=False)),
                ("logo", fields.TextField(unique=False)),
                ("description", fields.TextField(unique=False)),
                ("instructions", fields.TextField(unique=False)),
                ("instructions_link", fields.TextField(null=True, unique=False)),
                ("kind", fields.TextField(unique=False)),
                ("transformation", fields.TextField(unique=False)),
                ("feature_flag", IdField(null=True, generated=False, unique=False)),
                ("filter_types", fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
                ("created_at", TimestampField(generated=False, null=False, unique=False)),
                ("updated_at", TimestampField(generated=False, null=False, unique=False)),
            ],
            options={"table": "template", "app": "models", "indexes": [Index(fields=["org_id", "id"])], "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OauthState",
            fields=[
                ("hash", IdField(primary_key=True, unique=True, db_index=True, generated=False, null=False)),
                ("org_id", IdField(generated=False, null=False, unique=False)),
                ("app_id", IdField(null=True, generated=False, unique=False)),
                ("token_id", IdField(generated=False, null=False, unique=False)),
                ("provider", fields.TextField(unique=False)),
                ("redirect_uri", fields.TextField(unique=False)),
                ("verifier", fields.TextField(null=True, unique=False)),
                ("expires_at", TimestampField(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "oauth_state",
                "app": "models",
                "indexes": [Index(fields=["token_id"]), Index(fields=["expires_at"])],
                "pk_attr": "hash",
            },
            bases=["Model"],
        ),
    ]
