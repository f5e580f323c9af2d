"""The back end of a run, the deployment on it, and what tests need to act as an organisation and as a receiver."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, NoReturn
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from graphook import database, secrets
from graphook.secrets import KeyRing
from models.application import Application
from models.migrate import migrate
from models.organisation import Organisation
from models.token import Token
from tests import servers
from tests.arguments import of_every_operation
from tests.deployment import SECRET_KEY, Deployment, deployed
from tests.llm_server import LLMServer
from tests.receiver import Receiver
from tests.reuse import Reused
from tests.tenant import Tenant

# Every run tries the same examples; `--hypothesis-profile default` looks for new ones. How long one takes says what else the machine has to do.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")


def pytest_configure() -> None:
    # Asked to stop, a run puts its servers and its deployment away as it does at Control-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=["sqlite", "postgresql"], default="sqlite", help="the database to run on")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the other back end has: deselected, not skipped, so that a skip always means something."""
    other = "postgresql_only" if config.getoption("--backend") == "sqlite" else "sqlite_only"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Take what is loaded by now out of the garbage collector's sight, as the service does: there are tests that ask for everything it sees."""
    gc.collect()
    gc.freeze()


def end_run(request: pytest.FixtureRequest, message: str) -> NoReturn:
    """End the run with one line, whichever of its processes this is."""
    if hasattr(request.config, "workerinput"):
        request.session.shouldstop = message
        pytest.fail(message, pytrace=False)
    pytest.exit(message, returncode=1)


@dataclass(frozen=True)
class Backend:
    """Where a run gets its databases from: copies of a migrated template, and numbered databases of one Redis."""

    name: str
    folder: Path
    admin_url: str | None = None
    redis_url: str | None = None
    # Two runs on one given server keep out of each other's way.
    run: str = field(default_factory=lambda: f"graphook_test_{token_hex(4)}")
    made: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    reused: list[Reused] = field(default_factory=list)

    async def make_template(self) -> None:
        """Migrate the database that every other one is copied from."""
        if self.admin_url is not None:
            await self.admin(f"CREATE DATABASE {self.run}_template")
        await migrate(self._url("template"))

    async def fresh_database(self) -> str:
        """The URL of a new, migrated, empty database."""
        name = str(next(self.numbers))
        if self.admin_url is None:
            shutil.copy(self._file("template"), self._file(name))
        else:
            await self.admin(f"CREATE DATABASE {self.run}_{name} TEMPLATE {self.run}_template STRATEGY FILE_COPY")
        self.made.add(self._url(name))
        return self._url(name)

    async def empty_database(self) -> str:
        """The URL of a new database without tables."""
        name = str(next(self.numbers))
        if self.admin_url is not None:
            await self.admin(f"CREATE DATABASE {self.run}_{name}")
        self.made.add(self._url(name))
        return self._url(name)

    @asynccontextmanager
    async def lent_database(self) -> AsyncIterator[str]:
        """The URL of a migrated, empty database for the time of one test, which on PostgreSQL others had before."""
        if self.admin_url is None:
            url = await self.fresh_database()
            yield url
            await self.drop(url)
            return
        lent = self.reused.pop() if self.reused else await Reused.of(await self.fresh_database())
        yield lent.url
        if await lent.emptied():
            self.reused.append(lent)
        else:
            await self.drop(lent.url)

    async def drop(self, url: str) -> None:
        """Forget a database of `fresh_database`, whoever is still connected to it."""
        self.made.discard(url)
        if self.admin_url is None:
            for path in self.folder.glob(f"{Path(url.removeprefix('sqlite://')).name}*"):
                path.unlink()
        else:
            await self.admin(f"DROP DATABASE {urlsplit(url).path.lstrip('/')} WITH (FORCE)")

    async def close(self) -> None:
        """Leave nothing behind on a server that was given to us."""
        for url in sorted(self.made):
            await self.drop(url)
        if self.admin_url is not None:
            await self.admin(f"DROP DATABASE {self.run}_template")

    def fresh_redis(self) -> str | None:
        """The URL of an empty Redis database, of its own where the server is ours; None on the back end without Redis."""
        if self.redis_url is None or "GRAPHOOK_TEST_REDIS_URL" in os.environ:
            return self.redis_url
        return urlsplit(self.redis_url)._replace(path=f"/{next(self.numbers)}").geturl()

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.sqlite3"

    def _url(self, name: str) -> str:
        if self.admin_url is None:
            return f"sqlite://{self._file(name)}"
        return urlsplit(self.admin_url)._replace(path=f"/{self.run}_{name}").geturl()

    async def admin(self, sql: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The back end that `--backend` names; the run ends with one line where its servers cannot be had."""
    folder = tmp_path_factory.mktemp("databases")
    with ExitStack() as stack:
        if request.config.getoption("--backend") == "sqlite":
            found = Backend("sqlite", folder)
        else:
            try:
                found = Backend("postgresql", folder, stack.enter_context(servers.postgresql()), stack.enter_context(servers.redis()))
            except (servers.Missing, servers.NotStarted) as error:
                end_run(request, str(error))
        asyncio.run(found.make_template())
        yield found
        asyncio.run(found.close())


@pytest.fixture(scope="session")
def deployment(backend: Backend) -> Iterator[Deployment]:
    """Graphook as an operator runs it, shared by the stories; each story has an organisation of its own."""
    with deployed(asyncio.run(backend.fresh_database()), backend.fresh_redis()) as running:
        yield running


@pytest.fixture
async def db(backend: Backend) -> AsyncIterator[str]:
    """A fresh database that the test itself is connected to."""
    secrets.install(KeyRing([SECRET_KEY]))
    async with backend.lent_database() as url, database.connected(url):
        yield url


async def mint(deployment: Deployment, **options: Any) -> str:
    """A token of a new organisation, or of the one named by `org_id`."""
    async with database.connected(deployment.database_url):
        org_id = options.pop("org_id", None) or (await Organisation.found("a test")).id
        _, plain = await Token.mint(options.pop("kind", "org"), org_id=org_id, name="a test", **options)
    return plain


async def organisation_of(deployment: Deployment, app: dict[str, str]) -> str:
    """The organisation that an application belongs to."""
    async with database.connected(deployment.database_url):
        return str((await Application.get(id=app["id"])).org_id)


@pytest.fixture
async def acme(deployment: Deployment) -> AsyncIterator[Tenant]:
    """An organisation with a token that may do everything."""
    async with Tenant(deployment.graphql, await mint(deployment)) as tenant:
        yield tenant


@pytest.fixture
async def rival(deployment: Deployment) -> AsyncIterator[Tenant]:
    """Another organisation on the same service."""
    async with Tenant(deployment.graphql, await mint(deployment)) as tenant:
        yield tenant


@dataclass(frozen=True)
class Furnished:
    """An organisation that has something of everything, and for every operation the arguments about it."""

    token: str
    org_id: str
    arguments: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def furnished(deployment: Deployment) -> Furnished:
    """An organisation for the tests of a file that change nothing there, since nothing they send may."""

    async def made() -> Furnished:
        token = await mint(deployment)
        async with Tenant(deployment.graphql, token) as tenant:
            arguments = await of_every_operation(tenant)
        return Furnished(token, await organisation_of(deployment, arguments["Application"]), arguments)

    return asyncio.run(made())


@pytest.fixture
def llm() -> Iterator[LLMServer]:
    """A model's server."""
    with LLMServer() as server:
        yield server


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A customer's server."""
    async with Receiver() as listening:
        yield listening
