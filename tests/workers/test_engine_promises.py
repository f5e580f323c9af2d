"""What the engine promises whatever happens: leases that last, rounds that reach everybody, and nothing disabled without cause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from graphook import database, secrets
from graphook.database import Session
from graphook.errors import Unavailable
from graphook.live import LocalBus
from graphook.sandbox import CLOCK, PATIENCE, Sandbox
from graphook.sandbox_process import START_SECONDS
from graphook.secrets import KeyRing
from graphook.sender import Sender
from graphook.settings import Settings
from graphook.transformation import Webhook
from models import claiming, delivery
from models.application import Application
from models.delivery import State
from models.endpoint import Endpoint
from models.message import Message
from models.schema_checks import tell_of_lost_keys
from models.transformation import Transformation
from tests.models import make
from tests.waiting import until
from tests.workers.test_engine import FakeSender, all_succeeded, fails_twice, rows, running, states
from workers import engine as engine_module
from workers import lanes, record, send
from workers.engine import LEASE_MARGIN, Engine
from workers.trial import TrialSender

pytestmark = pytest.mark.usefixtures("db")
# As it is before a test cuts it off.
reading = database.read


def idle(sender: FakeSender | None = None, **settings: Any) -> Engine:
    """An engine that does nothing by itself."""
    return Engine(Settings.load(**settings), cast(Sender, sender or FakeSender()), LocalBus(), Sandbox())


@pytest.mark.parametrize("transforms", [False, True])
async def test_a_lease_lasts_longer_than_an_attempt_may_take(transforms: bool) -> None:
    """With all that its transformation may take before."""
    app = await make.application()
    endpoint = await make.endpoint(app)
    await Transformation.change(endpoint, {"code": "function handler(w) { return w }", "enabled": transforms})
    await make.message(app)
    sender, sandbox = FakeSender(), Sandbox(seconds=1.5)
    sender.gate.clear()
    longest = PATIENCE + START_SECONDS + 2 * CLOCK * 1.5 if transforms else 0

    async with running(sender, sandbox, request_timeout=7.0):
        await until(lambda: sender.out == 1, "the request to be out")
        (left,) = await rows("lease_until - graphook_now()", "delivery")
    await sandbox.close()

    assert 7 + LEASE_MARGIN - 5 < left / 1_000_000 - longest <= 7 + LEASE_MARGIN


async def test_the_lease_of_a_test_attempt_lasts_for_its_transformation_too() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app, fan_out=False)
    left: list[float] = []

    class Looking(Sandbox):
        async def transform(self, code: str, webhook: Webhook, **given: Any) -> Webhook:
            left.extend(await rows("lease_until - graphook_now()", "delivery"))
            return replace(webhook, cancel=True)

    await Transformation.change(endpoint, {"code": "function handler(w) { return w }", "enabled": True})
    sandbox = Looking()
    sender = TrialSender(Settings.load(request_timeout=7.0), LocalBus(), sandbox)

    await sender.send(await Message.load(app, message_id), endpoint, b"{}")

    assert 7 + LEASE_MARGIN - 5 < left[0] / 1_000_000 - sandbox.longest <= 7 + LEASE_MARGIN


class Database:
    """Refuses every transaction while it is `away`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = False
        self.refused = 0
        for name in ("read", "transaction"):
            monkeypatch.setattr(database, name, self._guarded(getattr(database, name)))

    def _guarded(self, opened: Callable[[], AbstractAsyncContextManager[Session]]) -> Callable[[], AbstractAsyncContextManager[Session]]:
        @asynccontextmanager
        async def guarded() -> AsyncIterator[Session]:
            if self.away:
                self.refused += 1
                raise Unavailable("away")
            async with opened() as session:
                yield session

        return guarded


async def lease_is_over() -> bool:
    async with reading() as session:
        return [row["over"] for row in await session.fetch_text("SELECT lease_until < graphook_now() AS over FROM delivery")] == [True]


