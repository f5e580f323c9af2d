"""Index event ids by their message, which is how retention finds them."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0003_tasks")]
    operations = [ops.RunSQL("CREATE INDEX message_key_by_message ON message_key (message_id)")]
