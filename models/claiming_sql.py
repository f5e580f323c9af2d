"""The statements that claim deliveries. States are those of `models.delivery.State`."""

from graphook.database import Statement, probing

_CLOSED = "e.disabled OR e.deleted_at IS NOT NULL OR a.deleted_at IS NOT NULL"
ENDPOINTS = Statement.same(f"""
    SELECT e.id, e.app_id, e.url, e.headers, e.secret, e.old_secrets, COALESCE(e.rate_limit, a.rate_limit) AS rate_limit,
           CAST(e.delivery_policy AS text) AS delivery_policy,
           r.open_until IS NOT NULL AS tripped, ({_CLOSED}) AS closed,
           COALESCE(s.enforce_https, false) AS enforce_https, t.code, t.variables
    FROM endpoint e JOIN application a ON a.id = e.app_id LEFT JOIN restriction r ON r.endpoint_id = e.id
      LEFT JOIN organisation_settings s ON s.org_id = e.org_id
      LEFT JOIN transformation t ON t.endpoint_id = e.id AND t.enabled WHERE e.id = ANY($1::text[])""")

# Whether endpoints are disabled or deleted, which stays so until the transaction ends.
HOLD_CLOSED = Statement.same(f"""
    SELECT e.id, ({_CLOSED}) AS closed FROM endpoint e JOIN application a ON a.id = e.app_id
    WHERE e.id = ANY($1::text[]) ORDER BY e.id FOR SHARE OF e""")
# At most `$2` ready deliveries of each endpoint in `$1`, oldest first, that nobody else is claiming.
PICK = Statement(
    postgresql="""
        SELECT d.* FROM unnest($1::text[]) AS lane(endpoint_id) CROSS JOIN LATERAL (
            SELECT message_id, endpoint_id, run, org_id, app_id, tries, claim, interrupts FROM delivery
            WHERE state = 0 AND endpoint_id = lane.endpoint_id ORDER BY due_at, message_id LIMIT $2 FOR UPDATE SKIP LOCKED) d""",
    sqlite="""
        SELECT d.message_id, d.endpoint_id, d.run, d.org_id, d.app_id, d.tries, d.claim, d.interrupts
        FROM json_each(?1) lane JOIN delivery d ON d.rowid IN (
            SELECT x.rowid FROM delivery x WHERE x.state = 0 AND x.endpoint_id = lane.value ORDER BY x.due_at, x.message_id LIMIT ?2)""",
)
# (message_id, endpoint_id, run, leased_by, lease in µs, whether its endpoint counts its leases)
LEASE = Statement(
    postgresql=f"""
        UPDATE delivery d SET state = 2, claim = d.claim + 1, leased_by = p.leased_by, lease_until = graphook_now() + p.lease, limited = p.limited
        FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::bool[])
          AS p(message_id, endpoint_id, run, leased_by, lease, limited)
        WHERE d.message_id = p.message_id AND d.endpoint_id = p.endpoint_id AND d.run = p.run AND {probing("p.message_id")}""",
    sqlite="""
        UPDATE delivery SET state = 2, claim = claim + 1, leased_by = ?4, lease_until = graphook_now() + ?5, limited = ?6
        WHERE message_id = ?1 AND endpoint_id = ?2 AND run = ?3""",
)
BODIES = Statement(
    postgresql=f"""
        SELECT m.id, m.event_type, m.traceparent, m.channels::text AS channels, t.retry_schedule::text AS retry_schedule, c.body, c.params
        FROM unnest($1::text[]) AS w(id) JOIN message m ON m.id = w.id
        JOIN message_content c ON c.message_id = m.id AND c.expires_at = m.expires_at
        LEFT JOIN event_type t ON t.org_id = m.org_id AND t.name = m.event_type
        WHERE c.expires_at > graphook_now() AND {probing("w.id")}""",
    sqlite="""
        SELECT m.id, m.event_type, m.traceparent, m.channels, t.retry_schedule, c.body, c.params
        FROM json_each(?1) w JOIN message m ON m.id = w.value
        JOIN message_content c ON c.message_id = m.id
        LEFT JOIN event_type t ON t.org_id = m.org_id AND t.name = m.event_type WHERE c.expires_at > graphook_now()""",
)
# In one statement, for endpoints that nothing restricts: PICK, LEASE and BODIES, the body with the first delivery of each message.
# The planner would take `picked` for a tenth of the backlog; an array it takes for few. PostgreSQL alone has it.
# $1 endpoints, $2 at most so many of each, $3 for how many µs, $4 the process.
CLAIM = f"""
    WITH picked AS (
        SELECT d.message_id, d.endpoint_id, d.run, lane.lease
        FROM unnest($1::text[], $2::int[], $3::bigint[]) AS lane(endpoint_id, n, lease) CROSS JOIN LATERAL (
            SELECT message_id, endpoint_id, run FROM delivery
            WHERE state = 0 AND endpoint_id = lane.endpoint_id ORDER BY due_at, message_id LIMIT lane.n FOR UPDATE SKIP LOCKED) d),
    leased AS (
        UPDATE delivery d SET state = 2, claim = d.claim + 1, leased_by = $4, lease_until = graphook_now() + p.lease, limited = false
        FROM unnest((SELECT array_agg(message_id) FROM picked), (SELECT array_agg(endpoint_id) FROM picked), (SELECT array_agg(run) FROM picked),
                    (SELECT array_agg(lease) FROM picked)) AS p(message_id, endpoint_id, run, lease)
        WHERE d.message_id = p.message_id AND d.endpoint_id = p.endpoint_id AND d.run = p.run AND {probing("p.message_id")}
        RETURNING d.message_id, d.endpoint_id, d.run, d.org_id, d.app_id, d.tries, d.claim - 1 AS claim, d.interrupts)
    SELECT l.*, m.event_type, m.traceparent, m.channels::text AS channels, t.retry_schedule::text AS retry_schedule, c.body, c.params
    FROM (SELECT *, row_number() OVER (PARTITION BY message_id) AS nth FROM leased) l
    LEFT JOIN message m ON l.nth = 1 AND m.id = l.message_id AND {probing("l.message_id")}
    LEFT JOIN message_content c ON c.message_id = m.id AND c.expires_at = m.expires_at AND c.expires_at > graphook_now()
    LEFT JOIN event_type t ON t.org_id = m.org_id AND t.name = m.event_type"""
# (message_id, endpoint_id, run, reason)
CANCEL_READY = Statement(
    postgresql=f"""
        UPDATE delivery d SET state = 5, reason = p.reason
        FROM unnest($1::text[], $2::text[], $3::int[], $4::text[]) AS p(message_id, endpoint_id, run, reason)
        WHERE d.message_id = p.message_id AND d.endpoint_id = p.endpoint_id AND d.run = p.run AND d.state = 0 AND {probing("p.message_id")}""",
    sqlite="UPDATE delivery SET state = 5, reason = ?4 WHERE message_id = ?1 AND endpoint_id = ?2 AND run = ?3 AND state = 0",
)
