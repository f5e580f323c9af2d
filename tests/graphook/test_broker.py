"""The broker that wakes workers."""

from __future__ import annotations

from graphook.broker import QUEUE, create_broker


def test_workers_do_not_ask_redis_for_delayed_messages_which_nobody_sends() -> None:
    broker = create_broker("redis://127.0.0.1:1/0")

    assert broker.get_declared_queues() == {QUEUE}
    assert broker.get_declared_delay_queues() == set()