async def test_an_outage_longer_than_the_lease_makes_nobody_send_again_what_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "LEASE_MARGIN", 0.0)
    app = await make.application()
    await make.endpoint(app)
    await make.message(app)
    sender, base = FakeSender(), Database(monkeypatch)
    sender.gate.clear()

    async with running(sender, request_timeout=3.0):
        await until(lambda: sender.out == 1, "the request to be out")
        base.away = True
        sender.gate.set()
        await until(lease_is_over, "the lease to run out")
        refused = base.refused
        await until(lambda: base.refused > refused + 10, "everybody to have asked for the database since")
        base.away = False
        await until(all_succeeded, "the result to be recorded")

    assert len(sender.urls) == 1
    assert await rows("response_status_code", "attempt") == [200]
    assert await rows("interrupts", "delivery") == [0]


async def test_a_result_that_a_fault_of_ours_keeps_from_being_recorded_is_recorded_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails_twice(monkeypatch, "settle", RuntimeError("a fault of ours"))
    monkeypatch.setattr(record, "FAULT_SECONDS", 0.1)
    app = await make.application()
    await make.endpoint(app)
    await make.message(app)
    sender = FakeSender()

    async with running(sender):
        await until(all_succeeded, "the result to be recorded")

    assert (len(sender.urls), await rows("interrupts", "delivery")) == (1, [0])
    assert len([told for told in caplog.records if "was not recorded" in told.message]) == 1, "it failed twice"


async def test_a_payload_that_expired_is_canceled_although_the_database_is_away_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    fails_twice(monkeypatch, "cancel", Unavailable("away"))
    app = await make.application()
    await make.endpoint(app)
    message_id = await make.message(app)
    await (await Message.load(app, message_id)).expunge()

    async with running(FakeSender()):

        async def canceled() -> bool:
            return await states() == [int(State.CANCELED)]

        await until(canceled, "the delivery to be canceled")

    assert await rows("interrupts", "delivery") == [0]


async def test_a_process_that_stops_gives_a_result_up_once_its_lease_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "LEASE_MARGIN", 0.0)
    app = await make.application()
    await make.endpoint(app)
    await make.message(app)
    sender, base = FakeSender(), Database(monkeypatch)
    sender.gate.clear()

    async with running(sender, request_timeout=3.0) as engine:
        await until(lambda: sender.out == 1, "the request to be out")
        base.away = True
        sender.gate.set()
        async with asyncio.timeout(60):
            await engine.stop()
        assert await lease_is_over(), "it was not given up before"
        base.away = False

    assert await states() == [int(State.LEASED)]


async def test_a_process_that_owns_the_database_sends_at_once_what_its_former_life_had_leased() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    await make.claims(endpoint, worker="former life", lease_us=3_600_000_000)
    engine = Engine(Settings.load(), cast(Sender, FakeSender()), LocalBus(), Sandbox(), owns_database=True)
    task = asyncio.create_task(engine.run())

    await until(all_succeeded, "the delivery to be sent")

    await engine.stop()
    await task
    assert sorted(await rows("COALESCE(error_code, '')", "attempt")) == ["", "interrupted"]


async def test_a_process_that_owns_the_database_leaves_its_own_leases_alone() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)
    await make.claims(endpoint, worker="me", lease_us=3_600_000_000)

    await delivery.take_back_all("me")

    assert await delivery.take_back(10) == ([], set(), 0)


async def failing(endpoint: Endpoint) -> None:
    """As if everything had failed for years."""
    async with database.transaction() as session:
        await session.fetch_text(f"UPDATE endpoint SET failing_since = 1 WHERE id = '{endpoint.id}'")


async def test_only_a_schedule_that_came_to_its_end_disables_an_endpoint_that_fails() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    message_id = await make.message(app)
    sender = FakeSender(lambda url: 500)

    async def failed(run: int, times: int) -> bool:
        return await rows(f"(SELECT count(*) FROM attempt WHERE run = {run})", "delivery", message_id) >= [times]

    async with running(sender, retry_schedule=(3600.0,)) as engine:
        await until(lambda: failed(0, 1), "the first try")
        await failing(endpoint)
        await delivery.resend(await Message.load(app, message_id), endpoint)
        engine.wake([endpoint.id])
        await until(lambda: failed(1, 1), "the try by hand")
        await endpoint.refresh_from_db()
        assert not endpoint.disabled, "a try by hand is the end of no schedule, nor is a try with one more to come"

        async with database.transaction() as session:
            await session.fetch_text("UPDATE delivery SET due_at = 0 WHERE state = 1")

        async def disabled() -> bool:
            await endpoint.refresh_from_db()
            return bool(endpoint.disabled)

        await until(disabled, "the end of the schedule to disable it")


