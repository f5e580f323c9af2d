"""Create the tables of statistics and of the organisations' settings."""

from pathlib import Path
from typing import Any

from orjson import loads
from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from models.fields import IdField, TimestampField, dump_json


async def create(apps: Any, editor: Any) -> None:
    client = editor.client
    dialect = "sqlite" if client.capabilities.dialect == "sqlite" else "postgresql"
    sql = (Path(__file__).parent / "sql" / f"0011_statistics.{dialect}.sql").read_text()
    await client.execute_script(sql)


class Migration(migrations.Migration):
    dependencies = [("models", "0010_operational")]
    operations = [
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
    atomic = False
