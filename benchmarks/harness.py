"""What the figures share: servers, deployments as an operator runs them, CPU by process, and runs that alternate with those of a limit."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import httpx
import orjson
from redis.asyncio import Redis

from benchmarks import cpu
from benchmarks.receivers import fast_receiver
from tests import servers
from tests.deployment import ROOT, Process, environment_of
from tests.tenant import Tenant

T = TypeVar("T")

# Durable, as in production; sizes as the operator's guide recommends for a small machine.
POSTGRESQL = {
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # Tells when an attempt was committed, for the figure that begins there.
    "track_commit_timestamp": "on",
}
PATIENCE = 600.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `must` and `reach` judge the ratio (at least) or the value (at most), as `judged` says.

    `limit` is in the unit of the value. `ratio` is the share of the limit that is reached: 1 at the limit, less below.
    """

    figure: str
    value: float
    unit: str
    limit: float
    ratio: float
    must: float
    reach: float
    judged: str
    details: dict[str, Any]

    @property
    def score(self) -> float:
        """How far beyond (above 1) or short of (below 1) what it must be."""
        return self.ratio / self.must if self.judged == "ratio" else self.must / self.value if self.value else float("inf")

    @property
    def reach_score(self) -> float:
        """The score at what it reaches for."""
        return self.reach / self.must if self.judged == "ratio" else self.must / self.reach

    @property
    def met(self) -> bool:
        """Whether it is what it must be."""
        return self.score >= 1


def at_least(figure: str, values: Sequence[float], unit: str, limits: Sequence[float], must: float, reach: float, **details: Any) -> Figure:
    """A figure of which more is better, judged by its ratio to the limit: medians of the runs of both."""
    value, limit = statistics.median(values), statistics.median(limits)
    details |= {"runs": list(values), "limit_runs": list(limits)}
    return Figure(figure, value, unit, limit, value / limit, must, reach, "ratio", details)


def at_most(figure: str, values: Sequence[float], unit: str, limits: Sequence[float], must: float, reach: float, **details: Any) -> Figure:
    """A figure of which less is better, judged by its value: medians of the runs of it and of the limit."""
    value, limit = statistics.median(values), statistics.median(limits)
    details |= {"runs": list(values), "limit_runs": list(limits)}
    return Figure(figure, value, unit, limit, limit / value if value else 1.0, must, reach, "value", details)


async def alternate(
    rounds: int, figure: Callable[[], Awaitable[T]], limit: Callable[[], Awaitable[T]], *, warm_up: bool = True
) -> tuple[list[T], list[T]]:
    """Run figure and limit in turn, so that what disturbs the machine disturbs both; the first of each is thrown away."""
    values, limits = [], []
    for number in range(rounds + warm_up):
        value, bound = await figure(), await limit()
        if number >= warm_up:
            values.append(value)
            limits.append(bound)
    return values, limits


@dataclass
class Graphook:
    """A running deployment with one organisation."""

    port: int
    token: str
    database_url: str
    environment: dict[str, str]
    roots: dict[str, int]
    tenant: Tenant
    org_id: str
    processes: list[Process] = field(default_factory=list)
    _connection: asyncpg.Connection | None = None

    def start_worker(self) -> Process:
        """A worker more, which is ready."""
        worker = Process.start([sys.executable, "-m", "graphook.cli", "work"], self.environment)
        self.processes.append(worker)
        self.roots["worker"] = worker.popen.pid
        worker.wait_for("is ready")
        return worker

    async def applications(self, count: int, url: str | None) -> list[Any]:
        """So many applications, each with one endpoint at the URL if one is given."""
        apps = [await self.tenant.application() for _ in range(count)]
        if url is not None:
            for app in apps:
                app["endpoint"] = await self.tenant.endpoint(app, url)
        return apps

    async def ask(self, sql: str, *args: Any) -> list[Any]:
        """Rows straight from the database."""
        if self.database_url.startswith("sqlite"):
            connection = sqlite3.connect(f"file:{self.database_url.removeprefix('sqlite://')}?mode=ro", uri=True, timeout=30)
            try:
                return connection.execute(sql, args).fetchall()
            finally:
                connection.close()
        if self._connection is None:
            # The same for every question, and never a scan of a growing table: watching must not cost what is watched.
            self._connection = await asyncpg.connect(self.database_url, server_settings={"enable_seqscan": "off"})
        return list(await self._connection.fetch(sql, *args))

    async def close(self) -> None:
        """Let go of the database and of the API."""
        await self.tenant.__aexit__()
        if self._connection is not None:
            await self._connection.close()

    async def delivered(self, attempts: int) -> None:
        """Return once so many attempts are recorded in all, every one a success. Raises when something else happened."""
        deadline = time.monotonic() + PATIENCE
        while (await self.ask(_OPEN))[0][0]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the deliveries were not done after {PATIENCE:g} s: {self.said()}")
            await asyncio.sleep(0.25)
        found = {row[0]: row[1] for row in await self.ask("SELECT status, count(*) FROM attempt GROUP BY status ORDER BY status")}
        if found != {0: attempts}:
            raise RuntimeError(f"expected {attempts} successful attempts, found {found} (status: count): {self.said()}")

    def said(self) -> str:
        """The last of what the processes said."""
        return "\n".join(line for process in self.processes for line in process.lines[-10:])


