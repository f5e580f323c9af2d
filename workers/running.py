"""Starts what works in the background of a process, the delivery engine and the runner of tasks, and stops it in order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from graphook.live import Bus
from graphook.sandbox import Sandbox
from graphook.sender import Sender
from graphook.settings import Settings
from models.task import TaskType
from workers.aggregate import application_stats, event_types
from workers.broadcast import broadcast
from workers.engine import Engine
from workers.event_export import export_openapi
from workers.generate import Generator
from workers.purge import cancel_messages, purge_content
from workers.replay import bulk_replay, recover, replay_missing
from workers.tasks import TakeStep, TaskRunner

STEPS: dict[TaskType, TakeStep] = {
    TaskType.ENDPOINT_RECOVER: recover,
    TaskType.ENDPOINT_REPLAY: replay_missing,
    TaskType.ENDPOINT_BULK_REPLAY: bulk_replay,
    TaskType.SDK_GENERATE: export_openapi,
    TaskType.APPLICATION_CANCEL_MESSAGES: cancel_messages,
    TaskType.APPLICATION_PURGE_CONTENT: purge_content,
    TaskType.APPLICATION_STATS: application_stats,
    TaskType.EVENT_TYPE_AGGREGATE: event_types,
    TaskType.MESSAGE_BROADCAST: broadcast,
}


@dataclass(frozen=True, slots=True)
class Working:
    """What is at work and may be woken."""

    engine: Engine
    generator: Generator


async def start_workers(settings: Settings, bus: Bus, stack: AsyncExitStack, *, owns_database: bool, sandbox: Sandbox) -> Working:
    """The engine at work, with the runners beside it; `stack` stops all and the sender after them. The sandbox outlives them."""
    sender = Sender(
        settings.ssrf_policy(),
        timeout_seconds=settings.request_timeout,
        response_limit=settings.response_limit,
        connections=settings.worker_slots,
    )
    await sender.open()
    stack.push_async_callback(sender.close)
    engine = Engine(settings, sender, bus, sandbox, owns_database=owns_database)
    runner = TaskRunner(engine.name, STEPS, engine.wake, bus, owns_database=owns_database)
    generator = Generator(engine.name, settings, sandbox, engine.wake, bus)
    working = [asyncio.create_task(one.run()) for one in (engine, runner, generator)]

    async def stop() -> None:
        runner.stop()
        generator.stop()
        await engine.stop()
        await asyncio.gather(*working)

    stack.push_async_callback(stop)
    return Working(engine, generator)
