"""The Dramatiq actor that wakes the engine of its process."""

from __future__ import annotations

from collections.abc import Callable

import dramatiq

from graphook.broker import QUEUE

DELIVER = "deliver"


def register_deliver(broker: dramatiq.Broker, wake: Callable[[list[str]], None]) -> None:
    """Let `deliver(endpoint_ids)` messages call `wake`. The lease carries the guarantee, so a message is done once it is heard."""

    def deliver(endpoint_ids: list[str]) -> None:
        wake(endpoint_ids)

    dramatiq.actor(actor_name=DELIVER, queue_name=QUEUE, broker=broker)(deliver)
