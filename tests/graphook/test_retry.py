"""When to try again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphook.retry import DEFAULT_SCHEDULE, is_refusal, is_success, next_delay


def delay(
    failures: int, *, status: int = 500, timed_out: bool = False, retry_after: float | None = None, dice: float = 0.5
) -> float | None:
    return next_delay(DEFAULT_SCHEDULE, failures, status_code=status, timed_out=timed_out, retry_after=retry_after, random=lambda: dice)


def test_the_default_schedule_has_eight_tries_over_more_than_a_day() -> None:
    delays = [delay(failures) for failures in range(1, 9)]

    assert delays == [5, 300, 1800, 7200, 18_000, 36_000, 36_000, None]
    assert sum(DEFAULT_SCHEDULE) == 27 * 3600 + 35 * 60 + 5


@given(st.integers(1, 7), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_a_fifth(failures: int, dice: float) -> None:
    found = delay(failures, dice=dice)

    assert found is not None
    assert 0.8 * DEFAULT_SCHEDULE[failures - 1] <= found <= 1.2 * DEFAULT_SCHEDULE[failures - 1]


def test_a_timeout_and_a_429_wait_at_least_a_minute() -> None:
    assert delay(1, timed_out=True) == 60
    assert delay(1, status=429) == 60
    assert delay(2, status=429) == 300


@pytest.mark.parametrize(("asked", "given"), [(1, 300), (400, 400), (10_000, 600), (0, 300)])
def test_retry_after_counts_between_once_and_twice_the_delay(asked: float, given: float) -> None:
    assert delay(2, status=503, retry_after=asked) == given


def test_only_2xx_is_success() -> None:
    assert [code for code in (0, 100, 199, 200, 204, 299, 300, 301, 404, 500) if is_success(code)] == [200, 204, 299]


def test_a_class_of_refusals_leaves_out_what_asks_for_another_try() -> None:
    named = ["4xx", "503"]
    assert [status for status in (0, 302, 400, 408, 425, 429, 499, 500, 503) if is_refusal(status, named)] == [400, 499, 503]
    assert is_refusal(429, ["429"])
    assert not is_refusal(404, [])
