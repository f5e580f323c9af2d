"""The statements that settle, promote and list deliveries. States are those of `models.delivery.State`."""

from graphook.database import Statement, probing

# Skip scan: the next endpoints after `$1` that have something ready, at most `$2`. One index probe per endpoint, however long its backlog.
LANES = Statement.same("""
    WITH RECURSIVE lane AS (
        SELECT (SELECT endpoint_id FROM delivery WHERE state = 0 AND endpoint_id > $1 ORDER BY endpoint_id LIMIT 1) AS endpoint_id
        UNION ALL
        SELECT (SELECT d.endpoint_id FROM delivery d WHERE d.state = 0 AND d.endpoint_id > lane.endpoint_id ORDER BY d.endpoint_id LIMIT 1)
        FROM lane WHERE lane.endpoint_id IS NOT NULL
    ) SELECT endpoint_id FROM lane WHERE endpoint_id IS NOT NULL LIMIT $2""")

# (message_id, endpoint_id, run, claim, state, delay in µs, counted tries, counted interrupts, reason). A success is final whoever reports it
# and whatever became of the delivery: the receiver has it. Anything else only counts from the claim that is still current.
SETTLE = Statement(
    postgresql=f"""
        UPDATE delivery d SET state = r.state, due_at = graphook_now() + r.delay, tries = d.tries + r.tries,
               interrupts = d.interrupts + r.interrupts, reason = r.reason, leased_by = NULL, lease_until = NULL
        FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::int[], $6::bigint[], $7::int[], $8::int[], $9::text[])
          AS r(message_id, endpoint_id, run, claim, state, delay, tries, interrupts, reason)
        WHERE d.message_id = r.message_id AND d.endpoint_id = r.endpoint_id AND d.run = r.run AND {probing("r.message_id")}
          AND ((d.state = 2 AND d.claim = r.claim) OR (r.state = 3 AND d.state <> 3))""",
    sqlite="""
        UPDATE delivery SET state = ?5, due_at = graphook_now() + ?6, tries = tries + ?7, interrupts = interrupts + ?8, reason = ?9,
               leased_by = NULL, lease_until = NULL
        WHERE message_id = ?1 AND endpoint_id = ?2 AND run = ?3
          AND ((state = 2 AND claim = ?4) OR (?5 = 3 AND state <> 3))""",
)

_RECORDED = "SELECT a.message_id, a.endpoint_id, a.run, a.claim FROM {} WHERE a.error_code IS DISTINCT FROM 'interrupted'"
# (message_id, endpoint_id, run, claim) → those of which it is recorded what came of them.
RECORDED = Statement(
    postgresql=_RECORDED.format("""
        unnest($1::text[], $2::text[], $3::int[], $4::int[]) AS r(message_id, endpoint_id, run, claim)
        JOIN attempt a ON a.message_id = r.message_id AND a.endpoint_id = r.endpoint_id AND a.run = r.run AND a.claim = r.claim""")
    + f" AND {probing('r.message_id')}",
    sqlite=_RECORDED.format("""json_each(?1) r
        JOIN attempt a ON a.message_id = r.value ->> 0 AND a.endpoint_id = r.value ->> 1 AND a.run = r.value ->> 2 AND a.claim = r.value ->> 3"""),
)

_DUE = "SELECT message_id, endpoint_id, run FROM delivery WHERE state = 1 AND due_at <= graphook_now() ORDER BY due_at {} LIMIT $1 FOR UPDATE SKIP LOCKED"
DUE_FIRST, DUE_LAST = Statement.same(_DUE.format("")), Statement.same(_DUE.format("DESC"))
# (message_id, endpoint_id, run)
PROMOTE = Statement(
    postgresql=f"""
        UPDATE delivery d SET state = 0 FROM unnest($1::text[], $2::text[], $3::int[]) AS p(message_id, endpoint_id, run)
        WHERE d.message_id = p.message_id AND d.endpoint_id = p.endpoint_id AND d.run = p.run AND d.state = 1 AND {probing("p.message_id")}""",
    sqlite="UPDATE delivery SET state = 0 WHERE message_id = ?1 AND endpoint_id = ?2 AND run = ?3 AND state = 1",
)

EXPIRED = Statement.same("""
    SELECT d.message_id, d.endpoint_id, d.run, d.claim, d.interrupts, d.org_id, d.app_id, d.lease_until, e.url
    FROM delivery d JOIN endpoint e ON e.id = d.endpoint_id
    WHERE d.state = 2 AND d.lease_until <= graphook_now() ORDER BY d.lease_until LIMIT $1 FOR UPDATE OF d SKIP LOCKED""")
# A process that owns the database alone takes back what its former life had leased.
EXPIRE_ALL = Statement.same("UPDATE delivery SET lease_until = 0 WHERE state = 2 AND leased_by <> $1")
# message id, endpoint id, org id, app id → the run of a manual resend
RESEND = Statement.same("""
    INSERT INTO delivery (message_id, endpoint_id, run, org_id, app_id, state, due_at)
    SELECT $1, $2, COALESCE(max(run), 0) + 1, $3, $4, 0, graphook_now() FROM delivery WHERE message_id = $1 AND endpoint_id = $2
    ON CONFLICT DO NOTHING RETURNING run""")
