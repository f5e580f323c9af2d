"""Whether an endpoint `e` listens to a message, in SQL; `Endpoint.refusal` says the same of an endpoint at hand, and why not."""


def on_postgresql(event_type: str, channels: str) -> str:
    """A condition of PostgreSQL's, from the expressions of the message's event type and of its channels (jsonb)."""
    return f"""(e.filter_types IS NULL OR jsonb_exists(e.filter_types, {event_type}))
          AND (e.channels IS NULL OR EXISTS (SELECT 1 FROM jsonb_array_elements_text({channels}) c WHERE jsonb_exists(e.channels, c)))"""


def on_sqlite(event_type: str, channels: str) -> str:
    """A condition of SQLite's, from the expressions of the message's event type and of its channels (JSON as text)."""
    return f"""(e.filter_types IS NULL OR EXISTS (SELECT 1 FROM json_each(e.filter_types) f WHERE f.value = {event_type}))
          AND (e.channels IS NULL OR EXISTS (SELECT 1 FROM json_each(e.channels) c JOIN json_each({channels}) mc ON mc.value = c.value))"""
