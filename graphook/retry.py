"""When to try again: the retry schedule, its jitter, and what a receiver asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

# At once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h: eight tries over 27 hours and a half.
DEFAULT_SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
JITTER = 0.2
TOO_MANY_REQUESTS = 429
# Request Timeout, Too Early, Too Many Requests: in a class of refusals, these ask for another try.
ASKS_FOR_ANOTHER_TRY = (408, 425, TOO_MANY_REQUESTS)


def is_success(status_code: int) -> bool:
    """Whether a receiver took the message: 2xx and nothing else."""
    return 200 <= status_code <= 299


def is_refusal(status_code: int, no_retry_on: Collection[str]) -> bool:
    """Whether a status is among those that are not tried again: by itself (`404`) or by its class (`4xx`), which leaves out 408, 425 and 429."""
    if str(status_code) in no_retry_on:
        return True
    return f"{status_code // 100}xx" in no_retry_on and status_code not in ASKS_FOR_ANOTHER_TRY


def next_delay(
    schedule: Sequence[float],
    failures: int,
    *,
    status_code: int,
    timed_out: bool,
    retry_after: float | None,
    random: Callable[[], float],
    penalty_seconds: float = 60.0,
) -> float | None:
    """Seconds from now until the next try after so many failed ones (at least one); None when the schedule is exhausted.

    A timeout or a 429 waits at least `penalty_seconds`. `Retry-After` counts between once and twice the scheduled delay. `random` gives
    numbers in [0, 1); the jitter is ±20 %.
    """
    if failures > len(schedule):
        return None
    delay = schedule[failures - 1]
    if timed_out or status_code == TOO_MANY_REQUESTS:
        delay = max(delay, penalty_seconds)
    if retry_after is not None:
        delay = min(max(retry_after, delay), 2 * delay)
    return delay * (1 - JITTER + 2 * JITTER * random())
