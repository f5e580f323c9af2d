"""The statements about restricted endpoints: their row, locked while a claim decides, and what may be picked of them."""

from graphook.database import Statement

# (endpoint_id, tokens): a bucket begins full.
OPEN = Statement(
    postgresql="""
        INSERT INTO restriction (endpoint_id, tokens, refilled_at)
        SELECT id, tokens, graphook_now() FROM unnest($1::text[], $2::float8[]) AS r(id, tokens) ORDER BY id ON CONFLICT DO NOTHING""",
    sqlite="INSERT INTO restriction (endpoint_id, tokens, refilled_at) VALUES (?, ?, graphook_now()) ON CONFLICT DO NOTHING",
)
# The rows that no other claim holds, with the seconds since the bucket was refilled.
LOCK = Statement.same("""
    SELECT endpoint_id, tokens, (graphook_now() - refilled_at) / 1e6 AS seconds, head,
           (open_until - graphook_now()) / 1e6 AS open_for, openings, probes
    FROM restriction WHERE endpoint_id = ANY($1::text[]) FOR UPDATE SKIP LOCKED""")
# (endpoint_id, tokens, head)
WRITE = Statement(
    postgresql="""
        UPDATE restriction r SET tokens = w.tokens, head = w.head, refilled_at = graphook_now()
        FROM unnest($1::text[], $2::float8[], $3::text[]) AS w(endpoint_id, tokens, head) WHERE r.endpoint_id = w.endpoint_id""",
    sqlite="UPDATE restriction SET tokens = ?2, head = ?3, refilled_at = graphook_now() WHERE endpoint_id = ?1",
)
FORGET_HEAD = Statement.same("UPDATE restriction SET head = NULL WHERE endpoint_id = $1")

# Leases are counted, not kept count of: a count cannot drift when a process dies.
IN_FLIGHT = Statement.same("""
    SELECT endpoint_id, count(*) AS n FROM delivery WHERE state = 2 AND limited AND endpoint_id = ANY($1::text[]) GROUP BY endpoint_id""")

_COLUMNS = "d.message_id, d.endpoint_id, d.run, d.org_id, d.app_id, d.tries, d.claim, d.interrupts"
# The head of a queue while it is not final, else what was accepted first. A message that is still fanned out goes before later ones.
_HEAD = """
    SELECT h.message_id FROM delivery h
    WHERE h.message_id = {head} AND h.endpoint_id = {endpoint} AND h.run = 0 AND h.state IN (0, 1, 2)"""
_FIRST = """
    SELECT f.message_id FROM delivery f
    WHERE f.state = 0 AND f.endpoint_id = {endpoint} AND f.run = 0 ORDER BY f.due_at, f.message_id LIMIT 1"""
_NOTHING_BEFORE = """
    NOT EXISTS (
        SELECT 1 FROM fanout o WHERE o.app_id = d.app_id AND o.message_id < d.message_id AND o.after_endpoint < d.endpoint_id
        AND (o.last_endpoint IS NULL OR d.endpoint_id <= o.last_endpoint))"""

# (endpoint_id, head) → the head of each ordered queue, where it is ready.
PICK_HEADS = Statement(
    postgresql=f"""
        SELECT {_COLUMNS} FROM unnest($1::text[], $2::text[]) AS lane(endpoint_id, head)
        CROSS JOIN LATERAL (SELECT COALESCE(({_HEAD}), ({_FIRST})) AS message_id OFFSET 0) c
        CROSS JOIN LATERAL (
            SELECT * FROM delivery x WHERE x.message_id = c.message_id AND x.endpoint_id = lane.endpoint_id AND x.run = 0 AND x.state = 0
            LIMIT 1 FOR UPDATE SKIP LOCKED) d
        WHERE {_NOTHING_BEFORE}""".format(head="lane.head", endpoint="lane.endpoint_id"),
    sqlite=f"""
        SELECT {_COLUMNS} FROM json_each(?1) lane JOIN delivery d ON d.message_id = COALESCE(({_HEAD}), ({_FIRST}))
        WHERE d.endpoint_id = {{endpoint}} AND d.run = 0 AND d.state = 0 AND {_NOTHING_BEFORE}""".format(
        head="(lane.value ->> 1)", endpoint="(lane.value ->> 0)"
    ),
)
# A manual resend of each endpoint in `$1`, past its queue.
PICK_RESENDS = Statement(
    postgresql=f"""
        SELECT {_COLUMNS} FROM unnest($1::text[]) AS lane(endpoint_id) CROSS JOIN LATERAL (
            SELECT * FROM delivery WHERE state = 0 AND run > 0 AND endpoint_id = lane.endpoint_id
            ORDER BY due_at, message_id LIMIT 1 FOR UPDATE SKIP LOCKED) d""",
    sqlite=f"""
        SELECT {_COLUMNS} FROM json_each(?1) lane JOIN delivery d ON d.rowid = (
            SELECT x.rowid FROM delivery x WHERE x.state = 0 AND x.run > 0 AND x.endpoint_id = lane.value
            ORDER BY x.due_at, x.message_id LIMIT 1)""",
)
