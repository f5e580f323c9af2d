"""Every finding of the doctor, seen in a healthy installation and in a sick one."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from graphook import database
from graphook import postgresql_checks as checks
from graphook.clock import now
from graphook.doctor import findings, redis_findings, room_finding
from graphook.findings import Finding
from graphook.sandbox_checks import sandbox_finding
from graphook.settings import Settings
from models import partitions
from models.partitions import Partition, week_of
from models.schema_checks import migration_finding, partition_findings, schema_findings
from tests.conftest import Backend
from tests.deployment import SECRET_KEY
from tests.models import make

HEALTHY = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


def states(found: Iterable[Finding]) -> list[str]:
    return [finding.state for finding in found]


async def diagnose(**settings: object) -> dict[str, Finding]:
    """What is found, by what it says."""
    return {finding.what: finding async for finding in findings(Settings.load(secret_key=(SECRET_KEY,), **settings), schema_findings)}


def unhealthy(found: dict[str, Finding]) -> list[str]:
    # Whether names resolve is the machine's affair.
    return [what for what, finding in found.items() if finding.state != "ok" and "names do not resolve" not in what]


async def test_a_fresh_installation_is_healthy(db: str, backend: Backend) -> None:
    found = await diagnose(database_url=db, redis_url=backend.redis_url)

    # The test server is not durable, and says so; what a system allows of the sandbox's walls differs.
    assert {what.split(" ")[0] for what in unhealthy(found)} <= {"fsync", "full_page_writes", "transformations"}
    assert "fail" not in states(finding for what, finding in found.items() if what.startswith("transformations"))
    assert "the schema is the newest" in found


@pytest.mark.parametrize("name", HEALTHY)
def test_each_durability_setting_that_is_off_fails(name: str) -> None:
    assert states(checks.durability_findings(HEALTHY)) == ["ok", "ok", "ok"]
    (failed,) = [finding for finding in checks.durability_findings({**HEALTHY, name: "off"}) if finding.state != "ok"]
    assert failed.state == "fail"
    assert failed.what.startswith(f"{name} is off: ")
    assert f"Set {name} = on" in failed.advice


@pytest.mark.postgresql_only
async def test_commits_that_do_not_wait_for_the_disk_are_found_in_a_real_database(db: str, backend: Backend) -> None:
    name = db.rpartition("/")[2]
    assert "synchronous_commit is on" in await diagnose(database_url=db)

    await backend.admin(f"ALTER DATABASE {name} SET synchronous_commit = off")

    found = await diagnose(database_url=db)
    assert any(what.startswith("synchronous_commit is off") and finding.state == "fail" for what, finding in found.items())


@pytest.mark.postgresql_only
async def test_a_database_that_cannot_be_written_is_found(db: str, backend: Backend) -> None:
    assert "the database can be written" in await diagnose(database_url=db)

    await backend.admin(f"ALTER DATABASE {db.rpartition('/')[2]} SET default_transaction_read_only = on")

    assert (await diagnose(database_url=db))["the database is read-only: nothing can be accepted or recorded"].state == "fail"
    found = await diagnose(database_url=f"{db}?target_session_attrs=standby")
    assert any(what.startswith("PostgreSQL cannot be reached: None of the hosts match") for what in found)
    (standby, *_) = checks.database_findings(role="r", standby=True, read_only=True, encoding="UTF8", makes_tables=True)
    assert (standby.state, standby.what) == ("fail", "the server is a standby, which cannot be written")


@pytest.mark.postgresql_only
async def test_a_database_that_does_not_hold_every_text_is_found(db: str, backend: Backend) -> None:
    assert "the database's encoding is UTF8" in await diagnose(database_url=db)
    name = f"{backend.run}_latin1"
    await backend.admin(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc")
    url = f"{db.rpartition('/')[0]}/{name}"
    try:
        found = await diagnose(database_url=url)
    finally:
        await backend.drop(url)
    assert found["the database's encoding is LATIN1: only with UTF8 is every text kept as it is"].state == "fail"


@pytest.mark.postgresql_only
async def test_a_role_that_may_not_make_partitions_is_found(db: str, backend: Backend) -> None:
    said = "the role pg_monitor may not make tables, or does not own those that are there"
    assert said not in await diagnose(database_url=db)
    url = f"{db}?options=-c%20role%3Dpg_monitor"
    assert (await diagnose(database_url=url))[said].state == "fail"

    # To make tables is not enough: a partition is made by the owner of the whole.
    connection = await asyncpg.connect(db)
    try:
        await connection.execute("GRANT CREATE ON SCHEMA public TO pg_monitor")
    finally:
        await connection.close()
    assert (await diagnose(database_url=url))[said].state == "fail"
    empty = await backend.empty_database()
    assert "the role pg_database_owner may make tables" in await diagnose(database_url=f"{empty}?options=-c%20role%3Dpg_database_owner")


@pytest.mark.postgresql_only
async def test_the_version_of_the_server_is_told_as_the_server_tells_it(db: str) -> None:
    connection = await asyncpg.connect(db)
    try:
        version = await connection.fetchval("SELECT split_part(current_setting('server_version'), ' ', 1)")
    finally:
        await connection.close()
    assert f"PostgreSQL {version}" in await diagnose(database_url=db)


@pytest.mark.parametrize(("seconds", "state"), [(0.1, "ok"), (-1.9, "ok"), (2.1, "warn"), (-2.1, "warn"), (31.0, "fail"), (-31.0, "fail")])
def test_clocks_that_differ_are_found(seconds: float, state: str) -> None:
    assert checks.skew_finding(seconds).state == state


@pytest.mark.parametrize(("available", "state"), [(97, "ok"), (24, "ok"), (23, "warn"), (12, "warn"), (11, "fail")])
def test_a_pool_that_does_not_fit_the_server_is_found(available: int, state: str) -> None:
    assert checks.pool_finding(10, available).state == state


def test_an_old_server_is_found() -> None:
    assert checks.version_finding(15, 1).state == "ok"
    assert checks.version_finding(14, 9).state == "fail"


@pytest.mark.parametrize(
    ("kind", "seconds", "said"),
    [
        ("prepared", 0.0, "COMMIT PREPARED 'x'"),
        ("writing", 11.0, "Keep writing transactions short"),
        ("reading", 601.0, "vacuum"),
        ("writing", 9.0, None),
        ("reading", 599.0, None),
    ],
)
def test_transactions_that_others_wait_for_are_found(kind: str, seconds: float, said: str | None) -> None:
    (found,) = checks.transaction_findings([{"kind": kind, "who": "'x'", "seconds": seconds}])
    assert found.state == ("ok" if said is None else "warn")
    assert said is None or said in f"{found.what} {found.advice}"


@pytest.mark.postgresql_only
async def test_a_long_writing_transaction_is_found_in_a_real_database(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LONG_WRITING", -1.0)
    writer = await asyncpg.connect(db)
    try:
        async with writer.transaction():
            pid = await writer.fetchval("SELECT pg_backend_pid() FROM pg_current_xact_id()")
            found = await diagnose(database_url=db)
            assert any(what.startswith(f"process {pid} writes in one transaction") for what in found)
        found = await diagnose(database_url=db)
        assert not any(what.startswith(f"process {pid} ") for what in found)
    finally:
        await writer.close()


def test_redis_that_evicts_or_is_old_is_found() -> None:
    assert states(redis_findings({"redis_version": "7.4.1", "maxmemory_policy": "noeviction", "maxmemory": 0})) == ["ok", "ok"]
    assert states(redis_findings({"redis_version": "6.2.0", "maxmemory_policy": "allkeys-lru", "maxmemory": 1})) == ["warn", "warn"]


async def test_redis_that_cannot_be_reached_is_found(db: str) -> None:
    found = await diagnose(database_url=db, redis_url="redis://:hidden@127.0.0.1:1/0")
    (what,) = [what for what in found if what.startswith("Redis cannot be reached")]
    assert found[what].state == "warn"
    assert "hidden" not in what


async def test_a_database_that_cannot_be_reached_is_found() -> None:
    found = await diagnose(database_url="postgresql://someone:hidden@127.0.0.1:1/none")
    assert any(what.startswith("PostgreSQL cannot be reached") and finding.state == "fail" for what, finding in found.items())
    assert not any("hidden" in what for what in found)


@pytest.mark.sqlite_only
async def test_a_server_that_says_nothing_is_told_of_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://graphook@127.0.0.1:{silent.getsockname()[1]}/graphook"
        found = await diagnose(database_url=url)
    assert found["PostgreSQL cannot be reached: there was no answer in time"].state == "fail"


@pytest.mark.parametrize(("free", "state"), [(64 << 20, "ok"), ((64 << 20) - 1, "fail"), (0, "fail")])
def test_a_disk_without_room_is_found(free: int, state: str, tmp_path: Path) -> None:
    assert room_finding(tmp_path, free).state == state


async def test_a_schema_that_lacks_migrations_is_found(empty: str) -> None:
    found = await diagnose(database_url=empty)
    (what,) = [what for what in found if what.startswith("the database lacks the migrations 0001_schema")]
    assert (found[what].state, found[what].advice) == ("fail", "Run `graphook migrate`.")
    assert migration_finding([]).state == "ok"


async def test_endpoints_whose_secrets_no_key_opens_are_found(db: str) -> None:
    async def said(*keys: str) -> Finding:
        found = findings(Settings.load(database_url=db, secret_key=keys), schema_findings)
        (told,) = [finding async for finding in found if "secrets of" in finding.what]
        return told

    other = "another-key-for-tests-which-is-long-enough"
    await make.copies(await make.endpoint(await make.application()), 2)
    assert (await said(SECRET_KEY)).what == "the secret key opens the secrets of all endpoints"
    assert (await said(other, SECRET_KEY)).state == "ok"
    assert (await said(other)) == Finding(
        "fail",
        "no secret key opens the secrets of 3 endpoints",
        "Add the key that sealed them to GRAPHOOK_SECRET_KEY: without it, nothing can be sent to them.",
    )


@pytest.mark.sqlite_only
async def test_a_key_of_development_that_was_lost_is_found(db: str, tmp_path: Path) -> None:
    await make.endpoint(await make.application())
    copy = tmp_path / "g.sqlite3"
    with closing(sqlite3.connect(db.removeprefix("sqlite://"))) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))

    async def state() -> str:
        found = findings(Settings.load(database_url=f"sqlite://{copy}", secret_key=()), schema_findings)
        return next(told.state for told in [finding async for finding in found] if "secrets of" in told.what)

    assert await state() == "fail"
    assert not (tmp_path / "development-key").exists()
    (tmp_path / "development-key").write_text("short")
    assert await state() == "fail"
    (tmp_path / "development-key").write_text(SECRET_KEY + "\n")
    assert await state() == "ok"


async def test_a_database_of_a_development_version_is_found(db: str) -> None:
    async with database.transaction() as session:
        await session.fetch_text("UPDATE tortoise_migrations SET name = '0001_initial' WHERE name = '0001_schema'")
    found = await diagnose(database_url=db)
    (what,) = [what for what in found if what.startswith("The database was made by a development version")]
    assert (found[what].state, found[what].advice) == ("fail", "Make the database anew.")


@pytest.fixture
async def empty(backend: Backend, tmp_path: Path) -> AsyncIterator[str]:
    """A database without tables."""
    if backend.admin_url is None:
        sqlite3.connect(tmp_path / "empty.sqlite3").close()
        yield f"sqlite://{tmp_path}/empty.sqlite3"
        return
    url = await backend.fresh_database()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()
    yield url
    await backend.drop(url)


@pytest.mark.sqlite_only
async def test_a_sqlite_file_without_a_write_ahead_log_is_found(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite3"
    missing = await diagnose(database_url=f"sqlite://{path}")
    assert any(what.startswith("there is no database") and finding.state == "warn" for what, finding in missing.items())
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    found = await diagnose(database_url=f"sqlite://{path}")
    assert found["SQLite journal mode is delete, as in a copy that VACUUM INTO made"].state == "warn"


@pytest.mark.sqlite_only
async def test_a_copy_that_was_made_as_the_guide_says_is_no_failure(db: str, tmp_path: Path) -> None:
    """It is how a restore is tried before one is needed."""
    await make.endpoint(await make.application())
    with closing(sqlite3.connect(db.removeprefix("sqlite://"))) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.sqlite3"),))

    found = await diagnose(database_url=f"sqlite://{tmp_path}/copy.sqlite3")

    assert "fail" not in states(found.values())
    assert {"the schema is the newest", "the secret key opens the secrets of all endpoints"} <= found.keys()


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_text("This is a text.\n" * 100), "file is not a database"),
        (lambda path: os.truncate(path, 20_000), "database disk image is malformed"),
    ],
    ids=["text", "cut"],
)
async def test_a_sqlite_file_that_cannot_be_read_is_found(db: str, damage: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "50% of what?" / "g.sqlite3"
    path.parent.mkdir()
    with closing(sqlite3.connect(db.removeprefix("sqlite://"))) as connection:
        connection.execute("VACUUM INTO ?", (str(path),))
    damage(path)
    found = await diagnose(database_url=f"sqlite://{path}")
    assert found[f"SQLite cannot read {path}: {reason}"].state == "fail"
    assert not any("schema" in what for what in found)
    assert any("transformations" in what for what in found)


@pytest.mark.postgresql_only
async def test_partitions_that_are_missing_or_passed_by_are_found_in_a_real_database(db: str) -> None:
    app = await make.application()
    gone = Partition("attempt", week_of(now()) + timedelta(weeks=1)).name
    connection = await asyncpg.connect(db)
    try:
        await connection.execute(f"DROP TABLE {gone}")
    finally:
        await connection.close()
    await make.message(app, created_at=now() + timedelta(weeks=20))

    found = await diagnose(database_url=db)

    assert found[f"there are no partitions {gone}"].state == "warn"
    (astray,) = [what for what in found if what.startswith("default partitions hold rows")]
    assert "message (1 rows)" in astray


def test_partitions_that_are_all_there_are_well() -> None:
    assert states(partition_findings(partitions.wanted(), {"message": 0})) == ["ok", "ok"]
    assert states(partition_findings([], {"message": 1000})) == ["warn", "warn"]


@pytest.mark.sqlite_only
async def test_a_key_of_development_is_said_to_lie_only_where_it_does(tmp_path: Path) -> None:
    async def told() -> str:
        settings = Settings.load(database_url=f"sqlite://{tmp_path}/g.sqlite3", secret_key=())
        return next(what for what in [finding.what async for finding in findings(settings, schema_findings)] if "secret key" in what)

    assert await told() == "loopback development: the secret key will be made and kept beside the database"
    (tmp_path / "development-key").write_text(SECRET_KEY)
    assert await told() == "loopback development: the secret key lies beside the database"


async def test_a_missing_secret_key_is_found() -> None:
    url = "postgresql://127.0.0.1:1/none"
    found = [finding async for finding in findings(Settings.load(database_url=url), schema_findings)]
    assert "fail" in [finding.state for finding in found if finding.what == "no secret key"]


@pytest.mark.parametrize(
    ("settings", "said", "advice"),
    [
        ({"llm_api_key": "k"}, "warn", "Set GRAPHOOK_LLM_BASE_URL and GRAPHOOK_LLM_MODEL."),
        ({"llm_base_url": "http://127.0.0.1:9/v1"}, "warn", "Set GRAPHOOK_LLM_MODEL."),
        ({"llm_base_url": "http://127.0.0.1:9/v1", "llm_model": "m"}, "ok", ""),
    ],
)
async def test_a_model_that_is_half_set_up_is_found(db: str, settings: dict[str, str], said: str, advice: str) -> None:
    (found,) = [finding for what, finding in (await diagnose(database_url=db, **settings)).items() if what.startswith("generations")]

    assert (found.state, found.advice) == (said, advice)


@pytest.mark.parametrize(
    ("settings", "what", "advice"),
    [
        ({"slack_client_id": "1"}, "Slack", "Set GRAPHOOK_SLACK_CLIENT_SECRET and GRAPHOOK_OAUTH_REDIRECT_URIS."),
        ({"discord_client_secret": "s", "oauth_redirect_uris": "https://a.example.com/"}, "Discord", "Set GRAPHOOK_DISCORD_CLIENT_ID."),
        ({"discord_client_id": "1", "discord_client_secret": "s", "oauth_redirect_uris": "https://a.example.com/"}, "of Discord", ""),
        (
            {"oauth_redirect_uris": "https://a.example.com/"},
            "redirect URIs",
            "Set the client id and the client secret of Slack or Discord, or unset GRAPHOOK_OAUTH_REDIRECT_URIS.",
        ),
    ],
)
async def test_a_provider_of_channels_that_is_half_set_up_is_found(db: str, settings: dict[str, str], what: str, advice: str) -> None:
    said = ("Slack", "Discord", "redirect URIs")
    (found,) = [finding for finding in (await diagnose(database_url=db, **settings)).values() if any(name in finding.what for name in said)]

    assert what in found.what
    assert (found.state, found.advice) == ("warn" if advice else "ok", advice)


async def test_a_sandbox_that_cannot_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    found = await sandbox_finding(Settings.load())
    assert (found.state, found.what) == ("fail", "transformations cannot run: The code could not be run now.")
