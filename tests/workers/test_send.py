"""What an outcome means for a delivery: done, another try, or the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from graphook.sender import Outcome
from graphook.settings import Settings
from models.claim import Claim, ClaimedEndpoint
from models.delivery import Result, State
from workers.send import judge

SETTINGS = Settings.load(retry_schedule=(10.0, 1000.0), retry_penalty=60.0)


def judged(status: int = 200, *, run: int = 0, tries: int = 0, settings: Settings = SETTINGS, **outcome: Any) -> Result:
    endpoint = ClaimedEndpoint("ep_1", "https://example.com/", "", "", "")
    claim = Claim("msg_1", endpoint, run, 1, "org_1", "app_1", tries, "a.b", b"{}")
    return judge(claim, Outcome(status_code=status, **outcome), 0, [("X-A", "b"), ("Authorization", "s3cret")], settings)


def seconds(result: Result) -> float:
    assert result.delay is not None
    return result.delay / 1_000_000


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_2xx_ends_the_delivery_well(status: int) -> None:
    result = judged(status, body=b"thanks", headers=(("A", "b"),))

    assert (result.state, result.delay, result.response, result.counted) == (State.SUCCEEDED, None, b"thanks", True)
    assert result.response_headers == (("A", "b"),)


def test_a_2xx_whose_body_broke_off_is_a_failure_that_keeps_its_status() -> None:
    result = judged(200, error_code="timeout", body=b"half")

    assert (result.state, result.status_code, result.error_code) == (State.WAITING, 200, "timeout")
    assert result.response == b"The request timed out."


@pytest.mark.parametrize("status", [0, 199, 300, 301, 400, 404, 500, 999])
def test_anything_else_is_tried_again_by_the_schedule_with_jitter(status: int) -> None:
    first = [seconds(judged(status)) for _ in range(50)]
    second = [seconds(judged(status, tries=1)) for _ in range(50)]

    assert all(8 <= delay <= 12 for delay in first)
    assert all(800 <= delay <= 1200 for delay in second)
    assert len(set(first)) > 40, "without jitter everybody comes back at once"


def test_the_schedule_ends() -> None:
    result = judged(500, tries=2)

    assert (result.state, result.delay) == (State.FAILED, None)


@pytest.mark.parametrize("outcome", [{"status": 429}, {"status": 0, "error_code": "timeout"}])
def test_a_429_and_a_timeout_wait_longer(outcome: dict[str, Any]) -> None:
    assert 48 <= seconds(judged(**outcome)) <= 72


def test_a_receiver_may_ask_for_up_to_twice_the_delay() -> None:
    assert 16 <= seconds(judged(503, headers=(("Retry-After", "9" * 60),))) <= 24
    assert 8 <= seconds(judged(503, headers=(("Retry-After", "0"),))) <= 12


def test_a_410_ends_the_delivery_at_once_unless_that_is_switched_off() -> None:
    assert judged(410).state is State.FAILED
    assert judged(410, settings=Settings.load(retry_schedule=(10.0,), disable_on_gone=False)).state is State.WAITING


@pytest.mark.parametrize("status", [500, 410, 429])
def test_a_manual_run_has_one_try(status: int) -> None:
    assert judged(status, run=1).state is State.FAILED


def test_no_response_has_no_headers_and_a_sentence_and_secrets_are_not_kept() -> None:
    result = judged(0, error_code="blocked")

    assert (result.response_headers, result.response) == (None, b"Requests to this address are not allowed.")
    assert (result.request_headers, result.sensitive_headers) == ([("X-A", "b")], ["Authorization"])


def test_an_event_types_schedule_comes_before_the_services() -> None:
    endpoint = ClaimedEndpoint("ep_1", "https://example.com/", "", "", "")
    claim = Claim("msg_1", endpoint, 0, 1, "org_1", "app_1", 0, "a.b", b"{}", retry_schedule=(5000.0,))

    assert 4000 <= seconds(judge(claim, Outcome(status_code=500), 0, [], SETTINGS)) <= 6000
    assert judge(replace(claim, retry_schedule=()), Outcome(status_code=500), 0, [], SETTINGS).state is State.FAILED
