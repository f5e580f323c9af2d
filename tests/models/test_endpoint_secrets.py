"""The secrets of an endpoint: which of them sign at a moment, and in which order."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from graphook import secrets
from graphook.clock import now, to_us
from graphook.errors import LimitExceeded
from graphook.secrets import KeyRing
from graphook.signing import SigningKey, generate_secret, parse_secret
from models.endpoint import MAX_OLD_SECRETS, Endpoint, signing_keys
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")

HOUR = timedelta(hours=1)


def signing(endpoint: Endpoint, at: datetime) -> list[SigningKey]:
    return signing_keys(endpoint.id, endpoint.secret, endpoint.old_secrets, to_us(at))


async def test_old_secrets_sign_on_behind_the_current_one_until_their_grace_is_over() -> None:
    endpoint = await make.endpoint(await make.application())
    first, second, third = endpoint.secret_text(), generate_secret(), generate_secret()
    await endpoint.rotate_secret(second, 3 * HOUR)
    await endpoint.rotate_secret(third, HOUR)
    keys = [parse_secret(text) for text in (third, second, first)]

    assert signing(endpoint, now()) == keys
    assert signing(endpoint, now() + 2 * HOUR) == [keys[0], keys[2]], "the grace of each is its own"
    assert signing(endpoint, now() + 4 * HOUR) == keys[:1]


async def test_without_a_grace_only_the_new_secret_signs() -> None:
    endpoint = await make.endpoint(await make.application())
    secret = generate_secret()

    await endpoint.rotate_secret(secret, timedelta(0))

    assert signing(endpoint, now()) == [parse_secret(secret)]


async def test_secrets_whose_grace_is_over_make_room_for_others() -> None:
    endpoint = await make.endpoint(await make.application())
    for _ in range(12):
        await endpoint.rotate_secret(grace=timedelta(microseconds=1))

    await endpoint.rotate_secret(grace=HOUR)

    assert len(signing(endpoint, now() - HOUR)) == 2, "what is over is forgotten, not only passed over"


async def test_a_secret_that_leaked_is_replaced_however_many_old_ones_still_sign() -> None:
    endpoint = await make.endpoint(await make.application())
    for _ in range(MAX_OLD_SECRETS):
        await endpoint.rotate_secret(grace=HOUR)
    with pytest.raises(LimitExceeded):
        await endpoint.rotate_secret(grace=HOUR)
    leaked, secret = parse_secret(endpoint.secret_text()), generate_secret()

    await endpoint.rotate_secret(secret, timedelta(0))

    keys = signing(endpoint, now())
    assert (keys[0], len(keys), leaked in keys) == (parse_secret(secret), 1 + MAX_OLD_SECRETS, False)


async def test_a_secret_that_no_key_opens_is_mended_by_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = await make.endpoint(await make.application())
    monkeypatch.setattr(secrets, "_installed", KeyRing(["another key than the one that sealed it"]))
    secret = generate_secret()

    await endpoint.rotate_secret(secret)

    assert signing(endpoint, now()) == [parse_secret(secret)]
