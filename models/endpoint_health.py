"""An endpoint's health: since when all that is sent to it fails, and that it is disabled when that lasts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphook import database
from graphook.clock import now_us
from graphook.database import Row, Session, Statement
from models.operational import EndpointChange, shown_instant, tell_endpoints
from models.operational_type import OperationalType

# Endpoint health: the first failure of a run of failures, ended by a success. Rows are locked in the order of their ids.
HEALED = Statement.same("""
    UPDATE endpoint SET failing_since = NULL WHERE id IN (
        SELECT id FROM endpoint WHERE id = ANY($1::text[]) AND failing_since IS NOT NULL ORDER BY id FOR UPDATE)""")
FAILING = Statement.same("""
    UPDATE endpoint SET failing_since = graphook_now() WHERE id IN (
        SELECT id FROM endpoint WHERE id = ANY($1::text[]) AND failing_since IS NULL ORDER BY id FOR UPDATE)""")
# (endpoint id, URL): what a former URL answers says nothing of an endpoint that has another one by now.
_SENT_TO = "NOT disabled AND deleted_at IS NULL AND (id, url) IN ({})"
_SENT_TO_POSTGRESQL = f"id = ANY($1::text[]) AND {_SENT_TO.format('SELECT * FROM unnest($1::text[], $2::text[])')}"
_SENT_TO_SQLITE = _SENT_TO.format("SELECT value ->> 0, value ->> 1 FROM json_each(?1)")
_MAY_BE_DISABLED = (
    "NOT EXISTS (SELECT 1 FROM organisation_settings s WHERE s.org_id = endpoint.org_id AND NOT s.disable_endpoint_on_failure)"
)
# … and µs a run of failures may last
DISABLE_FAILING = Statement(
    postgresql=f"""
        UPDATE endpoint SET disabled = true, updated_at = graphook_now(), disabled_reason = 'every attempt failed for too long'
        WHERE id IN (
            SELECT id FROM endpoint WHERE {_SENT_TO_POSTGRESQL}
            AND failing_since < graphook_now() - $3::bigint AND {_MAY_BE_DISABLED} ORDER BY id FOR UPDATE)
        RETURNING id, uid, failing_since""",
    sqlite=f"""
        UPDATE endpoint SET disabled = 1, updated_at = graphook_now(), disabled_reason = 'every attempt failed for too long'
        WHERE {_SENT_TO_SQLITE} AND failing_since < graphook_now() - ?2
          AND {_MAY_BE_DISABLED} RETURNING id, uid, failing_since""",
)
DISABLE_GONE = Statement(
    postgresql=f"""
        UPDATE endpoint SET disabled = true, updated_at = graphook_now(), disabled_reason = 'the receiver answered 410 Gone'
        WHERE id IN (SELECT id FROM endpoint WHERE {_SENT_TO_POSTGRESQL} ORDER BY id FOR UPDATE)
        RETURNING id, uid, failing_since""",
    sqlite=f"""
        UPDATE endpoint SET disabled = 1, updated_at = graphook_now(), disabled_reason = 'the receiver answered 410 Gone'
        WHERE {_SENT_TO_SQLITE} RETURNING id, uid, failing_since""",
)


async def record(session: Session, healed: Sequence[str], failing: Sequence[str]) -> None:
    """Begin or end the run of failures of endpoints, by their ids in order, in the transaction that records the attempts."""
    if healed:
        await session.fetch(HEALED, healed)
    if failing:
        await session.fetch(FAILING, failing)


async def disable(sent_to: Iterable[tuple[str, str]], *, failing_for_us: int | None) -> tuple[list[str], list[str]]:
    """Disable those endpoints, by their ids and the URLs they had then, whose every attempt failed for so long (None: at once, they are gone).

    Answers with those it disabled, and the endpoints that have an operational message about it to get.
    """
    wanted = sorted(set(sent_to))
    if not wanted:
        return [], []
    async with database.transaction() as session:
        if failing_for_us is None:
            rows = await session.fetch_rows(DISABLE_GONE, wanted)
        else:
            rows = await session.fetch_rows(DISABLE_FAILING, wanted, failing_for_us)
        told = await tell_endpoints(session, [_disabled(row) for row in rows])
    return [row["id"] for row in rows], told


def _disabled(row: Row) -> EndpointChange:
    more = {"trigger": "automatic", "failSince": shown_instant(row["failing_since"] or now_us())}
    return EndpointChange(OperationalType.ENDPOINT_DISABLED, row["id"], row["uid"], more)
