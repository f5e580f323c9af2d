"""The statements that accept messages and read their content."""

from graphook.database import Statement, probing
from models import listening_sql as listening

# (org_id, reference) → the live application of that id or uid, and whether it has more endpoints than one transaction should fan out to.
# PostgreSQL looks in one index for ids and in another for uids: it would answer an OR by reading all applications of the organisation.
RESOLVE_APPLICATIONS = Statement(
    postgresql="""
        SELECT r.org_id, r.reference, a.id,
               (SELECT count(*) FROM (SELECT 1 FROM endpoint e WHERE e.app_id = a.id AND e.deleted_at IS NULL LIMIT $3) x) AS endpoints
        FROM unnest($1::text[], $2::text[]) AS r(org_id, reference)
        CROSS JOIN LATERAL (
            SELECT id FROM application WHERE id = r.reference AND org_id = r.org_id AND deleted_at IS NULL AND NOT operational
            UNION ALL
            SELECT id FROM application WHERE uid = r.reference AND org_id = r.org_id AND deleted_at IS NULL AND NOT operational
        ) a""",
    sqlite="""
        SELECT r.value ->> 0 AS org_id, r.value ->> 1 AS reference, a.id,
               (SELECT count(*) FROM (SELECT 1 FROM endpoint e WHERE e.app_id = a.id AND e.deleted_at IS NULL LIMIT ?2)) AS endpoints
        FROM json_each(?1) r
        JOIN application a ON a.org_id = r.value ->> 0 AND a.deleted_at IS NULL AND NOT a.operational
         AND (a.id = r.value ->> 1 OR a.uid = r.value ->> 1)""",
)

# (org_id, name) → the event types that want payloads to fit their schema.
CHECKING_EVENT_TYPES = Statement(
    postgresql="""
        SELECT t.org_id, t.name, t.id, t.updated_at FROM unnest($1::text[], $2::text[]) AS w(org_id, name)
        JOIN event_type t ON t.org_id = w.org_id AND t.name = w.name WHERE t.validate_payload AND NOT t.archived""",
    sqlite="""
        SELECT t.org_id, t.name, t.id, t.updated_at FROM json_each(?1) w
        JOIN event_type t ON t.org_id = w.value ->> 0 AND t.name = w.value ->> 1 WHERE t.validate_payload AND NOT t.archived""",
)

# (app_id, event_id, message_id) → the message ids that took their event id.
TAKE_EVENT_IDS = Statement(
    postgresql="""
        INSERT INTO message_key (app_id, event_id, message_id) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        ON CONFLICT DO NOTHING RETURNING message_id""",
    sqlite="""
        INSERT INTO message_key (app_id, event_id, message_id) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1) WHERE true
        ON CONFLICT DO NOTHING RETURNING message_id""",
)

