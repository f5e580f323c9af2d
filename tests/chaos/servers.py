"""PostgreSQL and Redis of the suite's own, which can be stopped, killed and started again on the same port with the same data."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import servers

STARTS_WITHIN = 60.0


@dataclass
class Server:
    """One server that comes and goes. Durable as in production: nothing is switched off."""

    folder: Path
    port: int
    user: str
    command: list[str]
    answers: Callable[[], bool]
    guard: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        """Return once it takes connections."""
        self.launch()
        deadline = time.monotonic() + STARTS_WITHIN
        while not self.answers():
            assert self.guard is not None
            if self.guard.poll() is not None or time.monotonic() > deadline:
                raise servers.NotStarted(f"{self.command[0]} did not start: {self._said()}")
            time.sleep(0.01)

    def launch(self) -> None:
        """Start it without waiting."""
        self.starts += 1
        run = self.folder / f"run-{self.starts}"
        run.mkdir()
        guard = [sys.executable, "-I", str(Path(servers.__file__).with_name("guard.py")), self.user, str(run), *self.command]
        self.guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)

    def stop(self, with_signal: signal.Signals = signal.SIGINT) -> None:
        """Send the server a signal and return when it is gone: for PostgreSQL, SIGINT is the fast and SIGQUIT the immediate shutdown."""
        if self.guard is None or self.guard.poll() is not None:
            return
        for pid in _children(self.guard.pid):
            os.kill(pid, with_signal)
        self.guard.wait(30)
        assert self.guard.stdin is not None
        self.guard.stdin.close()

    def close(self) -> None:
        if self.guard is not None:
            assert self.guard.stdin is not None
            self.guard.stdin.close()
            self.guard.wait(30)

    def _said(self) -> str:
        log = self.folder / f"run-{self.starts}" / "log"
        return log.read_text(errors="replace")[-1000:] if log.exists() else "nothing"


def _children(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(text) for text in done.stdout.split()]


@dataclass
class PostgreSQL(Server):
    """A PostgreSQL server."""

    binaries: Path = Path()
    data: Path = Path()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def database(self, name: str, port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{name}"

    @contextmanager
    def standby(self) -> Iterator[PostgreSQL]:
        """A copy that follows this server."""
        folder = self.folder / f"standby-{servers.free_port()}"
        folder.mkdir()
        _own(folder, self.user)
        data = folder / "data"
        source = f"host=127.0.0.1 port={self.port} user=postgres application_name=standby"
        servers._run([f"{self.binaries}/pg_basebackup", "-D", str(data), "-R", "-X", "stream", "-c", "fast", "-d", source], self.user)
        made = _postgresql(folder, data, self.binaries, self.user)
        made.start()
        try:
            yield made
        finally:
            made.close()


def _postgresql(folder: Path, data: Path, binaries: Path, user: str) -> PostgreSQL:
    port = servers.free_port()
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "max_connections": "200"}
    command = [f"{binaries}/postgres", "-D", str(data), "-p", str(port), *(f"--{key}={value}" for key, value in options.items())]

    def answers() -> bool:
        status = data / "postmaster.pid"
        return status.exists() and status.read_text().splitlines()[7:8] == ["ready   "]

    return PostgreSQL(folder, port, user, command, answers, binaries=binaries, data=data)


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A fresh PostgreSQL with fsync and synchronous_commit on. Raises `servers.Missing` where there is none."""
    user = servers._unprivileged()
    with servers.throwaway_folder("graphook-chaos-postgresql-", user) as folder:
        binaries = servers._postgresql_of_the_system() or servers._postgresql_from_wheel(folder)
        data = folder / "data"
        servers._run(
            [f"{binaries}/initdb", f"--pgdata={data}", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"], user
        )
        server = _postgresql(folder, data, binaries, user)
        server.start()
        try:
            yield server
        finally:
            server.close()


@contextmanager
def redis() -> Iterator[Server]:
    """A fresh Redis that keeps nothing over a restart."""
    binary = (
        shutil.which("redis-server") or shutil.which("valkey-server") or servers.install("redis-server", "put redis-server on the PATH")
    )
    with servers.throwaway_folder("graphook-chaos-redis-", None) as folder:
        port = servers.free_port()
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        server = Server(folder, port, "", [binary, "--port", str(port), *options], lambda: b"PONG" in redis_says(port, "PING"))
        server.start()
        try:
            yield server
        finally:
            server.close()


def redis_says(port: int, command: str) -> bytes:
    """Redis's answer to an inline command; empty when it is not there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(64)
    except OSError:
        return b""


def _own(folder: Path, user: str) -> None:
    if user:
        shutil.chown(folder, user)
        folder.chmod(0o700)
