"""Sends one delivery at once for somebody who waits for its attempt, in any process, whether an engine runs there or not."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from graphook.ids import new_id
from graphook.live import Bus
from graphook.sandbox import Sandbox
from graphook.sender import Sender
from graphook.settings import Settings
from models import delivery, trial
from models.endpoint import Endpoint
from models.message import Message
from workers.record import record
from workers.send import attempt

# Below the time that an operation may take, so that whoever asked gets the attempt.
LONGEST = 8.0
LEASE_MARGIN = 15.0
CONNECTIONS = 32


class TrialSender:
    """One per process. What it has begun to send is recorded even if nobody waits any more."""

    def __init__(self, settings: Settings, bus: Bus, sandbox: Sandbox) -> None:
        self._settings = settings
        self._sandbox = sandbox
        self._bus = bus
        self._name = new_id("wrk_")
        self._timeout = min(settings.request_timeout, LONGEST)
        self._sender = Sender(
            settings.ssrf_policy(), timeout_seconds=self._timeout, response_limit=settings.response_limit, connections=CONNECTIONS
        )
        self._sends: set[asyncio.Task[bool]] = set()
        self._closing = False

    async def open(self, stack: AsyncExitStack) -> None:
        """Make ready to send; `stack` waits for what is out and closes the sender."""
        await self._sender.open()
        stack.push_async_callback(self._close)

    async def send(self, message: Message, endpoint: Endpoint, body: bytes, params: str | None = None) -> bool:
        """Send a message to an endpoint, and return when the attempt is recorded; False when it has a delivery there, which is left alone."""
        task = asyncio.create_task(self._send(message, endpoint, body, params))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)
        return await asyncio.shield(task)

    async def _send(self, message: Message, endpoint: Endpoint, body: bytes, params: str | None) -> bool:
        lease = self._sandbox.longest + self._timeout + LEASE_MARGIN
        claim = await trial.lease(message, endpoint, body, self._name, round(lease * 1_000_000), params)
        if claim is None:
            return False
        result = await attempt(claim, body, self._sender, self._settings, self._sandbox)
        await record(claim, partial(delivery.settle, [result]), lambda: self._closing)
        self._bus.publish([claim.app_id])
        return True

    async def _close(self) -> None:
        self._closing = True
        await asyncio.gather(*self._sends, return_exceptions=True)
        await self._sender.close()