# (id, org_id, app_id, event_type, event_id, channels, tags, created_at, expires_at, traceparent, deliver_at, endpoint_id)
INSERT_MESSAGES = Statement(
    postgresql="""
        INSERT INTO message (id, org_id, app_id, event_type, event_id, channels, tags, created_at, expires_at, traceparent, deliver_at, endpoint_id)
        SELECT id, org_id, app_id, event_type, event_id, channels::jsonb, tags::jsonb, created_at, expires_at, traceparent, deliver_at,
               endpoint_id
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
                    $10::text[], $11::bigint[], $12::text[])
          AS m(id, org_id, app_id, event_type, event_id, channels, tags, created_at, expires_at, traceparent, deliver_at, endpoint_id)""",
    sqlite="""
        INSERT INTO message (id, org_id, app_id, event_type, event_id, channels, tags, created_at, expires_at, traceparent, deliver_at, endpoint_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
)

# (message_id, expires_at, body, params)
INSERT_CONTENTS = Statement(
    postgresql="""
        INSERT INTO message_content (message_id, expires_at, body, params)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::text[])""",
    sqlite="INSERT INTO message_content (message_id, expires_at, body, params) VALUES (?, ?, ?, ?)",
)

# (message_id, app_id, event_type, channels, due_at, state) → the endpoints that got a delivery.
FAN_OUT = Statement(
    postgresql=f"""
        INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)
        SELECT m.id, e.id, 0, e.org_id, e.app_id, m.state, m.due_at
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[])
          AS m(id, app_id, event_type, channels, due_at, state)
        JOIN endpoint e ON e.app_id = m.app_id
        WHERE e.deleted_at IS NULL AND NOT e.disabled
          AND {listening.on_postgresql("m.event_type", "m.channels::jsonb")}
        ORDER BY m.id, e.id
        ON CONFLICT DO NOTHING RETURNING endpoint_id, state""",
    sqlite=f"""
        INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)
        SELECT m.value ->> 0, e.id, 0, e.org_id, e.app_id, m.value ->> 5, m.value ->> 4
        FROM json_each(?1) m JOIN endpoint e ON e.app_id = m.value ->> 1
        WHERE e.deleted_at IS NULL AND NOT e.disabled
          AND {listening.on_sqlite("m.value ->> 2", "m.value ->> 3")}
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING RETURNING endpoint_id, state""",
)

# (message_id, endpoint_id, due_at) → the endpoints that got a delivery, whatever they listen to.
SEND_TO = Statement(
    postgresql="""
        INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)
        SELECT m.id, e.id, 0, e.org_id, e.app_id, 0, m.due_at
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS m(id, endpoint_id, due_at)
        JOIN endpoint e ON e.id = m.endpoint_id AND e.deleted_at IS NULL AND NOT e.disabled
        ORDER BY m.id ON CONFLICT DO NOTHING RETURNING endpoint_id, state""",
    sqlite="""
        INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)
        SELECT m.value ->> 0, e.id, 0, e.org_id, e.app_id, 0, m.value ->> 2
        FROM json_each(?1) m JOIN endpoint e ON e.id = m.value ->> 1 AND e.deleted_at IS NULL AND NOT e.disabled
        ORDER BY 1 ON CONFLICT DO NOTHING RETURNING endpoint_id, state""",
)

# (message_id, app_id). An endpoint that is made later has an id above the last one that there is now, and does not get the message; that of one by a
# process whose clock is behind may be below it: none is left out.
INSERT_FANOUTS = Statement(
    postgresql="""
        INSERT INTO fanout (message_id, app_id, after_endpoint, last_endpoint)
        SELECT id, app_id, '', (SELECT max(e.id) FROM endpoint e WHERE e.app_id = m.app_id)
        FROM unnest($1::text[], $2::text[]) AS m(id, app_id)""",
    sqlite="""
        INSERT INTO fanout (message_id, app_id, after_endpoint, last_endpoint)
        VALUES (?1, ?2, '', (SELECT max(id) FROM endpoint WHERE app_id = ?2))""",
)

# The oldest message of the next application after `$1` that is still being paged out.
NEXT_FANOUT = Statement.same("""
    SELECT f.message_id, f.app_id, f.after_endpoint, COALESCE(f.last_endpoint, '') AS last_endpoint, m.event_type, m.channels::text AS channels, m.created_at, m.deliver_at
    FROM fanout f JOIN message m ON m.id = f.message_id WHERE f.app_id > $1
    ORDER BY f.app_id, f.message_id LIMIT 1 FOR UPDATE OF f SKIP LOCKED""")

# Like FAN_OUT for one message and a page of endpoints: message id, app id, event type, channels, due at, first and last endpoint of the page, state.
FAN_OUT_PAGE = Statement(
    postgresql=f"""
        INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)
        SELECT $1, e.id, 0, e.org_id, e.app_id, $8::int, $5::bigint FROM endpoint e
        WHERE e.app_id = $2 AND e.id > $6 AND e.id <= $7 AND e.deleted_at IS NULL AND NOT e.disabled
          AND {listening.on_postgresql("$3", "$4::text::jsonb")}
        ORDER BY e.id ON CONFLICT DO NOTHING RETURNING endpoint_id, state""",
    sqlite=f"""
        INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)
        SELECT ?1, e.id, 0, e.org_id, e.app_id, ?8, ?5 FROM endpoint e
        WHERE e.app_id = ?2 AND e.id > ?6 AND e.id <= ?7 AND e.deleted_at IS NULL AND NOT e.disabled
          AND {listening.on_sqlite("?3", "?4")}
        ORDER BY e.id ON CONFLICT DO NOTHING RETURNING endpoint_id, state""",
)

# (message_id, expires_at), and how many bytes at most → how many bytes the bodies that are still kept have together, and they themselves if they are no more.
_CONTENTS = """
        SELECT message_id, total, CASE WHEN total <= {} THEN body END AS body FROM (
            SELECT c.message_id, c.body, sum({}(c.body)) OVER () AS total FROM {} WHERE {}) kept"""
CONTENTS = Statement(
    postgresql=_CONTENTS.format(
        "$3",
        "octet_length",
        """unnest($1::text[], $2::bigint[]) AS w(message_id, expires_at)
            JOIN message_content c ON c.message_id = w.message_id AND c.expires_at = w.expires_at""",
        f"c.expires_at > graphook_now() AND {probing('w.message_id')}",
    ),
    sqlite=_CONTENTS.format(
        "?2", "length", "json_each(?1) w JOIN message_content c ON c.message_id = w.value ->> 0", "c.expires_at > graphook_now()"
    ),
)

EXPUNGE_CONTENT = Statement.same("DELETE FROM message_content WHERE message_id = $1 AND expires_at = $2")

# PostgreSQL drops expired content by the week, unreadable meanwhile; the default partition is never dropped.
DELETE_EXPIRED_CONTENT = Statement(
    postgresql="""
        DELETE FROM message_content_default WHERE (message_id, expires_at) IN (
            SELECT message_id, expires_at FROM message_content_default WHERE expires_at <= graphook_now() ORDER BY expires_at LIMIT $1
            FOR UPDATE SKIP LOCKED) RETURNING message_id""",
    sqlite="""
        DELETE FROM message_content WHERE message_id IN (
            SELECT message_id FROM message_content WHERE expires_at <= graphook_now() ORDER BY expires_at LIMIT ?1) RETURNING message_id""",
)
