"""The engine by itself on a real database, with a sender and a bus that tests hold in their hands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from graphook import database
from graphook.database import Statement
from graphook.errors import Unavailable
from graphook.live import LocalBus
from graphook.sandbox import Sandbox
from graphook.sender import Outcome, Sender
from graphook.settings import Settings
from models import claiming, delivery
from models.delivery import State
from models.endpoint import Endpoint
from tests.models import make
from tests.waiting import until
from workers import engine as engine_module
from workers.engine import Engine, _Held
from workers.fanout import FanOuts

pytestmark = pytest.mark.usefixtures("db")


class FakeSender:
    """Answers every request with `status`, once `gate` is open; remembers who was asked, in order."""

    def __init__(self, status: Callable[[str], int] = lambda url: 200) -> None:
        self.status = status
        self.urls: list[str] = []
        self.out = 0
        self.most_out = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes, method: str = "POST") -> Outcome:
        self.urls.append(url)
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.out -= 1
        return Outcome(status_code=self.status(url), body=b"said")


@asynccontextmanager
async def running(sender: FakeSender, sandbox: Sandbox | None = None, **settings: Any) -> AsyncIterator[Engine]:
    found = Engine(Settings.load(**{"retry_schedule": (100.0,), **settings}), cast(Sender, sender), LocalBus(), sandbox or Sandbox())
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        sender.gate.set()
        await found.stop()
        await task


def fails_twice(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> list[Exception]:
    """Have a function of `delivery` fail twice before it does what it is for; the failures there have been."""
    call, failed = getattr(delivery, name), list[Exception]()

    async def failing(*args: Any) -> Any:
        if len(failed) < 2:
            failed.append(error)
            raise error
        return await call(*args)

    monkeypatch.setattr(delivery, name, failing)
    return failed


async def rows(column: str, table: str, message_id: str | None = None) -> list[Any]:
    where = "" if message_id is None else f"WHERE message_id = '{message_id}'"
    async with database.read() as session:
        return [row["found"] for row in await session.fetch_text(f"SELECT {column} AS found FROM {table} {where} ORDER BY message_id")]


async def states() -> list[int]:
    return await rows("state", "delivery")


async def all_succeeded() -> bool:
    return set(await states()) == {int(State.SUCCEEDED)}


async def test_the_tick_finds_work_that_nobody_woke_it_for() -> None:
    app = await make.application()
    await make.endpoint(app)
    sender = FakeSender()

    async with running(sender):
        await make.message(app)
        await until(all_succeeded, "the delivery to be found")

    assert await rows("response_status_code", "attempt") == [200]


async def test_a_backlog_of_one_endpoint_does_not_starve_the_others() -> None:
    app, other = await make.application(), await make.application()
    busy = await make.endpoint(app, url="http://127.0.0.1:1/busy")
    quiet = await make.endpoint(other, url="http://127.0.0.1:1/quiet")
    for _ in range(60):
        await make.message(app)
    await make.message(other)
    sender = FakeSender()
    sender.gate.clear()

    async with running(sender, worker_slots=16, endpoint_slots=8) as engine:
        engine.wake([busy.id, quiet.id])
        await until(lambda: "http://127.0.0.1:1/quiet" in sender.urls, "the quiet one to be sent to while the busy one hangs")
        assert sender.urls.count("http://127.0.0.1:1/busy") <= 8
        sender.gate.set()
        await until(all_succeeded, "everything to be sent")

    assert sender.most_out <= 9


async def test_no_more_is_sent_at_a_time_than_there_are_slots() -> None:
    app = await make.application()
    endpoints = [await make.endpoint(app) for _ in range(5)]
    for _ in range(4):
        await make.message(app)
    sender = FakeSender()
    sender.gate.clear()

    async with running(sender, worker_slots=6, endpoint_slots=3) as engine:
        engine.wake([endpoint.id for endpoint in endpoints])
        await until(lambda: sender.out == 6, "every slot to be used")
        sender.gate.set()
        await until(all_succeeded, "everything to be sent")

    assert (sender.most_out, len(sender.urls)) == (6, 20)


async def test_a_slot_is_free_when_the_receiver_has_answered_and_twice_as_many_as_slots_wait_to_be_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = await make.application()
    await make.endpoint(app)
    for _ in range(9):
        await make.message(app)
    settle, recording = delivery.settle, asyncio.Event()

    async def settle_later(*args: Any) -> Any:
        await recording.wait()
        return await settle(*args)

    monkeypatch.setattr(delivery, "settle", settle_later)
    sender = FakeSender()

    async with running(sender, worker_slots=2, endpoint_slots=2) as engine:
        try:
            await until(lambda: len(sender.urls) == 4, "twice as many as slots to be sent")
            await engine._tick.look()
            await engine._tick.look()
            assert (len(sender.urls), engine._lanes.held, engine._lanes.sending) == (4, 4, 0)
        finally:
            recording.set()
        await until(all_succeeded, "everything to be sent and recorded")

    assert (sender.most_out, len(sender.urls)) == (2, 9)


async def test_another_claim_is_made_while_one_waits_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    claim, gate, made = claiming.claim, asyncio.Event(), 0

    async def waiting(*args: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        await gate.wait()
        return await claim(*args, **options)

    monkeypatch.setattr(claiming, "claim", waiting)
    app, other = await make.application(), await make.application()
    await make.endpoint(app)
    await make.message(app)

    async with running(FakeSender()) as engine:
        try:
            await until(lambda: made == 1, "a claim to begin")
            endpoint = await make.endpoint(other)
            await make.message(other)
            engine.wake([endpoint.id])
            await until(lambda: made == 2, "another to begin")
        finally:
            gate.set()
        await until(all_succeeded, "both to be sent")


async def test_claims_that_were_made_when_the_engine_stops_are_all_sent_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    claim, gate, made = claiming.claim, asyncio.Event(), 0

    async def waiting(*args: Any, **options: Any) -> Any:
        nonlocal made
        claimed = await claim(*args, **options)
        made += 1
        await gate.wait()
        return claimed

    monkeypatch.setattr(claiming, "claim", waiting)
    apps = [await make.application() for _ in range(2)]
    for app in apps:
        await make.endpoint(app)
        await make.message(app)
    sender = FakeSender()

    async with running(sender) as engine:
        await until(lambda: made == 1, "a claim to be made")
        endpoint = await make.endpoint(apps[0])
        await make.message(apps[0])
        engine.wake([endpoint.id])
        await until(lambda: made == 2, "another to be made")
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0)
        gate.set()
        await stopping

        claimed = [state for state in await states() if state != State.READY]
        assert claimed == [State.SUCCEEDED] * len(sender.urls)
        assert len(sender.urls) >= 3


@pytest.mark.parametrize(("lease_us", "state"), [(30_000_000, State.WAITING), (0, State.LEASED)], ids=["given back", "left to others"])
async def test_a_claim_that_went_stale_is_not_sent_and_given_back_unless_its_lease_is_over(lease_us: int, state: State) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    (claim,) = await make.claims(endpoint, lease_us=lease_us)
    sender = FakeSender()
    engine = Engine(Settings.load(), cast(Sender, sender), LocalBus(), Sandbox())
    engine._lanes.add([endpoint.id])
    engine._lanes.claimed(engine._lanes.choose(), {endpoint.id: 1})

    await engine._deliver(_Held(claim, time.monotonic() - engine_module.STALE_CLAIM - 1))

    assert (sender.urls, await states()) == ([], [int(state)])
    assert (await rows("tries + interrupts", "delivery"), await rows("id", "attempt")) == ([0], [])


async def test_an_endpoint_that_cannot_be_read_keeps_no_other_from_being_sent_to() -> None:
    apps = [await make.application() for _ in range(2)]
    broken, other = [
        await make.endpoint(app, url=f"http://127.0.0.1:1/{name}") for app, name in zip(apps, ("broken", "other"), strict=True)
    ]
    await Endpoint.filter(id=broken.id).update(delivery_policy=["not", "a", "policy"])
    sender = FakeSender()

    async with running(sender) as engine:
        for app in apps:
            await make.message(app)
        engine.wake([broken.id, other.id])
        await until(lambda: bool(sender.urls), "the other to be sent to")

    assert sender.urls == ["http://127.0.0.1:1/other"]


async def test_what_a_tick_fails_at_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(FanOuts, "page", broken)
    monkeypatch.setattr(delivery, "promote", broken)
    app = await make.application()
    await make.endpoint(app)

    async with running(FakeSender()):
        await make.message(app)
        await until(all_succeeded, "the message to be found and sent")


async def test_a_result_outlives_an_outage_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    app = await make.application()
    await make.endpoint(app)
    failed = fails_twice(monkeypatch, "settle", Unavailable("away"))
    sender = FakeSender()

    async with running(sender):
        await make.message(app)
        await until(all_succeeded, "the result to be recorded")

    assert (len(failed), len(sender.urls), await rows("claim", "attempt")) == (2, 1, [1])


async def test_a_fault_while_sending_leaves_the_lease_and_the_engine_goes_on() -> None:
    app, other = await make.application(), await make.application()
    await make.endpoint(app, url="http://127.0.0.1:1/poison")
    await make.endpoint(other, url="http://127.0.0.1:1/good")

    def status(url: str) -> int:
        if url.endswith("poison"):
            raise RuntimeError("a fault of ours")
        return 200

    first = await make.message(app)
    async with running(FakeSender(status)):
        second = await make.message(other)

        async def sent() -> bool:
            return await rows("state", "delivery", second) == [int(State.SUCCEEDED)]

        await until(sent, "the other one to be sent")
        assert await rows("state", "delivery", first) == [int(State.LEASED)]


async def test_a_lease_that_ran_out_is_an_interrupted_attempt_and_the_third_one_is_quarantined() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    found = []

    for _ in range(3):
        assert len(await make.claims(endpoint, lease_us=-1)) == 1
        await delivery.take_back(10)
        found += await states()

    assert found == [int(State.READY), int(State.READY), int(State.QUARANTINED)]
    assert await rows("error_code", "attempt") == ["interrupted"] * 3
    assert await rows("tries", "delivery") == [0], "an interruption uses up no retry"


async def test_the_tick_takes_back_what_another_process_left_and_sends_it() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    await make.claims(endpoint, worker="dead", lease_us=-1)

    async with running(FakeSender()):
        await until(all_succeeded, "the delivery to be sent after all")

    assert sorted(await rows("COALESCE(error_code, '')", "attempt")) == ["", "interrupted"]


async def test_stop_waits_for_what_is_in_flight_and_claims_nothing_more() -> None:
    app = await make.application()
    await make.endpoint(app)
    await make.message(app)
    sender = FakeSender()
    sender.gate.clear()

    async with running(sender) as engine:
        await until(lambda: sender.out == 1, "the request to be out")
        stopping = asyncio.create_task(engine.stop())
        await make.message(app)
        await asyncio.sleep(0)
        assert not stopping.done()
        sender.gate.set()
        await stopping

    assert sorted(await states()) == [int(State.READY), int(State.SUCCEEDED)]


async def test_a_rate_limited_lane_goes_on_by_itself() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app, rate_limit=10)
    for _ in range(8):
        await make.message(app)
    sender = FakeSender()
    began = time.monotonic()

    async with running(sender) as engine:
        engine.wake([endpoint.id])
        await until(all_succeeded, "everything to be sent")

    assert time.monotonic() - began >= 0.5, "two at once, the others at ten a second"


async def test_a_410_disables_the_endpoint_and_what_waits_for_it_is_canceled() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    sender = FakeSender(lambda url: 410)

    async with running(sender) as engine:
        await until(lambda: len(sender.urls) == 1, "the first to be sent")

        async def disabled() -> bool:
            await endpoint.refresh_from_db()
            return bool(endpoint.disabled)

        await until(disabled, "the endpoint to be disabled")
        async with database.transaction() as session:
            await session.fetch(Statement.same("UPDATE delivery SET state = 0 WHERE state = 4 AND endpoint_id = $1"), endpoint.id)
        engine.wake([endpoint.id])

        async def canceled() -> bool:
            return await states() == [int(State.CANCELED)]

        await until(canceled, "the delivery to be canceled")

    assert len(sender.urls) == 1


@pytest.mark.parametrize("status", [410, 500])
async def test_what_the_former_url_of_an_endpoint_answers_does_not_disable_it(status: int) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    async with database.transaction() as session:
        await session.fetch(Statement.same("UPDATE endpoint SET failing_since = 1 WHERE id = $1"), endpoint.id)
    sender = FakeSender(lambda url: status)
    sender.gate.clear()

    async with running(sender, retry_schedule=()):
        await until(lambda: len(sender.urls) == 1, "the message to be out")
        await endpoint.change({"url": "http://127.0.0.1:1/moved"})

    assert await rows("state", "delivery", message_id) == [int(State.FAILED)]
    await endpoint.refresh_from_db()
    assert not endpoint.disabled


async def test_a_message_to_many_endpoints_is_written_in_pages_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.message.INLINE_ENDPOINTS", 2)
    monkeypatch.setattr("workers.fanout.PAGE", 2)
    app = await make.application()
    endpoints = sorted([(await make.endpoint(app)).id for _ in range(5)])
    await make.message(app)
    assert await states() == []

    pages = []
    while (page := await FanOuts().page()) is not None:
        pages.append(page)

    assert pages == [endpoints[:2], endpoints[2:4], endpoints[4:], []]
    assert sorted(await rows("endpoint_id", "delivery")) == endpoints
    assert await FanOuts().page() is None


async def test_the_engine_goes_on_at_once_while_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.message.INLINE_ENDPOINTS", 1)
    monkeypatch.setattr("workers.fanout.PAGE", 1)
    monkeypatch.setattr(engine_module, "TICK", 3600.0)
    app = await make.application()
    for _ in range(5):
        await make.endpoint(app)
    await make.message(app)
    sender = FakeSender()

    async with running(sender):
        await until(lambda: len(sender.urls) == 5, "every endpoint to be sent to")


async def test_applications_with_many_endpoints_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.message.INLINE_ENDPOINTS", 1)
    monkeypatch.setattr("workers.fanout.PAGE", 1)
    app, other = await make.application(), await make.application()
    its = [[(await make.endpoint(one)).id for _ in range(2)] for one in (app, other)]
    for one in (app, app, other):
        await make.message(one)
    turns = FanOuts()

    first = [await turns.page() for _ in range(4)]

    assert first == [[its[0][0]], [its[1][0]], [its[0][1]], [its[1][1]]]
    while await turns.page() is not None:
        pass
    assert len(await states()) == 6
