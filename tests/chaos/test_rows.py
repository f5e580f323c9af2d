"""The most telling rows in a few counts, as a part of every run on PostgreSQL; `make chaos` does them all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers as system_servers
from tests.chaos import servers, trials
from tests.chaos.field import Field
from tests.chaos.rows import ROWS, run_row
from tests.conftest import end_run

assert trials.MODULES, "imported, so that the rows are registered"


@pytest.fixture(scope="module")
def field(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    try:
        with servers.postgresql() as postgres, servers.redis() as redis:
            yield Field(tmp_path_factory.mktemp("chaos"), 0.0, postgres, redis)
    except system_servers.Missing as missing:
        end_run(request, str(missing))


# Far more than they take: leases must run out, and a busy machine is slow.
pytestmark = pytest.mark.timeout(300)


@pytest.mark.postgresql_only
@pytest.mark.parametrize("name", ["R1", "R4", "R7", "R16"])
def test_a_row_holds(field: Field, name: str) -> None:
    result = asyncio.run(run_row(ROWS[name], field))
    assert result.outcome == "passed", result.detail


@pytest.mark.sqlite_only
def test_the_embedded_row_holds(tmp_path: Path) -> None:
    result = asyncio.run(run_row(ROWS["R13"], Field(tmp_path, 0.0)))
    assert result.outcome == "passed", result.detail


@pytest.mark.sqlite_only
def test_a_row_that_lacks_its_servers_is_not_run_and_never_passed(tmp_path: Path) -> None:
    result = asyncio.run(run_row(ROWS["R1"], Field(tmp_path, 0.0)))
    assert (result.outcome, result.detail) == ("not run", "PostgreSQL or Redis is missing")
