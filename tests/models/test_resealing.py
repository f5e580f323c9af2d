"""Rotating the keys of secrets at rest: everything stays readable, and the older keys are needed no more."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from graphook import database, secrets
from graphook.database import Statement
from graphook.inbound import InboundScheme
from graphook.secrets import KeyRing, SecretUnreadable
from models import resealing
from models.endpoint import Endpoint
from models.inbound import Inbound
from models.resealing import Progress, reseal
from models.token import Token
from models.transformation import Transformation
from tests.deployment import SECRET_KEY, Process, environment_of
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")

NEW_KEY = "the-next-key-for-tests-which-is-long-enough"


async def finish() -> Progress:
    """The progress of all tables, added up."""
    tables = {progress.table: progress async for progress in reseal()}
    assert list(tables) == [sealed.table for sealed in resealing.SEALED]
    total = Progress("all")
    for progress in tables.values():
        total.rows += progress.rows
        total.resealed += progress.resealed
        total.unreadable += progress.unreadable
    return total


async def test_after_rotation_the_old_key_is_needed_no_more() -> None:
    app = await make.application()
    endpoints = [await make.endpoint(app) for _ in range(3)]
    for endpoint in endpoints:
        await endpoint.set_headers({"x-api-key": endpoint.id})
    await endpoints[0].rotate_secret()
    before = [endpoint.secret_text() for endpoint in endpoints]

    secrets.install(KeyRing([NEW_KEY, SECRET_KEY]))
    progress = await finish()
    secrets.install(KeyRing([NEW_KEY]))

    assert (progress.rows, progress.resealed, progress.unreadable) == (3, 9, [])
    found = [await Endpoint.get(id=endpoint.id) for endpoint in endpoints]
    assert [endpoint.secret_text() for endpoint in found] == before
    assert [endpoint.header_map() for endpoint in found] == [{"x-api-key": endpoint.id} for endpoint in endpoints]
    await found[0].rotate_secret()  # reads its old secrets


async def test_a_token_that_can_be_shown_again_still_can() -> None:
    shown, _ = await Token.mint("integ", org_id="org_1", app_id="app_1", name="shown again")
    await Token.mint(org_id="org_1", name="kept nowhere")
    await shown.seal("its text")

    secrets.install(KeyRing([NEW_KEY, SECRET_KEY]))
    progress = await finish()
    secrets.install(KeyRing([NEW_KEY]))

    assert (progress.rows, progress.resealed) == (2, 1)
    assert (await Token.get(id=shown.id)).unsealed() == "its text"


async def test_inbound_urls_lead_where_they_led() -> None:
    app, bare = await make.application(), await make.application()
    await Inbound.rotate(app)
    before = (await Inbound.verify_by(app, InboundScheme.GITHUB, "a secret of theirs")).token_text()
    await Inbound.verify_by(bare, InboundScheme.NONE, None)

    secrets.install(KeyRing([NEW_KEY, SECRET_KEY]))
    progress = await finish()
    secrets.install(KeyRing([NEW_KEY]))

    assert (progress.rows, progress.resealed) == (2, 2)
    found = await Inbound.find(app.id, before)
    assert (found.scheme, found.secret) == (InboundScheme.GITHUB, "a secret of theirs")
    assert (await Inbound.get(app_id=app.id)).token_text() == before


async def test_variables_of_transformations_stay_readable() -> None:
    endpoint = await make.endpoint(await make.application())
    await Transformation.change(endpoint, {"variables": {"KEY": "value"}})

    secrets.install(KeyRing([NEW_KEY, SECRET_KEY]))
    await finish()
    secrets.install(KeyRing([NEW_KEY]))

    assert (await Transformation.of(endpoint)).variable_map() == {"KEY": "value"}


async def test_rotating_again_changes_nothing() -> None:
    app = await make.application()
    endpoint = await make.endpoint(app)
    secrets.install(KeyRing([NEW_KEY, SECRET_KEY]))
    await finish()
    await endpoint.refresh_from_db()
    sealed = endpoint.secret

    progress = await finish()

    await endpoint.refresh_from_db()
    assert (progress.rows, progress.resealed, endpoint.secret) == (1, 0, sealed)


async def test_rotation_that_is_broken_off_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "BATCH", 2)
    app = await make.application()
    for _ in range(5):
        await make.endpoint(app)
    secrets.install(KeyRing([NEW_KEY, SECRET_KEY]))

    async for progress in reseal():
        assert (progress.table, progress.rows, progress.resealed) == ("endpoint", 2, 6)
        break

    assert (await finish()).resealed == 9


async def test_a_value_that_no_key_reads_is_named_and_left_alone() -> None:
    app = await make.application()
    broken, whole = await make.endpoint(app), await make.endpoint(app)
    async with database.transaction() as session:
        sql = Statement.same("UPDATE endpoint SET secret = $1 WHERE id = $2")
        await session.fetch(sql, whole.secret, broken.id)  # a value of another row
    secrets.install(KeyRing([NEW_KEY, SECRET_KEY]))

    progress = await finish()

    assert progress.unreadable == [f"endpoint.secret:{broken.id}"]
    assert progress.resealed == 5
    await broken.refresh_from_db()
    assert broken.secret == whole.secret
    with pytest.raises(SecretUnreadable):
        broken.secret_text()


async def test_the_command_tells_how_far_it_is_and_what_to_do_next(db: str) -> None:
    app = await make.application()
    await make.endpoint(app)
    command = [sys.executable, "-m", "graphook.cli", "secrets", "rotate"]
    rotated = Process.start(command, environment_of(db, None, GRAPHOOK_SECRET_KEY=f"{NEW_KEY},{SECRET_KEY}"))
    assert await asyncio.to_thread(rotated.popen.wait, 60) == 0, rotated.output
    rotated.stop()
    assert rotated.lines == [
        "endpoint: 1 row, 3 values sealed anew",
        *(f"{sealed.table}: 0 rows, 0 values sealed anew" for sealed in resealing.SEALED[1:]),
        "Done: the first key opens everything. Take the older ones out of GRAPHOOK_SECRET_KEY once every process has the first one first.",
    ]

    alone = Process.start(command, environment_of(db, None, GRAPHOOK_SECRET_KEY=NEW_KEY))
    assert await asyncio.to_thread(alone.popen.wait, 60) == 0, alone.output
    alone.stop()
    assert alone.lines[0] == "endpoint: 1 row, 0 values sealed anew"
    assert alone.lines[-1] == "Done: the key opens everything."

    refused = Process.start(command, environment_of(db, None, GRAPHOOK_SECRET_KEY="quite-another-key-for-tests-that-opens-nothing"))
    assert await asyncio.to_thread(refused.popen.wait, 60) == 1
    refused.stop()
    assert "keep every older key" in refused.output


def test_every_place_where_something_is_sealed_is_known() -> None:
    texts = [path.read_text() for path in (Path(__file__).parent.parent.parent / "models").glob("*.py")]
    sealing = {place for text in texts for place in re.findall(r'\bseal\("([\w.]+)", ', text)}
    assert sealing == {f"{sealed.table}.{column}" for sealed in resealing.SEALED for column in sealed.columns}
    assert not any("keyring().encrypt" in text for text in texts), "sealed in another way, which this does not see"


@pytest.mark.postgresql_only
async def test_a_rotation_that_the_database_does_not_let_go_on_says_to_run_it_again(db: str) -> None:
    async with database.transaction() as session:
        await session.fetch_text("LOCK TABLE endpoint")
        rotation = Process.start([sys.executable, "-m", "graphook.cli", "secrets", "rotate"], environment_of(db, None))
        status = await asyncio.to_thread(rotation.popen.wait)
    rotation.stop()
    assert status == 1
    assert rotation.lines[-1] == (
        "graphook: The database is not available: canceling statement due to lock timeout. "
        "What was done before stays; run the command again."
    )
