"""Operational messages are written with what causes them: once, by whoever's result counts, and whatever dies right after."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.database import Statement
from models import delivery, operational
from models.application import Application
from models.claim import Claim
from models.delivery import MAX_INTERRUPTS, State
from models.endpoint import Endpoint
from models.message import INLINE_ENDPOINTS
from tests.deployment import ROOT, SECRET_KEY
from tests.models import make
from tests.waiting import until
from tests.workers.test_engine import FakeSender, running
from workers.fanout import FanOuts

pytestmark = pytest.mark.usefixtures("db")

OPS = "http://127.0.0.1:1/operations"
TOLD = Statement.same("SELECT event_type FROM message WHERE app_id = $1 ORDER BY id")


async def scene() -> tuple[Endpoint, Endpoint]:
    """An endpoint with one message ready for it, and who is told about it."""
    app = await make.application()
    caller = Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES))
    own = await Application.of_operational_messages(caller, create=True)
    endpoint = await make.endpoint(app)
    listener = await make.endpoint(own, url=OPS)
    await make.message(app)
    return endpoint, listener


async def told(listener: Endpoint) -> list[str]:
    async with database.read() as session:
        return [row["event_type"] for row in await session.fetch(TOLD, listener.app_id)]


async def claimed(endpoint: Endpoint, tries: int, **options: Any) -> Claim:
    (claim,) = await make.claims(endpoint, **options)
    return replace(claim, tries=tries)


@pytest.mark.parametrize(
    ("tries", "state", "expected"),
    [
        (2, State.WAITING, []),
        (3, State.WAITING, ["message.attempt.failing"]),
        (4, State.WAITING, []),
        (3, State.FAILED, ["message.attempt.exhausted"]),
        (0, State.FAILED, ["message.attempt.exhausted"]),
        (3, State.SUCCEEDED, []),
        (4, State.SUCCEEDED, ["message.attempt.recovered"]),
        (7, State.SUCCEEDED, ["message.attempt.recovered"]),
    ],
)
async def test_what_is_told_of_a_result_goes_by_the_tries_and_is_told_once(tries: int, state: State, expected: list[str]) -> None:
    endpoint, listener = await scene()
    result = make.result(await claimed(endpoint, tries), state, delay=10_000_000 if state is State.WAITING else None, status=500)

    woken = (await delivery.settle([result])).told
    # The answer to the commit was lost, and the engine records the result again.
    await delivery.settle([result])

    assert await told(listener) == expected
    assert woken == [listener.id] * len(expected)


async def test_an_interrupted_try_is_not_told_as_a_failure_and_a_quarantine_is() -> None:
    endpoint, listener = await scene()
    for left in reversed(range(MAX_INTERRUPTS)):
        await make.claims(endpoint, lease_us=0)
        ready, _, _ = await delivery.take_back(10)
        assert ready == ([endpoint.id] if left else [listener.id])

    assert await told(listener) == ["message.attempt.exhausted"]


async def test_the_failure_of_a_claim_that_was_lost_is_not_told() -> None:
    endpoint, listener = await scene()
    stale = await claimed(endpoint, 9, lease_us=0)
    await delivery.take_back(10)
    current = await claimed(endpoint, 9)

    await delivery.settle([make.result(stale, State.FAILED, status=500)])
    assert await told(listener) == []
    await delivery.settle([make.result(current)])
    assert await told(listener) == ["message.attempt.recovered"]
    await delivery.settle([make.result(stale)])
    assert await told(listener) == ["message.attempt.recovered"], "a success that comes second is not told again"


@pytest.mark.parametrize("ended", [State.FAILED, State.QUARANTINED])
async def test_a_success_that_comes_after_its_delivery_was_given_up_is_told_as_a_recovery(ended: State) -> None:
    endpoint, listener = await scene()
    late = await claimed(endpoint, 0, lease_us=0)
    await delivery.take_back(10)
    if ended is State.FAILED:
        await delivery.settle([make.result(await claimed(endpoint, 0), State.FAILED, status=500)])
    else:
        for _ in range(MAX_INTERRUPTS - 1):
            await claimed(endpoint, 0, lease_us=0)
            await delivery.take_back(10)
    assert await told(listener) == ["message.attempt.exhausted"]

    woken = (await delivery.settle([make.result(late)])).told
    await delivery.settle([make.result(late)])

    assert await told(listener) == ["message.attempt.exhausted", "message.attempt.recovered"]
    assert woken == [listener.id]


async def test_a_success_that_comes_late_and_finds_its_delivery_still_open_is_not_told() -> None:
    endpoint, listener = await scene()
    late = await claimed(endpoint, 0, lease_us=0)
    await delivery.take_back(10)

    await delivery.settle([make.result(late)])

    assert await told(listener) == []


@pytest.mark.parametrize("late_first", [True, False])
async def test_of_two_results_of_one_delivery_that_come_together_the_one_that_stands_is_told(late_first: bool) -> None:
    endpoint, listener = await scene()
    late = await claimed(endpoint, 4, lease_us=0)
    await delivery.take_back(10)
    results = [make.result(late), make.result(await claimed(endpoint, 4), State.FAILED, status=500)]

    await delivery.settle(results if late_first else results[::-1])

    assert await told(listener) == ["message.attempt.recovered"]


async def test_what_is_rolled_back_is_not_told() -> None:
    endpoint, listener = await scene()

    async def change_and_fail() -> None:
        async with database.transaction():
            await endpoint.change({"description": "x"})
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await change_and_fail()
    assert await told(listener) == []


async def test_more_listeners_than_a_transaction_should_write_for_are_left_to_the_workers() -> None:
    endpoint, listener = await scene()
    await make.copies(listener, INLINE_ENDPOINTS)

    assert (await delivery.settle([make.result(await claimed(endpoint, 0), State.FAILED, status=500)])).told == []

    assert await told(listener) == ["message.attempt.exhausted"]
    assert len(await FanOuts().page() or ()) == INLINE_ENDPOINTS + 1


async def test_settling_costs_one_statement_for_a_batch_and_none_where_there_is_nothing_to_tell(db: str) -> None:
    """However many of its attempts are the last."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(10):
        await make.message(app)
    claims = await make.claims(endpoint)
    counted: list[str] = []

    async with database.transaction() as session:
        fetch = session.fetch_text

        async def counting(sql: str, *args: Any, timeout: float | None = None) -> Any:
            counted.append(sql)
            return await fetch(sql, *args, timeout=timeout)

        session.fetch_text = counting  # type: ignore[method-assign]
        for state, expected in ((State.FAILED, 1), (State.WAITING, 0), (State.SUCCEEDED, 0)):
            counted.clear()
            results = [make.result(claim, state, delay=1 if state is State.WAITING else None) for claim in claims]
            await operational.tell_attempts(session, delivery._to_tell(results))
            assert len(counted) == expected, state


