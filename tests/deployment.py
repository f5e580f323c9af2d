"""Graphook as an operator runs it: real processes against a fresh database, one deployment for all tests of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

ROOT = Path(__file__).parent.parent
SECRET_KEY = "a-key-for-tests-only-long-enough-to-be-one"
PATIENCE = 120.0


@dataclass
class Process:
    """One running command whose output is kept."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    @classmethod
    def start(cls, command: list[str], environment: Mapping[str, str], folder: Path = ROOT) -> Process:
        popen = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}, cwd=folder
        )
        process = cls(popen)
        process.reader = threading.Thread(target=process._read, daemon=True)
        process.reader.start()
        return process

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, patience: float = PATIENCE) -> str:
        """The first line that holds the text."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if text in line:
                    return line
            if self.popen.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"{text!r} was not said:\n{self.output}")

    def kill(self) -> None:
        """End it without a chance to clean up."""
        self.popen.send_signal(signal.SIGKILL)
        self._ended()

    def _ended(self) -> None:
        self.popen.wait()
        assert self.reader is not None
        self.reader.join()

    def stop(self) -> None:
        """End it as an operator would."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"it did not stop when asked to:\n{self.output}") from None
        self._ended()


@dataclass
class Deployment:
    """Where a running Graphook is, and what it works on."""

    url: str
    database_url: str
    environment: dict[str, str]
    server: Process
    workers: list[Process]

    @property
    def graphql(self) -> str:
        return f"{self.url}/graphql"


def environment_of(database_url: str, redis_url: str | None, **settings: str) -> dict[str, str]:
    """The settings that tests run with: receivers on this machine, and a schedule that does not keep anybody waiting."""
    found = {
        "GRAPHOOK_DATABASE_URL": database_url,
        "GRAPHOOK_SECRET_KEY": SECRET_KEY,
        "GRAPHOOK_PUBLIC_URL": "https://hooks.example.com/",
        "GRAPHOOK_ALLOW_SUBNETS": "127.0.0.0/8",
        "GRAPHOOK_RETRY_SCHEDULE": "0.1,0.1",
        "GRAPHOOK_RETRY_PENALTY": "0.2",
        "GRAPHOOK_REQUEST_TIMEOUT": "5",
        "GRAPHOOK_LOG_LEVEL": "info",
        "PYTHONUNBUFFERED": "1",
    }
    if redis_url is not None:
        found["GRAPHOOK_REDIS_URL"] = redis_url
    return found | settings


@contextmanager
def deployed(database_url: str, redis_url: str | None, **settings: str) -> Iterator[Deployment]:
    """Graphook on that database: one process on SQLite, an API and a worker on PostgreSQL."""
    environment = environment_of(database_url, redis_url, **settings)
    graphook = [sys.executable, "-m", "graphook.cli"]
    embedded = database_url.startswith("sqlite")
    server = Process.start([*graphook, "serve", "--port", "0", *([] if embedded else ["--no-worker"])], environment)
    workers = [] if embedded else [Process.start([*graphook, "work"], environment)]
    try:
        line = server.wait_for("GraphQL:")
        for worker in workers:
            worker.wait_for("is ready")
        yield Deployment(line.split()[1].removesuffix("/graphql"), database_url, environment, server, workers)
    finally:
        for process in (*workers, server):
            process.stop()


async def lease_ends(database_url: str) -> None:
    """As after the seconds that the leases of a process that is gone have left."""
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.execute("UPDATE delivery SET lease_until = graphook_now() WHERE state = 2") == "UPDATE 1"
    finally:
        await connection.close()
