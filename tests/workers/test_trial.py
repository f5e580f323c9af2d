"""The sender of test attempts by itself, with a real receiver: what it has sent is recorded, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from graphook.live import LocalBus
from graphook.sandbox import Sandbox
from graphook.settings import Settings
from models.delivery import State
from models.message import Message
from tests.models import make
from tests.receiver import Receiver
from tests.waiting import until
from tests.workers.test_engine import rows, states
from tests.workers.test_engine_promises import Database
from workers.trial import TrialSender

pytestmark = pytest.mark.usefixtures("db")


@asynccontextmanager
async def ready() -> AsyncIterator[TrialSender]:
    async with AsyncExitStack() as stack:
        sender = TrialSender(Settings.load(allow_subnets=("127.0.0.0/8",)), LocalBus(), Sandbox())
        await sender.open(stack)
        yield sender


async def test_what_was_answered_while_the_database_is_away_is_recorded_when_it_is_back(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app, url=receiver.url())
    message = await Message.load(app, await make.message(app, fan_out=False))
    base, gate = Database(monkeypatch), receiver.hold("/hook")

    async with ready() as sender:
        sending = asyncio.create_task(sender.send(message, endpoint, b"{}"))
        await until(lambda: len(receiver.requests) == 1, "the request to be out")
        base.away = True
        gate.set()
        await until(lambda: base.refused > 2 or sending.done(), "the result to be refused")
        base.away = False
        assert await sending is True

    assert (await states(), await rows("response_status_code", "attempt")) == ([int(State.SUCCEEDED)], [200])


async def test_nobody_needs_to_wait_for_what_is_recorded_late(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app, url=receiver.url())
    message = await Message.load(app, await make.message(app, fan_out=False))
    base, gate = Database(monkeypatch), receiver.hold("/hook")

    async with ready() as sender:
        sending = asyncio.create_task(sender.send(message, endpoint, b"{}"))
        await until(lambda: len(receiver.requests) == 1, "the request to be out")
        sending.cancel()
        base.away = True
        gate.set()
        await until(lambda: base.refused > 2, "the result to be refused")
        base.away = False

    assert await states() == [int(State.SUCCEEDED)], "closing waits for it"


async def test_of_two_that_send_one_message_at_once_one_does(receiver: Receiver) -> None:
    app = await make.application()
    endpoint = await make.endpoint(app, url=receiver.url())
    message = await Message.load(app, await make.message(app, fan_out=False))

    async with ready() as sender:
        sent = await asyncio.gather(*(sender.send(message, endpoint, b"{}") for _ in range(2)))

    assert sorted(sent) == [False, True]
    assert len(receiver.requests) == 1
