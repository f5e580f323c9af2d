"""One attempt: sign a claimed delivery, send it, and judge what came back."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace

from graphook import tracing
from graphook.clock import now_us
from graphook.headers import is_sensitive
from graphook.logs import once_a_second
from graphook.retry import is_refusal, is_success, next_delay
from graphook.sandbox import Sandbox
from graphook.secrets import SecretUnreadable
from graphook.sender import Outcome, Sender
from graphook.settings import Settings
from graphook.transformation import TransformationError, Webhook
from models.claim import Claim, ClaimedEndpoint
from models.delivery import Result, State
from models.request import request_headers
from workers.transform import transformed

log = logging.getLogger(__name__)

GONE = 410
# What the sandbox could not run is tried again after about so many seconds, and after so many times without an answer taken for the code's fault.
AGAIN_SECONDS = 1.0
CRASHES = 3
# What cannot be signed is tried again after about so many seconds.
KEYLESS_SECONDS = 60.0
CANCELED = b"The transformation canceled it: nothing was sent."


async def attempt(claim: Claim, body: bytes, sender: Sender, settings: Settings, sandbox: Sandbox) -> Result:
    """Send one claimed delivery, or what its transformation makes of it, and say what to record.

    What could not be transformed now is given back, and, for longer, what no key of the ring opens the secrets for: the operator may put the key back.
    """
    try:
        return await _attempt(claim, body, sender, settings, sandbox)
    except SecretUnreadable as error:
        once_a_second(log.error, f"nothing can be sent to endpoint {claim.endpoint.id}, its messages wait: {error}")
        return unsent(claim, KEYLESS_SECONDS)


async def _attempt(claim: Claim, body: bytes, sender: Sender, settings: Settings, sandbox: Sandbox) -> Result:
    started_at = now_us()
    headers: list[tuple[str, str]] = []
    url, again = None, False
    with tracing.attempt(claim.traceparent, {"graphook.message_id": claim.message_id, "graphook.endpoint_id": claim.endpoint.id}) as span:
        try:
            webhook = await transformed(claim, body, sandbox)
        except TransformationError as error:
            again = error.code == "UNAVAILABLE" or (error.code == "CRASHED" and claim.given_back < CRASHES - 1)
            took = (now_us() - started_at) // 1000
            outcome = Outcome(0, error_code=f"transformation_{error.code.lower()}", detail=error.message, duration_ms=took)
        else:
            if webhook.cancel:
                outcome = Outcome(0, body=CANCELED, canceled=True)
            else:
                url = webhook.url
                made = None if claim.endpoint.code is None else webhook
                headers = request_headers(claim.endpoint, claim.message_id, body, started_at, settings, made)
                if span is not None and settings.trace_receivers and (traceparent := tracing.current()) is not None:
                    headers.append(("traceparent", traceparent))
                outcome = await _send(claim.endpoint, webhook, headers, sender)
        result = judge(claim, outcome, started_at, headers, settings, url)
        if again:
            result = given_back(result)
        if span is not None:
            span.set_attribute("http.response.status_code", outcome.status_code)
            tracing.ended(span, failure(result) or "OK")
    return result


def unsent(claim: Claim, seconds: float | None = None) -> Result:
    """The result of a claim that came to nothing, which gives it back."""
    return given_back(Result(claim, State.WAITING, 0, False, now_us(), 0, 0, b"", None, (), (), None), seconds)


def given_back(result: Result, seconds: float | None = None) -> Result:
    """The result that leaves the delivery as it was, a little or about so many seconds later."""
    delay = round((AGAIN_SECONDS if seconds is None else seconds) * 1_000_000 * random.uniform(0.5, 1.5))
    return replace(result, state=State.WAITING, delay=delay, counted=False, recorded=False)


async def _send(endpoint: ClaimedEndpoint, webhook: Webhook, headers: Sequence[tuple[str, str]], sender: Sender) -> Outcome:
    if endpoint.enforce_https and not webhook.url.lower().startswith("https:"):
        return Outcome(0, error_code="https_required")
    return await sender.send(webhook.url, headers, webhook.payload, webhook.method)


def failure(result: Result) -> str:
    """Why an attempt failed, in one of a few words; empty when it did not."""
    if result.state is State.SUCCEEDED:
        return ""
    return result.error_code or f"http_{result.status_code // 100}xx"


def judge(
    claim: Claim, outcome: Outcome, started_at: int, headers: Sequence[tuple[str, str]], settings: Settings, url: str | None = None
) -> Result:
    """The result of an outcome: succeeded on 2xx or when nothing was to be sent, else the next try by the retry schedule, or failed when it is exhausted.

    The schedule is the endpoint's, else the event type's, else the service's. A manual run has one try. What the endpoint does not want again fails at once,
    and so does 410 Gone.
    """
    policy = claim.endpoint.policy
    state, delay = State.SUCCEEDED, None
    if not outcome.canceled and (outcome.error_code is not None or not is_success(outcome.status_code)):
        seconds = None
        gone = outcome.status_code == GONE and settings.disable_on_gone
        if claim.run == 0 and not gone and not is_refusal(outcome.status_code, policy.no_retry_on or ()):
            seconds = next_delay(
                next(found for found in (policy.retry_schedule, claim.retry_schedule, settings.retry_schedule) if found is not None),
                claim.tries + 1,
                status_code=outcome.status_code,
                timed_out=outcome.error_code == "timeout",
                retry_after=outcome.retry_after,
                random=random.random,
                penalty_seconds=settings.retry_penalty,
            )
        state = State.FAILED if seconds is None else State.WAITING
        delay = None if seconds is None else round(seconds * 1_000_000)
    response = outcome.body if outcome.error_code is None else (outcome.error or "").encode()
    return Result(
        claim=claim,
        state=state,
        delay=delay,
        counted=True,
        started_at=started_at,
        duration_ms=outcome.duration_ms,
        status_code=outcome.status_code,
        response=response,
        response_headers=outcome.headers if outcome.status_code else None,
        # What is sensitive is not stored at all: it cannot leak from a dump.
        request_headers=[(name, value) for name, value in headers if not is_sensitive(name)],
        sensitive_headers=[name for name, _ in headers if is_sensitive(name)],
        error_code=outcome.error_code,
        url=url,
    )
