"""Graphook as the suite runs it: several API and worker processes that are killed, stopped and started again, one by one."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.client import http_client
from tests.deployment import Process, environment_of
from tests.servers import free_port

WORKER = "tests.chaos.launcher"
# Long, because a machine under test is a busy one.
STARTS_WITHIN = 120.0


def family(pid: int) -> list[int]:
    """The process and everything it has started."""
    done = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    children: dict[int, list[int]] = {}
    for line in done.stdout.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


@dataclass
class Member:
    """One API or worker process, which comes back on the same port."""

    command: list[str]
    environment: dict[str, str]
    says: str
    url: str = ""
    process: Process | None = None

    async def start(self, **more: str) -> None:
        """Return once it serves."""
        await self.launch(**more)
        assert self.process is not None
        await asyncio.to_thread(self.process.wait_for, self.says, STARTS_WITHIN)

    async def launch(self, **more: str) -> None:
        """Start it without waiting."""
        self.process = await asyncio.to_thread(Process.start, self.command, self.environment | more)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.popen.poll() is None

    async def kill(self) -> None:
        """End it and its children without a chance to clean up."""
        await asyncio.to_thread(self._signal, signal.SIGKILL)
        if self.process is not None:
            await asyncio.to_thread(self.process._ended)

    async def freeze(self) -> None:
        await asyncio.to_thread(self._signal, signal.SIGSTOP)

    async def thaw(self) -> None:
        await asyncio.to_thread(self._signal, signal.SIGCONT)

    async def stop(self) -> None:
        """As an operator would."""
        if self.process is not None:
            await asyncio.to_thread(self.process.stop)

    @property
    def engine(self) -> str:
        """The name of the worker's engine, as its leases have it."""
        assert self.process is not None
        found = re.findall(r"delivery engine (\S+) is ready", self.process.output)
        return str(found[-1])

    def memory(self) -> int:
        """Bytes of memory that the process and its children have."""
        assert self.process is not None
        total = 0
        for pid in family(self.process.popen.pid):
            with suppress(FileNotFoundError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total

    def _signal(self, what: signal.Signals) -> None:
        if self.process is None or self.process.popen.poll() is not None:
            return
        for pid in family(self.process.popen.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, what)


@dataclass
class System:
    """A deployment under test."""

    database_url: str
    environment: dict[str, str]
    apis: list[Member] = field(default_factory=list)
    workers: list[Member] = field(default_factory=list)

    @property
    def embedded(self) -> bool:
        return self.database_url.startswith("sqlite")

    def add_api(self, **more: str) -> Member:
        port = free_port()
        plain = [sys.executable, "-m", "tests.chaos.launcher", "serve", "--port", str(port)]
        command = plain if self.embedded else [*plain, "--no-worker"]
        member = Member(command, self.environment | more, "GraphQL:", f"http://127.0.0.1:{port}/graphql")
        self.apis.append(member)
        return member

    def add_worker(self, **more: str) -> Member:
        command = [sys.executable, "-m", "dramatiq", WORKER, "--processes", "1", "--threads", "2"]
        member = Member(command, self.environment | more | {"dramatiq_worker_timeout": "200"}, "is ready")
        self.workers.append(member)
        return member

    async def close(self) -> None:
        """Leave no process behind, whatever state it is in."""
        for member in (*self.workers, *self.apis):
            await member.thaw()
            await member.kill()

    def faults_of_ours(self) -> list[str]:
        """Log lines that say something unforeseen happened."""
        lines = [line for member in (*self.apis, *self.workers) if member.process for line in member.process.lines]
        return [line for line in lines if "Traceback" in line or "Internal server error" in line]


@asynccontextmanager
async def running(
    database_url: str, redis_url: str | None, *, apis: int = 1, workers: int = 1, each: dict[str, str] | None = None, **settings: str
) -> AsyncIterator[System]:
    """A deployment; `each` is further environment of every worker, `settings` of every process."""
    environment = environment_of(database_url, redis_url, **{"GRAPHOOK_REQUEST_TIMEOUT": "2", **settings})
    system = System(database_url, environment)
    try:
        for _ in range(apis):
            system.add_api(**(each or {} if system.embedded else {}))
        for _ in range(0 if system.embedded else workers):
            system.add_worker(**(each or {}))
        await asyncio.gather(*(member.start() for member in (*system.apis, *system.workers)))
        yield system
    finally:
        await system.close()


async def ready(url: str) -> bool:
    """Whether an API says that it can serve."""
    with suppress(httpx.HTTPError):
        async with http_client(timeout=5) as client:
            return (await client.get(url.replace("/graphql", "/readyz"))).status_code == 200
    return False
