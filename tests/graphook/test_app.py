"""Stories of starting to serve."""

from __future__ import annotations

import gc

import pytest
from dramatiq.brokers.stub import StubBroker

from graphook.app import running
from graphook.broker import QUEUE
from graphook.process import CannotStart
from graphook.server import listen
from graphook.settings import Settings
from tests.deployment import SECRET_KEY
from workers.deliver import DELIVER


def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotStart, match=rf"port {port}: Address already in use\."):
            listen("127.0.0.1", port)


async def test_a_process_in_which_nobody_works_keeps_no_wake_ups(db: str) -> None:
    def brokers() -> list[StubBroker]:
        return [found for found in gc.get_objects() if isinstance(found, StubBroker)]

    earlier = {id(broker) for broker in brokers()}
    async with running(Settings.load(database_url=db, secret_key=(SECRET_KEY,)), worker=False) as services:
        (broker,) = [broker for broker in brokers() if id(broker) not in earlier]
        services.wake(DELIVER, [f"ep_{n}" for n in range(250)])

    assert broker.queues[QUEUE].qsize() == 0
