"""The statements of the circuit breaker, whose state is in an endpoint's restriction row."""

from graphook.database import Statement

LOCK = Statement.same("""
    SELECT endpoint_id, open_until, open_until <= graphook_now() AS half_open, openings, probes, closed_at
    FROM restriction WHERE endpoint_id = ANY($1::text[]) ORDER BY endpoint_id FOR UPDATE""")
# An interruption is no fault of the receiver, nor is what was not sent to it: what a transformation canceled, or failed to make.
_SENT = """(x.response_status_code > 0
              OR (x.status = 2 AND COALESCE(x.error_code, '') <> 'interrupted' AND COALESCE(x.error_code, '') NOT LIKE 'transformation%'))"""
# (endpoint_id, the attempt id its window begins with) → tries and failures of the latest hundred.
COUNT = Statement(
    postgresql=f"""
        SELECT w.endpoint_id, count(*) AS tries, count(*) FILTER (WHERE a.status = 2) AS failures
        FROM unnest($1::text[], $2::text[]) AS w(endpoint_id, start) CROSS JOIN LATERAL (
            SELECT x.status FROM attempt x
            WHERE x.endpoint_id = w.endpoint_id AND x.id >= w.start AND {_SENT}
            ORDER BY x.id DESC LIMIT 100) a
        GROUP BY w.endpoint_id""",
    sqlite=f"""
        SELECT a.endpoint_id, count(*) AS tries, count(*) FILTER (WHERE a.status = 2) AS failures
        FROM json_each(?1) w JOIN attempt a ON a.seq IN (
            SELECT x.seq FROM attempt x
            WHERE x.endpoint_id = (w.value ->> 0) AND x.id >= (w.value ->> 1) AND {_SENT}
            ORDER BY x.id DESC LIMIT 100)
        GROUP BY a.endpoint_id""",
)
# (endpoint_id, µs it is open for or null when it is closed, openings, probes)
WRITE = Statement(
    postgresql="""
        INSERT INTO restriction AS r (endpoint_id, tokens, refilled_at, open_until, openings, probes, closed_at)
        SELECT id, 0, graphook_now(), graphook_now() + open_us, openings, probes, CASE WHEN open_us IS NULL THEN graphook_now() END
        FROM unnest($1::text[], $2::bigint[], $3::int[], $4::int[]) AS w(id, open_us, openings, probes) ORDER BY id
        ON CONFLICT (endpoint_id) DO UPDATE SET open_until = excluded.open_until, openings = excluded.openings, probes = excluded.probes,
            closed_at = COALESCE(excluded.closed_at, r.closed_at)""",
    sqlite="""
        INSERT INTO restriction (endpoint_id, tokens, refilled_at, open_until, openings, probes, closed_at)
        VALUES (?1, 0, graphook_now(), graphook_now() + ?2, ?3, ?4, CASE WHEN ?2 IS NULL THEN graphook_now() END)
        ON CONFLICT (endpoint_id) DO UPDATE SET open_until = excluded.open_until, openings = excluded.openings, probes = excluded.probes,
            closed_at = COALESCE(excluded.closed_at, restriction.closed_at)""",
)
STATE = Statement.same("""
    SELECT endpoint_id, open_until, open_until <= graphook_now() AS half_open FROM restriction WHERE endpoint_id = ANY($1::text[])""")
