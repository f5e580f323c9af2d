"""Keep the trace that a message came with, for its attempts to continue."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0004_message_key_by_message")]
    operations = [ops.RunSQL("ALTER TABLE message ADD COLUMN traceparent TEXT")]
