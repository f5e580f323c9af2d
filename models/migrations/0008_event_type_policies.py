"""Give event types a retry schedule, payload validation, a group and a mark for what should not be used any more."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from models.fields import IdField, dump_json


class Migration(migrations.Migration):
    dependencies = [("models", "0007_access")]

    operations = [
        ops.AddField(model_name="EventType", name="deprecated", field=fields.BooleanField(default=False, db_default=False)),
        ops.AddField(model_name="EventType", name="group_name", field=IdField(null=True, generated=False, unique=False)),
        ops.AddField(model_name="EventType", name="validate_payload", field=fields.BooleanField(default=False, db_default=False)),
        ops.AddField(model_name="EventType", name="retry_schedule", field=fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
    ]
