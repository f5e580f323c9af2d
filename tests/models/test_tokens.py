"""Tokens as an operator sees them, and how long those are kept that have ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from graphook import database
from graphook.auth import ALL_SCOPES, Caller
from graphook.clock import now
from graphook.errors import NotFound
from models.access import exchange, grant
from models.integration import Integration
from models.token import Token
from tests.models import make
from tests.statements import reads
from workers.prune import prune

pytestmark = pytest.mark.usefixtures("db")


async def test_every_token_is_told_with_how_it_stands() -> None:
    app, gone = await make.application(), await make.application()
    wanted = {}
    for kind, app_id, expires_at, state in (
        ("org", None, None, "valid"),
        ("org", None, now() - timedelta(seconds=1), "expired"),
        ("app", app.id, now() + timedelta(hours=1), "valid"),
        ("app", gone.id, None, "expired"),
        ("org", None, None, "revoked"),
    ):
        token, _ = await Token.mint(kind, org_id=app.org_id, app_id=app_id, name=state, expires_at=expires_at)  # type: ignore[arg-type]
        if state == "revoked":
            await token.revoke()
        wanted[token.id] = state
    await gone.remove()

    assert {token.id: state for token, state in await Token.states()} == wanted


@pytest.mark.sqlite_only
async def test_however_many_tokens_are_told_with_two_queries() -> None:
    app = await make.application()
    for n in range(5):
        await Token.mint("app", org_id=app.org_id, app_id=app.id, name=f"token {n}")

    async with reads() as asked:
        assert len(await Token.states()) == 5
    assert len(asked) == 2, asked


async def test_a_link_into_an_application_that_was_deleted_is_dead_and_makes_no_token() -> None:
    app = await make.application()
    _, access = await grant(app, capabilities=())
    await app.remove()

    with pytest.raises(NotFound):
        await exchange(Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES)), access.one_time_token)
    assert await Token.all().count() == 2


async def test_keys_that_were_rotated_away_are_forgotten_after_a_week() -> None:
    app = await make.application()
    caller = Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES))
    integration = await Integration.add(caller, app, "a name")
    await integration.rotate_key()
    await integration.rotate_key()

    await prune(90)
    assert await Token.all().count() == 3, "they are kept for a while"
    async with database.transaction() as session:
        await session.fetch_text("UPDATE token SET expires_at = expires_at - 7 * 86400000000 WHERE expires_at IS NOT NULL")
    await prune(90)

    assert [token.id for token in await Token.all()] == [integration.token_id]


async def test_an_integration_whose_key_an_operator_revoked_can_be_given_another_however_much_later() -> None:
    app = await make.application()
    integration = await Integration.add(Caller("tok_test", app.org_id, None, frozenset(ALL_SCOPES)), app, "a name")
    old = await integration.key()
    await old.revoke()
    async with database.transaction() as session:
        await session.fetch_text("UPDATE token SET revoked_at = revoked_at - 691200000000, expires_at = expires_at - 691200000000")

    await prune(90)
    await integration.rotate_key()

    new = await integration.key()
    assert new.id != old.id
    assert not new.revoked_at
    assert new.scopes == sorted(ALL_SCOPES)
