"""The engine keeps to an endpoint's policy: with a real sender, a real receiver and no broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

from graphook import database
from graphook.database import Statement
from graphook.live import create_bus
from graphook.sandbox import Sandbox
from graphook.sender import Sender
from graphook.settings import Settings
from tests.models import make
from tests.receiver import Receiver
from tests.waiting import PATIENCE, until
from workers.engine import Engine


@asynccontextmanager
async def engine(database_url: str, **values: object) -> AsyncIterator[Engine]:
    """An engine at work on the connected database."""
    settings = Settings.load(database_url=database_url, allow_subnets="127.0.0.0/8", retry_penalty=0, **values)
    sender = Sender(settings.ssrf_policy(), timeout_seconds=PATIENCE, response_limit=100)
    bus = create_bus(database_url, None)
    await sender.open()
    await bus.open(None)
    running = Engine(settings, sender, bus, Sandbox())
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        await running.stop()
        await task
        await bus.close()
        await sender.close()


async def test_an_endpoint_behind_an_open_breaker_is_disabled_when_its_time_is_over(db: str, receiver: Receiver) -> None:
    """No schedule comes to its end while the breaker is open, but a failed probe looks at the clock all the same."""
    app = await make.application()
    endpoint = await make.endpoint(app, url=receiver.url(), delivery_policy={"breaker": True})
    receiver.answers("/hook", *[500] * 100)
    for _ in range(4):
        await make.message(app)
    async with database.transaction() as session:
        await session.fetch(Statement.same("UPDATE endpoint SET failing_since = 1 WHERE id = $1"), endpoint.id)

    async with engine(db, breaker_tries=2, breaker_open=0.1, retry_schedule=(0.1, *[3600.0] * 20)):

        async def disabled() -> bool:
            await endpoint.refresh_from_db()
            return endpoint.disabled

        await until(disabled, "the endpoint to be disabled")

    assert len(receiver.got()) < 10


async def test_a_queue_that_is_full_goes_on_as_soon_as_a_send_has_ended(db: str, receiver: Receiver) -> None:
    """No second of the tick lies between one message of an ordered queue and the next."""
    app = await make.application()
    endpoint = await make.endpoint(app, url=receiver.url(), delivery_policy={"ordered": True})
    ids = [await make.message(app) for _ in range(30)]

    async with engine(db) as running:
        running.wake([endpoint.id])
        requests = await receiver.wait_for(30)

    assert [request.headers["webhook-id"] for request in requests] == ids
    gaps = [later.at - earlier.at for earlier, later in pairwise(requests)]
    assert sorted(gaps)[len(gaps) // 2] < 0.5
