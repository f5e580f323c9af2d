"""The Dramatiq actors that wake what works in their process: the engine, and the generator."""

from __future__ import annotations

from collections.abc import Callable

import dramatiq

from graphook.broker import QUEUE

DELIVER = "deliver"
GENERATE = "generate"


def register_deliver(broker: dramatiq.Broker, wake: Callable[[list[str]], None]) -> None:
    """Let `deliver(endpoint_ids)` messages call `wake`. The lease carries the guarantee, so a message is done once it is heard."""

    def deliver(endpoint_ids: list[str]) -> None:
        wake(endpoint_ids)

    dramatiq.actor(actor_name=DELIVER, queue_name=QUEUE, broker=broker)(deliver)


def register_generate(broker: dramatiq.Broker, look: Callable[[], None]) -> None:
    """Let `generate(ids)` messages call `look`: a generation is begun at once, and by whoever looks first."""

    def generate(_: list[str]) -> None:
        look()

    dramatiq.actor(actor_name=GENERATE, queue_name=QUEUE, broker=broker)(generate)
