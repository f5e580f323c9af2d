"""The back end of a run, the deployment on it, and what tests need to act as an organisation and as a receiver."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from graphook import database, secrets
from graphook.secrets import KeyRing
from models.migrate import migrate
from models.organisation import Organisation
from models.token import Token
from tests import servers
from tests.deployment import SECRET_KEY, Deployment, deployed
from tests.receiver import Receiver
from tests.tenant import Tenant


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=["sqlite", "postgresql"], default="sqlite", help="the database to run on")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the other back end has: deselected, not skipped, so that a skip always means something."""
    other = "postgresql_only" if config.getoption("--backend") == "sqlite" else "sqlite_only"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@dataclass
class Backend:
    """A database server of the run, with a migrated template to copy databases from."""

    name: str
    folder: Path
    admin_url: str | None
    redis_url: str | None
    _numbers: Iterator[int]

    async def fresh_database(self) -> str:
        """The URL of a new, migrated, empty database."""
        number = next(self._numbers)
        if self.admin_url is None:
            path = self.folder / f"test{number}.sqlite3"
            shutil.copy(self.folder / "template.sqlite3", path)
            return f"sqlite://{path}"
        name = f"graphook_test_{number}"
        await self.admin(f"CREATE DATABASE {name} TEMPLATE graphook_template")
        return self.admin_url.rpartition("/")[0] + f"/{name}"

    async def admin(self, sql: str) -> None:
        """Run a statement as the administrator of the database server."""
        assert self.admin_url is not None
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("databases")
    with ExitStack() as stack:
        if request.config.getoption("--backend") == "sqlite":
            asyncio.run(migrate(f"sqlite://{folder}/template.sqlite3"))
            yield Backend("sqlite", folder, None, None, itertools.count())
            return
        admin_url = stack.enter_context(servers.postgresql())
        redis_url = stack.enter_context(servers.redis())
        found = Backend("postgresql", folder, admin_url, redis_url, itertools.count())
        asyncio.run(found.admin("DROP DATABASE IF EXISTS graphook_template"))
        asyncio.run(found.admin("CREATE DATABASE graphook_template"))
        asyncio.run(migrate(admin_url.rpartition("/")[0] + "/graphook_template"))
        yield found


@pytest.fixture(scope="session")
def deployment(backend: Backend) -> Iterator[Deployment]:
    """Graphook as an operator runs it, shared by the stories; each story has an organisation of its own."""
    with deployed(asyncio.run(backend.fresh_database()), backend.redis_url) as running:
        yield running


@pytest.fixture
async def db(backend: Backend) -> AsyncIterator[str]:
    """A fresh database that the test itself is connected to."""
    url = await backend.fresh_database()
    secrets.install(KeyRing([SECRET_KEY]))
    await database.connect(url)
    yield url
    await database.disconnect()


async def mint(deployment: Deployment, **options: Any) -> str:
    """A token of a new organisation, or of the one named by `org_id`."""
    await database.connect(deployment.database_url)
    try:
        org_id = options.pop("org_id", None) or (await Organisation.found("a test")).id
        _, plain = await Token.mint(options.pop("kind", "org"), org_id=org_id, name="a test", **options)
    finally:
        await database.disconnect()
    return plain


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


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A customer's server."""
    async with Receiver() as listening:
        yield listening
