"""The slots of the delivery engine: what it holds when it is told to stop, and whom it keeps some for."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from graphook import database
from graphook.database import Statement
from graphook.live import LocalBus
from graphook.metrics import REGISTRY
from graphook.sandbox import Sandbox
from graphook.sender import Sender
from graphook.settings import Settings
from models.delivery import State
from tests.models import make
from tests.receiver import Receiver
from tests.waiting import PATIENCE, until
from workers.engine import Engine

TOUCH = Statement.same("UPDATE delivery SET tries = tries WHERE $1 = 1")
STATES = Statement.same("SELECT state FROM delivery WHERE $1 = 1")


@pytest.mark.sqlite_only
async def test_a_claim_that_is_being_made_when_the_engine_stops_is_sent_and_recorded(db: str, receiver: Receiver) -> None:
    """Otherwise its lease would run out somewhere, and the message be sent again."""
    app = await make.application()
    endpoint = await make.endpoint(app, url=receiver.url())
    settings = Settings.load(database_url=db, allow_subnets="127.0.0.0/8")
    sender = Sender(settings.ssrf_policy(), timeout_seconds=PATIENCE, response_limit=100)
    await sender.open()
    engine = Engine(settings, sender, LocalBus(), Sandbox())
    await make.message(app)
    writer = sqlite3.connect(db.removeprefix("sqlite://"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")  # whatever writes waits for it
    running = asyncio.create_task(engine.run())
    engine._add_lanes([endpoint.id])
    await until(lambda: not engine._lanes.ready, "the claim to begin")

    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    writer.execute("ROLLBACK")
    writer.close()
    await asyncio.gather(stopping, running)

    await sender.close()
    async with database.read() as session:
        assert [row["state"] for row in await session.fetch(STATES, 1)] == [State.SUCCEEDED]


async def test_endpoints_that_hang_leave_slots_for_the_others(db: str, receiver: Receiver) -> None:
    app, other = await make.application(), await make.application()
    gate = receiver.hold("/hangs")
    for _ in range(4):
        await make.endpoint(app, url=receiver.url("/hangs"))
    await make.endpoint(other, url=receiver.url("/answers"))
    for _ in range(10):
        await make.message(app)
    settings = Settings.load(database_url=db, allow_subnets="127.0.0.0/8", worker_slots=16, request_timeout=30.0)
    sender = Sender(settings.ssrf_policy(), timeout_seconds=PATIENCE, response_limit=100)
    await sender.open()
    engine = Engine(settings, sender, LocalBus(), Sandbox())
    running = asyncio.create_task(engine.run())
    await until(lambda: len(receiver.got("/hangs")) >= 12, "the slots to be taken")

    await make.message(other)
    await receiver.wait_for(1, "/answers")
    assert len(receiver.got("/hangs")) < 16
    gate.set()
    await receiver.wait_for(40, "/hangs")

    await asyncio.gather(engine.stop(), running)
    await sender.close()


async def test_the_metrics_tell_what_is_being_sent_from_what_is_still_to_be_recorded(db: str, receiver: Receiver) -> None:
    app = await make.application()
    gate = receiver.hold("/hook")
    await make.endpoint(app, url=receiver.url())
    settings = Settings.load(database_url=db, allow_subnets="127.0.0.0/8")
    sender = Sender(settings.ssrf_policy(), timeout_seconds=PATIENCE, response_limit=100)
    await sender.open()
    engine = Engine(settings, sender, LocalBus(), Sandbox())

    def shown() -> tuple[float | None, float | None]:
        return REGISTRY.get_sample_value("graphook_sends_in_flight"), REGISTRY.get_sample_value("graphook_sends_unrecorded")

    await make.message(app)
    running = asyncio.create_task(engine.run())
    await until(lambda: shown() == (1, 0), "the send to begin")
    async with database.transaction() as session:  # whoever records it waits
        await session.fetch(TOUCH, 1)
        gate.set()
        await until(lambda: shown() == (0, 1), "the answer")
    await until(lambda: shown() == (0, 0), "the record")

    await asyncio.gather(engine.stop(), running)
    await sender.close()
