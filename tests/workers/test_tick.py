"""What an engine finds by itself, and when it leaves something for later."""

from __future__ import annotations

import time
from typing import Any

import pytest

from graphook import database
from graphook.errors import Unavailable
from graphook.live import LocalBus
from models import delivery
from models.delivery import State
from tests.models import make
from tests.waiting import until
from tests.workers.test_engine import rows, states
from tests.workers.test_engine_promises import Database
from workers import tick as tick_module
from workers.tick import Tick

pytestmark = pytest.mark.usefixtures("db")


def idle(woken: list[str] | None = None) -> Tick:
    """One that looks only when it is told to, and writes down whom it wakes."""
    return Tick(90, LocalBus(), ([] if woken is None else woken).extend)


async def test_after_an_outage_leases_are_taken_back_only_when_results_had_time_to_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    await make.claims(endpoint, lease_us=0)
    tick, base = idle(), Database(monkeypatch)

    base.away = True
    with pytest.raises(Unavailable):
        await tick.look()
    base.away = False
    began = time.monotonic()
    await tick.look()
    assert await states() == [int(State.LEASED)]

    async def taken_back() -> bool:
        await tick.look()
        return await states() == [int(State.READY)]

    await until(taken_back, "the lease to be taken back after all")
    assert time.monotonic() - began >= tick_module.RESULTS_FIRST


async def test_so_it_is_where_the_process_stood_still_longer_than_its_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick_module, "STOOD_STILL", 0.05)
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    tick = idle()
    await tick.look()
    await make.claims(endpoint, lease_us=0)

    time.sleep(0.1)  # noqa: ASYNC251 - as a process does that is stopped
    await tick.look()

    assert await states() == [int(State.LEASED)]


async def test_an_outage_that_begins_within_a_tick_is_one_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    tick, base = idle(), Database(monkeypatch)
    await tick.look()
    promote = delivery.promote

    async def cut_off(*args: Any) -> Any:
        await make.claims(endpoint, lease_us=0)
        base.away = True
        return await promote(*args)

    monkeypatch.setattr(tick, "_take_back_at", 0.0)
    monkeypatch.setattr(delivery, "promote", cut_off)
    with pytest.raises(Unavailable):
        await tick.look()
    assert base.refused == 2, "it looks no further than to see that the database is away"

    base.away = False
    monkeypatch.setattr(delivery, "promote", promote)
    await tick.look()
    assert await states() == [int(State.LEASED)]


@pytest.mark.postgresql_only
async def test_a_database_that_can_only_be_read_is_told_of_without_tracebacks(db: str, caplog: pytest.LogCaptureFixture) -> None:
    """As a standby is: it answers, so every part of the tick is tried, several times a second for as long as it lasts."""
    await database.disconnect()
    await database.connect(f"{db}?options=-c%20default_transaction_read_only%3Don")

    with pytest.raises(Unavailable):
        await idle().look()

    assert "the database is not available: cannot execute SELECT FOR UPDATE in a read-only transaction" in caplog.text
    assert "Traceback" not in caplog.text


async def test_the_tick_reaches_every_endpoint_a_few_at_a_time_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick_module, "SCAN", 2)
    app = await make.application()
    endpoints = sorted([(await make.endpoint(app)).id for _ in range(5)])
    await make.message(app)
    woken: list[str] = []
    tick = idle(woken)
    seen = []

    for _ in range(4):
        await tick.look()
        seen.append(list(woken))
        woken.clear()

    assert seen == [endpoints[:2], endpoints[2:4], endpoints[4:], endpoints[:2]]


async def test_statistics_that_are_behind_are_caught_up_with_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick_module, "FOLD", 1)
    app = await make.application()
    endpoint = await make.endpoint(app)
    for _ in range(3):
        await make.message(app)
        await delivery.settle([make.result(claim) for claim in await make.claims(endpoint)])
    tick = idle()

    full = 0
    while await tick.look():
        full += 1

    assert full == 3


async def test_what_retention_fails_at_is_not_tried_again_at_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    async def failing(days: int) -> int:
        tries.append(days)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(tick_module, "prune", failing)
    tick = idle()

    with pytest.raises(RuntimeError):
        await tick.look()
    assert not await tick.look()

    assert len(tries) == 1


async def test_what_retention_leaves_goes_with_the_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [tick_module.SCAN, tick_module.SCAN, 3]

    async def much(days: int) -> int:
        return left.pop(0)

    monkeypatch.setattr(tick_module, "prune", much)
    tick = idle()
    for _ in range(5):
        await tick.look()

    assert left == []


async def test_a_message_to_many_endpoints_and_what_falls_due_at_once_hold_nobody_elses_retry_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.message.INLINE_ENDPOINTS", 2)
    monkeypatch.setattr("workers.fanout.PAGE", 2)
    monkeypatch.setattr(tick_module, "SCAN", 4)
    app, other = await make.application(), await make.application()
    for _ in range(12):
        await make.endpoint(app)
    await make.endpoint(other)
    retried = await make.message(other)
    await _wait_until(retried, "9223372036854775807")
    tick = idle()

    await make.message(app)
    assert await tick.look() is True, "there is more"
    assert len(await states()) == 1 + 2, "one page"
    await _wait_until(retried, "0")
    assert await tick.look() is True
    assert await rows("state", "delivery", retried) == [int(State.READY)]

    while await tick.look():
        pass
    many = await make.message(app)
    while await tick.look():
        pass
    await _wait_until(many, "1")
    await _wait_until(retried, "2")
    await tick.look()
    assert await rows("state", "delivery", retried) == [int(State.READY)], "the last that fell due is not behind all the others"
    assert sorted(await rows("state", "delivery", many)).count(int(State.READY)) == 3
    full = 1
    while await tick.look():
        full += 1
    assert (full, set(await states())) == (3, {int(State.READY)})


async def _wait_until(message_id: str, due_at: str) -> None:
    async with database.transaction() as session:
        await session.fetch_text(f"UPDATE delivery SET state = 1, due_at = {due_at} WHERE message_id = '{message_id}'")
