"""Mark the application whose endpoints get operational messages."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0009_message_stream")]
    operations = [
        ops.AddField(model_name="Application", name="operational", field=fields.BooleanField(default=False, db_default=False)),
    ]
