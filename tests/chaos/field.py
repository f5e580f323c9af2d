"""Where rows are tried: servers that may be taken away, a deployment per trial, and ledgers on both sides of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from graphook import database, secrets
from graphook.secrets import KeyRing
from models.migrate import migrate
from models.organisation import Organisation
from models.token import Token
from tests.chaos.compare import Comparison, compare, rows
from tests.chaos.ledger import Ledger
from tests.chaos.publisher import Publisher
from tests.chaos.receiver import Answer, LedgerReceiver, Plan
from tests.chaos.servers import PostgreSQL, Server
from tests.chaos.system import System, running
from tests.deployment import SECRET_KEY
from tests.tenant import Tenant
from tests.waiting import until

SECRET = "whsec_" + "Y2hhb3MtaXMtd2hhdC13ZS1tYWtlLWhlcmU="
TEMPLATE = "graphook_template"


class NotRun(Exception):
    """The machine lacks what a row needs; the message says what."""


@dataclass
class Trial:
    """One deployment with one application, its publisher and its receiver."""

    system: System
    publisher: Publisher
    receiver: LedgerReceiver
    tenant: Tenant
    app: dict[str, Any]
    endpoints: dict[str, str]

    @property
    def database_url(self) -> str:
        return self.system.database_url

    async def sql(self, query: str) -> list[tuple[Any, ...]]:
        return await rows(self.database_url, query)

    async def number(self, query: str) -> int:
        return int((await self.sql(query))[0][0])

    async def taken(self, part: float, patience: float = 120.0) -> None:
        """Return once the receiver has seen that part of what was acknowledged."""
        wanted = part * len(self.publisher.acknowledged) * len(self.publisher.endpoints)
        await until(lambda: len(self.receiver.first_seen) >= wanted, lambda: f"{wanted:.0f} deliveries", patience=patience)

    async def quiet(self, patience: float = 180.0) -> None:
        """Return once the database has nothing left to send."""
        left = "SELECT (SELECT count(*) FROM delivery WHERE state <= 2) + (SELECT count(*) FROM fanout)"
        deadline = time.monotonic() + patience
        while (count := await self.number(left)) > 0:
            assert time.monotonic() < deadline, f"{count} deliveries were not finished after {patience:g} s"
            await asyncio.sleep(0.2)

    async def settled(self, patience: float = 180.0) -> Comparison:
        """What the ledgers say, once there is nothing left to send."""
        await self.quiet(patience)
        return await compare(self.publisher.ledger, self.receiver.ledger, self.database_url, {v: k for k, v in self.endpoints.items()})

    def delays(self, name: str | None = None) -> list[float]:
        """Seconds from the beginning of a create to the first request at the receiver, for one endpoint or all."""
        seen = self.receiver.first_seen
        return [at - self.publisher.begun[m] for (m, n), at in seen.items() if m in self.publisher.begun and name in (None, n)]


@dataclass
class Field:
    """The servers of a run and how much of the full counts it does."""

    folder: Path
    scale: float
    postgres: PostgreSQL | None = None
    redis: Server | None = None
    tell: Callable[[str], None] = lambda text: None
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _has_template: bool = False

    def count(self, full: int, least: int) -> int:
        """A count of the scorecard, scaled; half of the least in the short form, whose scale is 0."""
        return max(least, round(full * self.scale)) if self.scale else max(1, least // 2)

    def within(self, seconds: float) -> float:
        """A limit of time: as it is said, and five times as much in the short form, which other tests run beside."""
        return seconds if self.scale else 5 * seconds

    @property
    def redis_url(self) -> str:
        assert self.redis is not None
        return f"redis://127.0.0.1:{self.redis.port}/0"

    async def fresh_database(self, embedded: bool) -> str:
        """The URL of a migrated, empty database."""
        name = f"graphook_{next(self._numbers)}"
        if embedded:
            url = f"sqlite://{self.folder / name}.sqlite3"
            await migrate(url)
            return url
        assert self.postgres is not None
        if not self._has_template:
            await self._admin(f"CREATE DATABASE {TEMPLATE}")
            await migrate(self.postgres.database(TEMPLATE))
            self._has_template = True
        await self._admin(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return self.postgres.database(name)

    async def _admin(self, sql: str) -> None:
        assert self.postgres is not None
        connection = await asyncpg.connect(self.postgres.url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    @asynccontextmanager
    async def trial(
        self,
        *,
        endpoints: int | Mapping[str, Mapping[str, Any]] = 2,
        plan: Plan = lambda name, message, earlier: Answer(),
        host: str = "127.0.0.1",
        embedded: bool = False,
        with_redis: bool = True,
        redis_port: int | None = None,
        database_port: int | None = None,
        worker_database_port: int | None = None,
        apis: int = 1,
        workers: int = 1,
        each: dict[str, str] | None = None,
        **settings: str,
    ) -> AsyncIterator[Trial]:
        """A deployment and its customers. Ports lead it through a proxy; `each` is more environment for every worker, `host` is in the
        endpoints' URLs.

        `endpoints` are named e0, e1 …, or given by name with what their creation has beside the usual.
        """
        url = await self.fresh_database(embedded)
        name = url.rpartition("/")[2]
        redis_url = None
        if with_redis and not embedded:
            redis_url = f"redis://127.0.0.1:{redis_port}/0" if redis_port else self.redis_url
        through = url
        more = dict(each or {})
        if self.postgres is not None and not embedded:
            through = self.postgres.database(name, database_port)
            if worker_database_port:
                more["GRAPHOOK_DATABASE_URL"] = self.postgres.database(name, worker_database_port)
        async with AsyncExitStack() as stack:
            folder = self.folder / f"ledgers-{next(self._numbers)}"
            folder.mkdir()
            received, published = Ledger(folder / "received"), Ledger(folder / "published")
            stack.callback(received.close)
            stack.callback(published.close)
            receiver = await stack.enter_async_context(LedgerReceiver(received, plan, host=host))
            system = await stack.enter_async_context(running(through, redis_url, apis=apis, workers=workers, each=more, **settings))
            token = await mint(url)
            tenant = await stack.enter_async_context(Tenant(system.apis[0].url, token))
            app = await tenant.application()
            named = {f"e{n}": {} for n in range(endpoints)} if isinstance(endpoints, int) else endpoints
            ids = {}
            for endpoint, values in named.items():
                receiver.secrets[endpoint] = SECRET
                ids[endpoint] = (await tenant.endpoint(app, **{"url": receiver.url(endpoint), "secret": SECRET, **values}))["id"]
            publisher = Publisher(published, [api.url for api in system.apis], token, app["id"], list(named))
            system.database_url = url
            yield Trial(system, publisher, receiver, tenant, app, ids)


async def mint(url: str) -> str:
    """A token of a new organisation."""
    secrets.install(KeyRing([SECRET_KEY]))
    async with database.connected(url):
        _, plain = await Token.mint(kind="org", org_id=(await Organisation.found("chaos")).id, name="chaos")
        return plain
