"""The statements that send what an endpoint missed or failed once more, a page of messages at a time."""

from graphook.database import Statement
from models import listening_sql as listening
from models.application import LIVING
from models.cancel import CLOSED
from models.destination import STANDING

# Per message that the endpoint has a delivery of, in a range of ids, how it stands over all its runs, and whether tries were cut short because the
# endpoint was disabled: endpoint, after, up to, limit. A page is as long as there are deliveries: one whose message retention has taken already
# counts, though nothing can be sent of it.
DELIVERED = Statement.same(f"""
    SELECT d.*, m.event_type, m.channels, m.tags, (
        SELECT a.response_status_code FROM attempt a WHERE a.message_id = d.message_id AND a.endpoint_id = $1 ORDER BY a.id DESC LIMIT 1) AS code
    FROM (SELECT message_id, endpoint_id, {STANDING}, max(CASE WHEN state <= 2 THEN 1 ELSE 0 END) AS open,
                 CASE WHEN max(tries + interrupts) > 0 THEN max(CASE WHEN run = 0 AND reason = '{CLOSED}' THEN 1 ELSE 0 END) ELSE 0 END AS cut_short
          FROM delivery WHERE endpoint_id = $1 AND message_id > $2 AND message_id <= $3
          GROUP BY message_id, endpoint_id ORDER BY message_id LIMIT $4) d
    LEFT JOIN message m ON m.id = d.message_id ORDER BY d.message_id""")

# Endpoint id → a row while something can be sent to it.
ENABLED = Statement.same(f"SELECT id FROM endpoint WHERE id = $1 AND NOT disabled AND deleted_at IS NULL AND {LIVING.format('endpoint')}")


def _adding(run: str, at: str) -> Statement:
    """(message id, endpoint id) → deliveries of those whose content is still kept; `run` is an expression of the endpoint, `at` the state and due time."""
    insert = "INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)"
    kept = "SELECT 1 FROM message_content c WHERE c.message_id = m.id AND c.expires_at > graphook_now()"
    return Statement(
        postgresql=f"""
            {insert} SELECT m.id, w.endpoint_id, {run.format("w.endpoint_id")}, m.org_id, m.app_id, {at}
            FROM unnest($1::text[], $2::text[]) AS w(message_id, endpoint_id) JOIN message m ON m.id = w.message_id
            WHERE EXISTS ({kept} AND c.expires_at = m.expires_at) ORDER BY m.id ON CONFLICT DO NOTHING RETURNING message_id""",
        sqlite=f"""
            {insert} SELECT m.id, w.value ->> 1, {run.format("w.value ->> 1")}, m.org_id, m.app_id, {at}
            FROM json_each(?1) w JOIN message m ON m.id = w.value ->> 0
            WHERE EXISTS ({kept}) ON CONFLICT DO NOTHING RETURNING message_id""",
    )


# Manual runs.
ADD_RUNS = _adding(
    "(SELECT COALESCE(max(d.run), 0) + 1 FROM delivery d WHERE d.message_id = m.id AND d.endpoint_id = {})", "0, graphook_now()"
)
# Scheduled deliveries, ready or waiting for the time that the message was given; unique, so safe to repeat.
ADD_DELIVERIES = _adding(
    "0",
    """CASE WHEN m.deliver_at > graphook_now() THEN 1 ELSE 0 END,
            CASE WHEN m.deliver_at > graphook_now() THEN m.deliver_at ELSE graphook_now() END""",
)

# What the endpoint had of a message: nothing (0), only what was canceled before it was tried because the endpoint was disabled (1), or more (2).
_HAD = f"""
    COALESCE((SELECT max(CASE WHEN d.state = 5 AND d.tries + d.interrupts = 0 AND d.reason = '{CLOSED}' THEN 1 ELSE 2 END)
              FROM delivery d WHERE d.message_id = m.id AND d.endpoint_id = e.id), 0) AS had"""
# The application's messages in a range of ids: app id, after, up to, limit, endpoint id. Each with what the endpoint had of it and whether it is for it.
_LISTENED = f"""
    SELECT m.id AS message_id, {_HAD}, {{}} AND COALESCE(m.endpoint_id = e.id, true) AS wanted
    FROM message m JOIN endpoint e ON e.id = $5 WHERE m.app_id = $1 AND m.id > $2 AND m.id <= $3 ORDER BY m.id LIMIT $4"""
LISTENED = Statement(
    postgresql=_LISTENED.format(listening.on_postgresql("m.event_type", "m.channels")),
    sqlite=_LISTENED.replace("$", "?").format(listening.on_sqlite("m.event_type", "m.channels")),
)
