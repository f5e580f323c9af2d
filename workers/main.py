"""The worker process: `dramatiq workers.main`. It listens for wake-ups and runs the delivery engine on Dramatiq's event loop."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from types import FrameType
from typing import Any

import dramatiq
import uvloop
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import AsyncIO, Middleware, ShutdownNotifications

from graphook import tracing
from graphook.broker import create_broker
from graphook.errors import GraphookError
from graphook.garbage import settle_in
from graphook.live import create_bus
from graphook.logs import configure_logging
from graphook.process import CannotStart, opened
from graphook.sandbox import Sandbox
from graphook.settings import BadSettings, Settings
from models.schema_checks import tell_of_lost_keys
from workers.deliver import register_deliver, register_generate
from workers.running import Working, start_workers
from workers.sample import sampled
from workers.starting import check_worker

log = logging.getLogger(__name__)


class DeliveryEngine(Middleware):
    """Starts the database, the sender and the engine with the worker, and stops them in order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._working: Working | None = None

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Any) -> None:
        _stop_once()
        try:
            _on_loop(self._start())
        except Exception as error:
            # Dramatiq would log it and go on without an engine.
            log.critical("the delivery engine cannot start: %s", error, exc_info=not isinstance(error, GraphookError))
            raise SystemExit(1) from error

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        _on_loop(self._stack.aclose())

    def wake(self, endpoint_ids: list[str]) -> None:
        """Hand a wake-up to the engine; before it runs, its first look finds everything anyway."""
        if self._working is not None:
            self._working.engine.wake(endpoint_ids)

    def look(self) -> None:
        """The same for the generator."""
        if self._working is not None:
            self._working.generator.look()

    async def _start(self) -> None:
        settings = self._settings
        self._stack.enter_context(tracing.traced(settings.tracing))
        await self._stack.enter_async_context(opened(settings))
        await tell_of_lost_keys()
        bus = create_bus(settings.database_url, settings.redis_url)
        await bus.open(None)
        self._stack.push_async_callback(bus.close)
        sandbox = Sandbox.of(settings)
        self._stack.push_async_callback(sandbox.close)
        self._working = await start_workers(settings, bus, self._stack, owns_database=False, sandbox=sandbox)
        await self._stack.enter_async_context(sampled(settings, backlog=True))
        settle_in()


def _stop_once() -> None:
    """Heed the first signal to stop alone. The second would end Dramatiq's thread and leave the engine at work; and where everybody in the group is told, as
    systemd does, the parent process tells us a second time at once."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        stop, told = signal.getsignal(number), False

        def once(signum: int, frame: FrameType | None, stop: Any = stop) -> None:
            nonlocal told
            if not told and callable(stop):
                told = True
                stop(signum, frame)

        signal.signal(number, once)


def _on_loop(work: Any) -> None:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("Dramatiq's AsyncIO middleware must come before the engine")
    thread.run_coroutine(work)


def configure() -> dramatiq.Broker:
    """The broker that this process works for, with the engine as a part of it."""
    try:
        settings = Settings.load()
        asyncio.run(check_worker(settings))
    except (BadSettings, CannotStart, GraphookError) as error:
        raise SystemExit(f"graphook: {error}") from error
    configure_logging(settings.log_level, settings.log_format)
    engine = DeliveryEngine(settings)
    found = create_broker(settings.redis_url, [AsyncIO(), ShutdownNotifications(), engine])
    register_deliver(found, engine.wake)
    register_generate(found, engine.look)
    dramatiq.set_broker(found)
    return found


# Dramatiq makes its event loop itself: the policy is the only way to say of which kind.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
broker = configure()