# Records a last failure and dies before it could wake anybody; with `before`, before the commit.
DIE = """
import asyncio, os, signal, sys
from graphook import database, secrets
from graphook.secrets import KeyRing
from models import claiming, delivery
from models.delivery import State
from tests.models import make

async def main(url, endpoint_id, when):
    secrets.install(KeyRing([sys.argv[4]]))
    await database.connect(url)
    (claim,) = (await claiming.claim({endpoint_id: 1}, "worker", 1)).claims
    result = make.result(claim, State.FAILED, status=500)
    if when == "before":
        async with database.transaction():
            await delivery.settle([result])
            os.kill(os.getpid(), signal.SIGKILL)
    await delivery.settle([result])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:4]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_that_is_killed_between_recording_and_waking_loses_nothing_and_tells_nothing_twice(db: str, when: str) -> None:
    endpoint, listener = await scene()
    command = [sys.executable, "-c", DIE, db, endpoint.id, when, SECRET_KEY]

    died = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert died.returncode == -9, died.stderr
    assert await told(listener) == ([] if when == "before" else ["message.attempt.exhausted"])
    # Before the commit the delivery fell back to its endpoint, which is gone: that disables it too.
    expected = ["message.attempt.exhausted", *(["endpoint.disabled"] if when == "before" else [])]
    sender = FakeSender(lambda url: 200 if url == OPS else 410)
    async with running(sender):
        await until(lambda: sender.urls.count(OPS) >= len(expected), lambda: f"{expected}; {sender.urls}", patience=30)
    assert await told(listener) == expected
    assert sender.urls.count(OPS) == len(expected)
