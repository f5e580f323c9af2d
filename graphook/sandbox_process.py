"""A child process of the sandbox as its parent sees it: started with nothing but a socket, asked one thing at a time, killed by its id."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# As `graphook.sandbox_child` has it, which is not imported: the engine stays out of this process.
REQUEST = REPLY = struct.Struct("!III")
START_SECONDS = 5.0
# A process that has run so many handlers, or for so many seconds, makes way for another one: well before the kernel ends it for its time on the
# processor, which is never more than that on the clock.
CALLS = 1000
SECONDS = 300.0
# Of an answer: bytes that are read before the process is taken for broken.
MAX_REPLY = 4 * 1024 * 1024


class ChildFailed(Exception):
    """The process could not be started, or ended or talked nonsense instead of answering; it must be killed."""


class Child:
    """One process. Whoever is interrupted while it is asked must kill it."""

    def __init__(self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.calls = 0
        self.seconds = 0.0
        # What of its confinement the system refused.
        self.lacking = ""

    @classmethod
    async def start(cls, memory: int, seconds: float) -> Child:
        """A process that is ready. Raises `ChildFailed`."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = _started(memory, seconds, theirs)
        except OSError as error:
            ours.close()
            raise ChildFailed(f"it cannot be started: {error}") from error
        try:
            child = cls(process, *await asyncio.open_unix_connection(sock=ours))
        except BaseException:
            ours.close()
            process.kill()
            await asyncio.to_thread(process.wait)
            raise
        try:
            async with asyncio.timeout(START_SECONDS):
                state, child.lacking, _ = await child._answer()
            if state != "READY":
                raise ChildFailed("it is not what was meant to be started")
        except BaseException as error:
            await child.kill()
            if isinstance(error, TimeoutError):
                raise ChildFailed(f"it was not ready within {START_SECONDS:g} seconds") from None
            raise
        return child

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def worn(self) -> bool:
        """Whether it has run enough."""
        return self.calls >= CALLS or self.seconds >= SECONDS

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    async def ask(self, parts: Sequence[bytes]) -> tuple[str, str, str]:
        """The three parts of the answer to three. Raises `ChildFailed`."""
        self.calls += 1
        began = time.monotonic()
        try:
            self._writer.write(b"".join((REQUEST.pack(*map(len, parts)), *parts)))
            await self._writer.drain()
            return await self._answer()
        except ConnectionError as error:
            raise ChildFailed("it has ended") from error
        finally:
            self.seconds += time.monotonic() - began

    async def kill(self) -> None:
        """End it now and for certain; repeating it does nothing."""
        self._writer.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def _answer(self) -> tuple[str, str, str]:
        try:
            sizes = REPLY.unpack(await self._reader.readexactly(REPLY.size))
            if sum(sizes) > MAX_REPLY:
                raise ChildFailed("its answer is too long")
            first, second, third = [(await self._reader.readexactly(size)).decode() for size in sizes]
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ChildFailed("it has ended") from error
        except UnicodeDecodeError as error:
            raise ChildFailed("its answer is no text") from error
        return first, second, third


def _started(memory: int, seconds: float, connected: socket.socket) -> subprocess.Popen[bytes]:
    """A process whose input and output is the socket. It is there when this returns, so that nobody is cancelled in between."""
    script = Path(__file__).with_name("sandbox_child.py")
    # Isolated: no variables of ours, no folder of ours, no user's packages.
    command = [sys.executable, "-I", "-B", str(script), str(memory), f"{seconds:g}"]
    nothing: Mapping[str, str] = {}
    ours = connected.fileno()
    return subprocess.Popen(command, stdin=ours, stdout=ours, stderr=subprocess.DEVNULL, env=nothing, cwd="/")  # noqa: S603 - our own
