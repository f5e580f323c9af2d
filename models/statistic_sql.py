"""The statements that add attempts to the statistics, and read those."""

from graphook.database import Statement
from models.destination import STATUS

# Adds at most `$1` counts to every row they belong to, and forgets them; answers with how many there were.
FOLD_COUNTS = """
    WITH gone AS (
        DELETE FROM attempt_count WHERE ctid = ANY (ARRAY(SELECT ctid FROM attempt_count LIMIT $1)) RETURNING *),
    written AS (
        INSERT INTO attempt_statistic AS s (app_id, endpoint_id, width, bucket, succeeded, failed, destinations)
        SELECT g.app_id, e.id, p.width, g.bucket / p.width * p.width AS bucket, sum(g.succeeded), sum(g.failed), sum(g.destinations)
        FROM gone g CROSS JOIN LATERAL (VALUES (''), (g.endpoint_id)) AS e(id) CROSS JOIN unnest($2::bigint[]) AS p(width)
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT (app_id, endpoint_id, width, bucket) DO UPDATE SET
            succeeded = s.succeeded + EXCLUDED.succeeded, failed = s.failed + EXCLUDED.failed,
            destinations = s.destinations + EXCLUDED.destinations)
    SELECT count(*) AS counts FROM gone"""

# The next attempts that are not in the statistics: how many at most → after which and up to which row.
NEXT_ATTEMPTS = """
    SELECT c.seq AS after, (SELECT max(seq) FROM (SELECT seq FROM attempt WHERE seq > c.seq ORDER BY seq LIMIT ?1)) AS last
    FROM attempt_counted c"""
# after, last, widths. A destination counts with the first of its attempts whose outcome is known.
FOLD_ATTEMPTS = """
    INSERT INTO attempt_statistic (app_id, endpoint_id, width, bucket, succeeded, failed, destinations)
    SELECT a.app_id, e.value, p.value, a.started_at / p.value * p.value, sum(a.status = 0), sum(a.status <> 0),
           sum(a.run = 0 AND NOT EXISTS (
               SELECT 1 FROM attempt f WHERE f.message_id = a.message_id AND f.endpoint_id = a.endpoint_id AND f.run = 0
                 AND f.seq < a.seq AND f.error_code IS NOT 'interrupted'))
    FROM attempt a CROSS JOIN json_each(json_array('', a.endpoint_id)) e CROSS JOIN json_each(?3) p
    WHERE a.seq > ?1 AND a.seq <= ?2 AND a.error_code IS NOT 'interrupted' GROUP BY 1, 2, 3, 4
    ON CONFLICT (app_id, endpoint_id, width, bucket) DO UPDATE SET
        succeeded = succeeded + excluded.succeeded, failed = failed + excluded.failed, destinations = destinations + excluded.destinations"""
COUNTED = "UPDATE attempt_counted SET seq = ?1"

# app id, endpoint id ('' for all), width, first and first excluded bucket
PERIODS = Statement.same("""
    SELECT bucket, succeeded, failed FROM attempt_statistic
    WHERE app_id = $1 AND endpoint_id = $2 AND width = $3 AND bucket >= $4 AND bucket < $5 ORDER BY bucket""")

# application ids; width of days, first day, first excluded day; width of steps, first step, first excluded step
USAGE = Statement.same("""
    SELECT app_id, sum(destinations) AS destinations FROM attempt_statistic
    WHERE app_id = ANY($1::text[]) AND endpoint_id = '' AND ((width = $2 AND bucket >= $3 AND bucket < $4)
      OR (width = $5 AND ((bucket >= $6 AND bucket < $3) OR (bucket >= $4 AND bucket < $7)))) GROUP BY app_id""")

# endpoint id, lowest and highest message id → messages by how they stand with the endpoint.
STANDING = Statement.same(f"""
    SELECT status, count(*) AS messages FROM (
        SELECT {STATUS} AS status FROM delivery WHERE endpoint_id = $1 AND message_id >= $2 AND message_id < $3 GROUP BY message_id) d
    GROUP BY status""")

# The periods that ended by `$1`, at most `$2` of them. The index has their begins.
DELETE_OLD = Statement(
    postgresql="""
        DELETE FROM attempt_statistic WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM attempt_statistic WHERE bucket < $1 AND bucket + width <= $1 ORDER BY bucket LIMIT $2))
        RETURNING bucket""",
    sqlite="""
        DELETE FROM attempt_statistic WHERE (app_id, endpoint_id, width, bucket) IN (
            SELECT app_id, endpoint_id, width, bucket FROM attempt_statistic WHERE bucket < ?1 AND bucket + width <= ?1
            ORDER BY bucket LIMIT ?2) RETURNING bucket""",
)
