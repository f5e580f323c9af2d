"""A claim: a delivery that is leased to a process, with what sending it needs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from graphook.database import Row
from models.delivery_policy import DeliveryPolicy


@dataclass(frozen=True, slots=True)
class ClaimedEndpoint:
    """What sending to an endpoint needs; headers and secrets are still sealed."""

    id: str
    url: str
    headers: str
    secret: str
    old_secrets: str
    policy: DeliveryPolicy = DeliveryPolicy()
    breaker: bool = False
    enforce_https: bool = False
    # Of its transformation, where that is enabled: the code, and the variables, still sealed.
    code: str | None = None
    variables: str = ""


@dataclass(slots=True)  # not frozen, like all that is made anew for each delivery: every field would be set by a call
class Claim:
    """A delivery leased to this process. `number` fences the result: only the current claim may record a failure.

    `probe` is the opening of the endpoint's breaker that it was claimed in, 0 when the breaker was closed. `lease_until` is in seconds of this
    process's monotonic clock, and no later than the database has it.
    """

    message_id: str
    endpoint: ClaimedEndpoint
    run: int
    number: int
    org_id: str
    app_id: str
    tries: int
    event_type: str
    body: bytes | None
    traceparent: str | None = None
    probe: int = 0
    interrupts: int = 0
    # The event type's, in seconds.
    retry_schedule: Sequence[float] | None = None
    # What a transformation is told of the message.
    channels: Sequence[str] | None = None
    params: str | None = None
    lease_until: float = math.inf

    @property
    def is_over(self) -> bool:
        """Whether the lease has run out, so that somebody else may have taken the delivery."""
        return time.monotonic() >= self.lease_until

    @property
    def given_back(self) -> int:
        """How many claims before this one were given back, with nothing tried."""
        return self.number - 1 - self.tries - self.interrupts


def claimed_endpoint(row: Row, breaker: bool) -> ClaimedEndpoint:
    """An endpoint from a row of `ENDPOINTS`."""
    policy = DeliveryPolicy.read(row["delivery_policy"])
    return ClaimedEndpoint(
        row["id"],
        row["url"],
        row["headers"],
        row["secret"],
        row["old_secrets"],
        policy,
        breaker if policy.breaker is None else policy.breaker,
        bool(row["enforce_https"]),
        row["code"],
        row["variables"] or "",
    )


def claim_of(row: Row, endpoint: ClaimedEndpoint, content: Row | None, probe: int, lease_until: float) -> Claim:
    """The claim of a delivery from a row of `PICK`, with its row of `BODIES` (both may be one of `CLAIM`) where the content is still there."""
    return Claim(
        message_id=row["message_id"],
        endpoint=endpoint,
        run=row["run"],
        number=row["claim"] + 1,
        org_id=row["org_id"],
        app_id=row["app_id"],
        tries=row["tries"],
        event_type=content["event_type"] if content is not None else "",
        body=bytes(content["body"]) if content is not None else None,
        traceparent=content["traceparent"] if content is not None else None,
        probe=probe,
        interrupts=row["interrupts"],
        retry_schedule=orjson.loads(content["retry_schedule"]) if content is not None and content["retry_schedule"] is not None else None,
        channels=orjson.loads(content["channels"]) if content is not None and content["channels"] is not None else None,
        params=content["params"] if content is not None else None,
        lease_until=lease_until,
    )
