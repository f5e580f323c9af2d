"""The broker that wakes workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dramatiq
import pytest
from dramatiq.errors import ConnectionClosed

from graphook.broker import QUEUE, create_broker
from tests.conftest import Backend
from tests.waiting import PATIENCE, until

# So long that whoever waited for it would be seen.
LONG = round(2 * PATIENCE * 1000)


def test_workers_do_not_ask_redis_for_delayed_messages_which_nobody_sends() -> None:
    broker = create_broker("redis://127.0.0.1:1/0")

    assert broker.get_declared_queues() == {QUEUE}
    assert broker.get_declared_delay_queues() == set()


@pytest.fixture
def broker(backend: Backend) -> dramatiq.Broker:
    return create_broker(backend.fresh_redis())


def message(text: str) -> dramatiq.Message[Any]:
    return dramatiq.Message(queue_name=QUEUE, actor_name="wake", args=(text,), kwargs={}, options={})


@pytest.fixture
def in_time() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Calls in another thread, and does not wait for it longer than we have patience."""
    with ThreadPoolExecutor() as threads:
        yield lambda call: threads.submit(call).result(PATIENCE)


def heard(consumer: Any) -> str:
    """What the next message says."""
    while (found := next(consumer)) is None:
        pass
    text: str = found.args[0]
    return text


@pytest.mark.postgresql_only
async def test_a_consumer_that_waits_hears_of_a_message_at_once(broker: Any) -> None:
    consumer = broker.consume(QUEUE, timeout=LONG)
    with ThreadPoolExecutor() as threads:
        listening = threads.submit(heard, consumer)
        await until(lambda: dict(broker.client.pubsub_numsub(broker.channel(QUEUE)))[broker.channel(QUEUE).encode()] == 1, "it to listen")

        broker.enqueue(message("here"))

        assert listening.result(PATIENCE) == "here"
    consumer.close()


@pytest.mark.postgresql_only
def test_a_consumer_finds_what_was_said_before_it_listened(broker: Any, in_time: Callable[[Callable[[], Any]], Any]) -> None:
    broker.enqueue(message("here"))

    consumer = broker.consume(QUEUE, timeout=LONG)

    assert in_time(lambda: heard(consumer)) == "here"
    consumer.close()


@pytest.mark.postgresql_only
def test_a_consumer_that_holds_all_it_may_does_not_wait_for_another_word(broker: Any, in_time: Callable[[Callable[[], Any]], Any]) -> None:
    broker.enqueue(message("first"))
    broker.enqueue(message("second"))
    consumer = broker.consume(QUEUE, prefetch=1, timeout=LONG)
    first = in_time(lambda: next(consumer))
    assert in_time(lambda: next(consumer)) is None

    consumer.ack(first)

    assert in_time(lambda: heard(consumer)) == "second"
    consumer.close()


def test_a_consumer_whose_redis_is_away_says_so_in_the_way_that_dramatiq_waits_for() -> None:
    consumer = create_broker("redis://127.0.0.1:1/0").consume(QUEUE, timeout=LONG)

    with pytest.raises(ConnectionClosed):
        next(consumer)


@pytest.mark.postgresql_only
def test_wake_ups_that_nobody_hears_do_not_pile_up(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphook.broker.MAX_WAITING", 3)
    now = 100.0
    monkeypatch.setattr("graphook.broker.time.monotonic", lambda: now)
    for number in range(10):
        broker.enqueue(message(str(number)))
    queue = f"{broker.namespace}:{QUEUE}"
    assert broker.client.llen(queue) == 3

    broker.client.delete(queue)
    now += 1.0
    broker.enqueue(message("again"))
    broker.enqueue(message("and again"))

    assert broker.client.llen(queue) == 2
