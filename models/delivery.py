"""A delivery: one message on its way to one endpoint, from ready over leased to a final state."""

from __future__ import annotations

import logging
from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from graphook import database
from graphook.clock import now_us
from graphook.database import Row, Session
from graphook.errors import InvalidInput
from graphook.ids import new_id
from models import delivery_sql as sql
from models import endpoint_health
from models.attempt import INSERT, MessageStatus, TriggerType
from models.breaker import BreakerRule, Tried, record
from models.claim import Claim, ClaimedEndpoint
from models.endpoint import Endpoint
from models.fields import dump_json, dump_nullable
from models.message import Message
from models.operational import SettledAttempt, tell_attempts
from models.operational_type import OperationalType

log = logging.getLogger(__name__)

# Message, endpoint, run and claim: no two attempts have the same.
AttemptKey = tuple[str, str, int, int]

# The third time a process dies while sending a delivery, the delivery is taken out of circulation.
MAX_INTERRUPTS = 3
# With so many failed tries, and retries left, a message is told to be failing.
FAILING_TRIES = 4


class State(IntEnum):
    READY = 0
    WAITING = 1
    LEASED = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELED = 5
    QUARANTINED = 6


@dataclass(slots=True)
class Result:
    """What became of a claim: the attempt to record, and where the delivery goes. `delay` is in microseconds, None when the state is final.

    `url` is where it was sent, if not to the endpoint's own. What is not `recorded` was neither tried nor interrupted: it is given back.
    """

    claim: Claim
    state: State
    delay: int | None
    counted: bool
    started_at: int
    duration_ms: int
    status_code: int
    response: bytes
    response_headers: Sequence[tuple[str, str]] | None
    request_headers: Sequence[tuple[str, str]]
    sensitive_headers: Sequence[str]
    error_code: str | None
    reason: str | None = None
    url: str | None = None
    recorded: bool = True

    @property
    def was_sent(self) -> bool:
        """Whether it says anything of the receiver: not what its transformation canceled or failed to make."""
        return self.status_code > 0 or not (self.state is State.SUCCEEDED or (self.error_code or "").startswith("transformation_"))


@dataclass(frozen=True, slots=True)
class Settled:
    """The endpoints whose breaker opened, and those that have an operational message to get."""

    opened: list[str]
    told: list[str]


async def lanes(after: str, limit: int) -> list[str]:
    """The next endpoints after an id that have something ready."""
    async with database.read() as session:
        return [row["endpoint_id"] for row in await session.fetch(sql.LANES, after, limit)]


async def settle(results: Sequence[Result], rule: BreakerRule | None = None) -> Settled:
    """Record a batch of results in one transaction: delivery states, attempts, endpoint health, breakers, and what is told of them.

    Safe to repeat. A result that comes after its claim was taken back replaces the claim's interrupted attempt: the log says what the
    receiver answered. Breakers open as `rule` says; without one they are left alone.
    """
    async with database.transaction() as session:
        deciding, again = await _record(session, results)
        # What a transformation canceled says nothing of the receiver.
        healed = sorted({r.claim.endpoint.id for r in results if r.state is State.SUCCEEDED and r.status_code})
        failing = sorted({r.claim.endpoint.id for r in results if r.state is not State.SUCCEEDED and r.counted} - set(healed))
        await endpoint_health.record(session, healed, failing)
        told = await tell_attempts(session, _to_tell(deciding))
        if rule is None:
            return Settled([], told)
        tries = [r for r in results if r.claim.endpoint.breaker and r.counted and r.was_sent and _attempt_key(r) not in again]
        tried = (Tried(r.claim.endpoint.id, r.claim.probe, r.state is State.SUCCEEDED) for r in tries)
        return Settled(await record(session, tried, rule), told)


