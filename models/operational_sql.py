"""The statements that gather what operational messages tell. Each counts who would get them, so that nothing is written for nobody."""

from graphook.database import Statement


def _listeners(org_id: str, limit: str) -> str:
    """The enabled endpoints of the organisation's own application, counted up to a limit."""
    return f"""(SELECT count(*) FROM (
        SELECT 1 FROM endpoint l WHERE l.app_id = 'app_' || substr({org_id}, 5) AND l.deleted_at IS NULL AND NOT l.disabled LIMIT {limit}) x
    ) AS listeners"""


def _told(event_id: str) -> str:
    """Whether the organisation's own application has a message of that event id; null asks for none."""
    return f"""({event_id} IS NULL OR EXISTS (
        SELECT 1 FROM message_key k WHERE k.app_id = 'app_' || substr(d.org_id, 5) AND k.event_id = {event_id}))"""


_ATTEMPT_FACTS = "d.org_id, d.app_id, a.uid AS app_uid, m.event_id, t.id, t.response_status_code, t.started_at"
# (message_id, endpoint_id, claim, state, event id of what must have been told before, or null) of settled deliveries, and the limit → the facts of
# those where it was this claim that counted.
ATTEMPTS = Statement(
    postgresql=f"""
        SELECT r.message_id, r.endpoint_id, {_ATTEMPT_FACTS}, {_listeners("d.org_id", "$6")}
        FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::text[]) AS r(message_id, endpoint_id, claim, state, after)
        CROSS JOIN LATERAL (
            SELECT x.org_id, x.app_id FROM delivery x
            WHERE x.message_id = r.message_id AND x.endpoint_id = r.endpoint_id AND x.run = 0 AND x.state = r.state
              AND (x.claim = r.claim OR r.state = 3) LIMIT 1) d
        JOIN application a ON a.id = d.app_id AND NOT a.operational
        CROSS JOIN LATERAL (SELECT x.event_id FROM message x WHERE x.id = r.message_id LIMIT 1) m
        CROSS JOIN LATERAL (
            SELECT x.id, x.response_status_code, x.started_at FROM attempt x
            WHERE x.message_id = r.message_id AND x.endpoint_id = r.endpoint_id AND x.run = 0 AND x.claim = r.claim LIMIT 1) t
        WHERE {_told("r.after")}""",
    sqlite=f"""
        SELECT d.message_id, d.endpoint_id, {_ATTEMPT_FACTS}, {_listeners("d.org_id", "?2")}
        FROM json_each(?1) r
        JOIN delivery d ON d.message_id = r.value ->> 0 AND d.endpoint_id = r.value ->> 1 AND d.run = 0 AND d.state = r.value ->> 3
         AND (d.claim = r.value ->> 2 OR d.state = 3)
        JOIN application a ON a.id = d.app_id AND NOT a.operational
        JOIN message m ON m.id = d.message_id
        JOIN attempt t ON t.message_id = d.message_id AND t.endpoint_id = d.endpoint_id AND t.run = 0 AND t.claim = r.value ->> 2
        WHERE {_told("r.value ->> 4")}""",
)

# endpoint ids, limit
ENDPOINTS = Statement.same(f"""
    SELECT e.id, e.org_id, e.app_id, a.uid AS app_uid, {_listeners("e.org_id", "$2")} FROM endpoint e JOIN application a ON a.id = e.app_id
    WHERE NOT a.operational AND e.id = ANY($1::text[])""")
# organisation id, limit
ORGANISATION = Statement.same(f"SELECT o.id, {_listeners('o.id', '$2')} FROM organisation o WHERE o.id = $1")

# application id, limit
LISTENERS = Statement.same("SELECT id FROM endpoint WHERE app_id = $1 AND deleted_at IS NULL AND NOT disabled ORDER BY id LIMIT $2")