async def test_a_410_disables_nothing_where_that_is_switched_off() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    await make.message(app)

    async with running(FakeSender(lambda url: 410), disable_on_gone=False):

        async def waits() -> bool:
            return await states() == [int(State.WAITING)]

        await until(waits, "the result to be recorded")

    await endpoint.refresh_from_db()
    assert not endpoint.disabled


async def test_what_has_no_payload_any_more_is_canceled_with_a_reason_and_not_sent() -> None:
    app = await make.application()
    await make.endpoint(app)
    message_id = await make.message(app)
    await (await Message.load(app, message_id)).expunge()
    sender = FakeSender()

    async with running(sender):

        async def canceled() -> bool:
            return await states() == [int(State.CANCELED)]

        await until(canceled, "the delivery to be canceled")

    assert sender.urls == []
    assert await rows("reason", "delivery") == ["the payload has expired or was expunged"]
    assert await rows("id", "attempt") == []


async def test_news_is_told_of_applications_whose_deliveries_were_sent_or_canceled() -> None:
    app, closed = await make.application(), await make.application()
    await make.endpoint(app)
    endpoint = await make.endpoint(closed)
    await make.message(app)
    await make.message(closed)
    await endpoint.change({"disabled": True})
    told: list[str] = []
    bus = LocalBus()
    await bus.open(told.append)
    engine = Engine(Settings.load(), cast(Sender, FakeSender()), bus, Sandbox())
    task = asyncio.create_task(engine.run())

    await until(lambda: {app.id, closed.id} <= set(told), lambda: f"news of both; told of {told}")

    await engine.stop()
    await task
    await bus.close()


@pytest.mark.parametrize("fault", [Unavailable("away"), RuntimeError("a fault of ours")])
async def test_a_claim_that_fails_is_made_again_without_a_tick(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "TICK", 3600.0)
    await make.endpoint(app := await make.application())
    await make.message(app)
    claim, failures = claiming.claim, [fault]

    async def failing_once(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await claim(*args, **options)

    monkeypatch.setattr(claiming, "claim", failing_once)

    async with running(FakeSender()):
        await until(all_succeeded, "the delivery to be sent after all")

    assert failures == []


async def test_what_one_claim_leaves_of_a_backlog_is_claimed_without_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "TICK", 3600.0)
    await make.endpoint(app := await make.application())
    for _ in range(2 * lanes.PER_LANE + 1):
        await make.message(app)

    async with running(FakeSender(), endpoint_slots=1000):
        await until(all_succeeded, "everything to be sent")


async def test_what_no_key_can_sign_waits_for_the_key_and_is_sent_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(send, "KEYLESS_SECONDS", 0.01)
    monkeypatch.setattr(engine_module, "TICK", 0.02)
    ring = secrets.keyring()
    endpoint = await make.endpoint(await make.application())
    await make.message(await Application.get(id=endpoint.app_id))
    monkeypatch.setattr(secrets, "_installed", KeyRing(["another key than the one that sealed it"]))
    await tell_of_lost_keys()

    async with running(sender := FakeSender()):

        async def given_back() -> bool:
            return bool(max(await rows("claim", "delivery")) >= 4)

        await until(given_back, "it to be claimed time and again")
        assert sender.urls == []
        assert await rows("id", "attempt") == [], "nothing was sent"
        assert await rows("tries + interrupts", "delivery") == [0], "and nothing is held against it"
        monkeypatch.setattr(secrets, "_installed", ring)
        await until(all_succeeded, "it to be sent with the key")

    assert "no secret key opens the secrets of 1 of the newest 1 endpoint" in caplog.text
    assert f"nothing can be sent to endpoint {endpoint.id}" in caplog.text