_OPEN = """
    SELECT EXISTS (SELECT 1 FROM delivery WHERE state = 0) OR EXISTS (SELECT 1 FROM delivery WHERE state = 1)
           OR EXISTS (SELECT 1 FROM delivery WHERE state = 2) OR EXISTS (SELECT 1 FROM fanout)"""


@dataclass
class Bench:
    """One run of the benchmarks: its servers and how much is asked of it. `quick` is for seeing that it works, not for numbers."""

    postgresql: str
    redis: str
    receiver: str
    receiver_port: int
    folder: Path
    roots: dict[str, int]
    quick: bool = False
    rounds: int = 3
    rows: int = 10_000_000
    _made: int = 0

    @property
    def hook(self) -> str:
        """Where deliveries go."""
        return f"http://127.0.0.1:{self.receiver_port}/hook"

    def scaled(self, full: int, quick: int) -> int:
        """How many, in a full and in a quick run."""
        return quick if self.quick else full

    @asynccontextmanager
    async def graphook(self, *, worker: bool = True, embedded: bool = False, **settings: str) -> AsyncIterator[Graphook]:
        """A deployment on a fresh database: an API and a worker on PostgreSQL and Redis, or one process on SQLite."""
        self._made += 1
        number = self._made
        if embedded:
            database_url, redis_url = f"sqlite://{self.folder}/{number}.sqlite3", None
        else:
            await administer(self.postgresql, f"CREATE DATABASE bench_{number}")
            database_url = urlsplit(self.postgresql)._replace(path=f"/bench_{number}").geturl()
            redis_url = urlsplit(self.redis)._replace(path=f"/{number}").geturl()
        # The defaults of the service, where the tests have others.
        usual = {"GRAPHOOK_RETRY_SCHEDULE": "5,300", "GRAPHOOK_RETRY_PENALTY": "60", "GRAPHOOK_REQUEST_TIMEOUT": "15"}
        environment = environment_of(database_url, redis_url, **usual, **settings)
        graphook = [sys.executable, "-m", "graphook.cli"]
        run_program([*graphook, "migrate"], environment)
        token = run_program([*graphook, "token", "create", "--name", "bench"], environment).split("token: ")[1].split()[0]
        server = Process.start([*graphook, "serve", "--port", "0", *([] if embedded else ["--no-worker"])], environment)
        roots = {"api": server.popen.pid} | ({} if embedded else self.roots)
        found = Graphook(0, token, database_url, environment, roots, Tenant("", token), "", [server])
        try:
            url = server.wait_for("GraphQL:").split()[1]
            found.port, found.tenant.url = int(urlsplit(url).port or 0), url
            found.org_id = (await found.ask("SELECT org_id FROM token"))[0][0]
            if worker and not embedded:
                found.start_worker()
            yield found
        finally:
            await found.close()
            for process in reversed(found.processes):
                process.stop()
            if not embedded:
                await administer(self.postgresql, f"DROP DATABASE bench_{number} WITH (FORCE)")

    @contextmanager
    def bare(self, database_url: str = "", hook: str = "") -> Iterator[tuple[int, int]]:
        """The port and the process of the limits' plain application."""
        port = servers.free_port()
        environment = {"BENCH_DATABASE_URL": database_url, "BENCH_HOOK": hook}
        options = ["--no-access-log", "--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio", "--port", str(port)]
        process = Process.start([sys.executable, "-m", "uvicorn", "benchmarks.bare:app", *options], environment)
        try:
            process.wait_for("running on")
            yield port, process.popen.pid
        finally:
            process.stop()


def bare_program(*arguments: str) -> dict[str, float]:
    """Run one of the limits as a program of its own; answers with its seconds and CPU seconds."""
    found: dict[str, float] = orjson.loads(run_program([sys.executable, "-m", "benchmarks.bare", *arguments], {}))
    return found


def run_program(command: list[str], environment: dict[str, str]) -> str:
    """What a command prints. Raises when it fails."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")
    return done.stdout


async def administer(url: str, sql: str) -> None:
    """Run a statement on a server's own database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def http_get(port: int, path: str) -> bytes:
    """The body of the answer to one GET."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"http://127.0.0.1:{port}{path}")).raise_for_status().content


@asynccontextmanager
async def running(folder: Path, *, quick: bool = False, rounds: int = 3, rows: int = 10_000_000) -> AsyncIterator[Bench]:
    """A bench with PostgreSQL, Redis and a receiver of its own; all of it goes at the end."""
    with ExitStack() as stack:
        postgresql = stack.enter_context(servers.postgresql(durable=True, **POSTGRESQL))
        redis = stack.enter_context(servers.redis())
        receiver, port = stack.enter_context(fast_receiver())
        bench = Bench(postgresql, redis, receiver, port, folder, {}, quick=quick, rounds=rounds, rows=rows)
        bench.roots |= await _roots(postgresql, redis)
        yield bench


async def _roots(postgresql: str, redis: str) -> dict[str, int]:
    """The servers' own processes, as they say themselves."""
    connection = await asyncpg.connect(postgresql)
    try:
        server = cpu.parent(await connection.fetchval("SELECT pg_backend_pid()"))
    finally:
        await connection.close()
    async with Redis.from_url(redis) as client:
        return {"postgresql": server, "redis": int((await client.info("server"))["process_id"])}
