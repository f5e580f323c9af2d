"""Let each endpoint choose how it is delivered to."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from models.fields import dump_json


class Migration(migrations.Migration):
    dependencies = [("models", "0003_tasks")]
    operations = [
        ops.AddField(model_name="Endpoint", name="delivery_policy", field=fields.JSONField(null=True, encoder=dump_json, decoder=loads)),
    ]