async def promote(limit: int) -> tuple[list[str], int]:
    """Make at most `limit` (an even number) due waiting deliveries ready; answers with their endpoints and how many there were.

    Half are those that have been due longest, half those that fell due last: many that fall due at once delay nobody else's by much.
    """
    async with database.transaction() as session:
        rows = [*await session.fetch(sql.DUE_FIRST, limit // 2), *await session.fetch(sql.DUE_LAST, limit // 2)]
        due = sorted({(row["message_id"], row["endpoint_id"], row["run"]) for row in rows})
        await session.write_rows(sql.PROMOTE, due)
    return sorted({endpoint_id for _, endpoint_id, _ in due}), len(due)


async def take_back(limit: int) -> tuple[list[str], set[str], int]:
    """Record an interrupted attempt for each lease that ran out and make its delivery ready again, or quarantine it the third time.

    Answers with the endpoints that have something ready, the applications concerned and how many leases there were. An interruption uses up
    no retry.
    """
    async with database.transaction() as session:
        rows = await session.fetch(sql.EXPIRED, limit)
        results = [_interrupted(row) for row in rows]
        await _record(session, results)
        told = await tell_attempts(session, _to_tell(results))
    for result in results:
        _tell_taken_back(result)
    ready = sorted({r.claim.endpoint.id for r in results if r.state is State.READY}.union(told))
    return ready, {r.claim.app_id for r in results}, len(rows)


async def take_back_all(but_of: str) -> None:
    """Let every lease of another process run out now: for a process that owns the database alone."""
    async with database.transaction() as session:
        await session.fetch(sql.EXPIRE_ALL, but_of)


async def interrupted(session: Session, rows: Sequence[Row]) -> None:
    """Record an interrupted attempt of each leased delivery, whose place the answer takes if one comes."""
    await session.write_rows(INSERT, [_attempt(_interrupted(row)) for row in rows])


async def cancel(claims: Sequence[Claim], reason: str) -> None:
    """End claimed deliveries without an attempt, for a reason that is kept."""
    rows = [(c.message_id, c.endpoint.id, c.run, c.number, int(State.CANCELED), 0, 0, 0, reason) for c in claims]
    async with database.transaction() as session:
        await session.write_rows(sql.SETTLE, sorted(rows))


async def resend(message: Message, endpoint: Endpoint) -> None:
    """Add a manual run: one try, beside whatever is scheduled.

    Raises `Conflict` when the endpoint is disabled and `InvalidInput` (MISSING_PAYLOAD) when the content is gone.
    """
    endpoint.require_enabled()
    if message.id not in await Message.contents([message]):
        raise InvalidInput("The message's payload has expired or was expunged.", ("messageId",), code="MISSING_PAYLOAD")
    while True:  # two resends at once may want the same run number
        async with database.transaction() as session:
            if await session.fetch(sql.RESEND, message.id, endpoint.id, message.org_id, message.app_id):
                return


async def _record(session: Session, results: Sequence[Result]) -> tuple[list[Result], Set[AttemptKey]]:
    """Write deliveries and attempts; answers with the results that may decide their deliveries, one of each, and the probes that were recorded before."""
    # A late result and the taking back of its lease write the same two rows. Both hold the delivery before they add the attempt, or each
    # would wait for the other.
    ordered = sorted(results, key=lambda r: (r.claim.message_id, r.claim.endpoint.id, r.claim.run, r.claim.number))
    deciding = _deciding(ordered)
    await session.write_rows(sql.SETTLE, [_settlement(result) for result in deciding])
    # Looked for only now: a commit of the same results that was still under way has been waited for.
    known = await session.fetch_rows(sql.RECORDED, [_attempt_key(result) for result in ordered if result.claim.probe])
    await session.write_rows(INSERT, [_attempt(result) for result in ordered if result.recorded])
    return deciding, {(row["message_id"], row["endpoint_id"], row["run"], row["claim"]) for row in known}


def _attempt_key(result: Result) -> AttemptKey:
    return result.claim.message_id, result.claim.endpoint.id, result.claim.run, result.claim.number


def _deciding(ordered: Sequence[Result]) -> list[Result]:
    """One result of each delivery: its first success, else that of its newest claim.

    A late result and its successor's may come together, and of two rows for one delivery PostgreSQL would apply either.
    """
    found: dict[tuple[str, str, int], Result] = {}
    for result in ordered:
        key = (result.claim.message_id, result.claim.endpoint.id, result.claim.run)
        if key not in found or found[key].state is not State.SUCCEEDED:
            found[key] = result
    return list(found.values())


def _to_tell(results: Sequence[Result]) -> list[SettledAttempt]:
    return [told for result in results if not result.claim.run and (told := _told_of(result)) is not None]


def _told_of(result: Result) -> SettledAttempt | None:
    """The operational message about a result of a scheduled run, if there is one."""
    claim, tries = result.claim, result.claim.tries + 1
    after = None
    if result.state in (State.FAILED, State.QUARANTINED):
        kind = OperationalType.ATTEMPT_EXHAUSTED
    elif result.state is State.WAITING and result.counted and tries == FAILING_TRIES:
        kind = OperationalType.ATTEMPT_FAILING
    elif result.state is State.SUCCEEDED and (tries > FAILING_TRIES or claim.is_over):
        kind = OperationalType.ATTEMPT_RECOVERED
        # Others may have given the delivery up meanwhile.
        after = None if tries > FAILING_TRIES else OperationalType.ATTEMPT_EXHAUSTED
    else:
        return None
    return SettledAttempt(kind, claim.message_id, claim.endpoint.id, claim.number, int(result.state), after)


def _attempt(result: Result) -> tuple[Any, ...]:
    claim = result.claim
    succeeded = result.state is State.SUCCEEDED
    return (
        new_id("atmpt_", result.started_at),
        claim.message_id,
        claim.endpoint.id,
        claim.run,
        claim.number,
        claim.org_id,
        claim.app_id,
        int(MessageStatus.SUCCESS if succeeded else MessageStatus.FAIL),
        int(TriggerType.MANUAL if claim.run else TriggerType.SCHEDULED),
        result.url or claim.endpoint.url,
        result.status_code,
        result.response,
        dump_nullable(result.response_headers),
        dump_json(result.request_headers),
        dump_json(result.sensitive_headers),
        result.error_code,
        result.started_at,
        result.duration_ms,
        result.delay,
    )


def _settlement(result: Result) -> tuple[Any, ...]:
    claim = result.claim
    interrupted = int(result.recorded and not result.counted)
    return (
        claim.message_id, claim.endpoint.id, claim.run, claim.number, int(result.state), result.delay or 0, int(result.counted), interrupted,
        result.reason,
    )  # fmt: skip


def _tell_taken_back(result: Result) -> None:
    claim = result.claim
    extra = {"message_id": claim.message_id, "endpoint_id": claim.endpoint.id, "run": claim.run, "state": result.state.name.lower()}
    log.warning(
        "the lease of message %s for endpoint %s ran out; it is %s", claim.message_id, claim.endpoint.id, extra["state"], extra=extra
    )


def _interrupted(row: Row) -> Result:
    endpoint = ClaimedEndpoint(row["endpoint_id"], row["url"], "", "", "")
    claim = Claim(row["message_id"], endpoint, row["run"], row["claim"], row["org_id"], row["app_id"], 0, "", None)
    quarantined = row["interrupts"] + 1 >= MAX_INTERRUPTS
    return Result(
        claim=claim,
        state=State.QUARANTINED if quarantined else State.READY,
        delay=None if quarantined else 0,
        counted=False,
        started_at=now_us(),
        duration_ms=0,
        status_code=0,
        response=b"The process that was sending this stopped before it could record an answer.",
        response_headers=None,
        request_headers=(),
        sensitive_headers=(),
        error_code="interrupted",
        reason="interrupted too often" if quarantined else None,
    )
