"""Signatures against published vectors and an independent library."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from graphook.errors import InvalidInput
from graphook.signing import generate_secret, parse_secret, public_form, sign, signed_headers

ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


@pytest.mark.parametrize(
    ("secret", "signature"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        (
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        ),
    ],
)
def test_signatures_equal_the_published_vectors(secret: str, signature: str) -> None:
    assert sign([parse_secret(secret)], ID, AT, BODY) == signature


def test_several_keys_sign_in_order() -> None:
    keys = [parse_secret(generate_secret()), parse_secret(generate_secret("ed25519"))]

    first, second = sign(keys, ID, AT, BODY).split(" ")

    assert (first, second) == (sign(keys[:1], ID, AT, BODY), sign(keys[1:], ID, AT, BODY))


def test_an_independent_library_verifies_and_notices_a_changed_body() -> None:
    secret = generate_secret()
    now = int(datetime.now(UTC).timestamp())
    headers = dict(signed_headers([parse_secret(secret)], ID, now, BODY))

    Webhook(secret).verify(BODY, headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(secret).verify(BODY + b" ", headers)


def test_the_headers_have_the_names_of_either_family_or_both() -> None:
    key = [parse_secret(generate_secret())]

    assert [name for name, _ in signed_headers(key, ID, AT, BODY, style="svix")] == ["svix-id", "svix-timestamp", "svix-signature"]
    assert len(signed_headers(key, ID, AT, BODY, style="both")) == 6


def test_a_secret_has_24_to_75_bytes() -> None:
    for size in (24, 75):
        parse_secret("whsec_" + base64.b64encode(b"x" * size).decode())
    for size in (23, 76):
        with pytest.raises(InvalidInput):
            parse_secret("whsec_" + base64.b64encode(b"x" * size).decode())


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whpk_" + "A" * 40,
        "whsec_" + "=" * 40,
        "whsec_" + "A" * 33,
        "whsec_" + "A" * 35 + "=" + "A" * 32,
        "whsk_" + "A" * 88,
        "whsk_" + "A" * 32,
    ],
)
def test_a_malformed_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_secret(secret)

    assert len(secret) < 8 or secret not in refused.value.message


def test_a_private_key_with_the_public_half_of_another_is_refused() -> None:
    mine, other = (base64.b64decode(generate_secret("ed25519").removeprefix("whsk_")) for _ in range(2))

    with pytest.raises(InvalidInput):
        parse_secret("whsk_" + base64.b64encode(mine[:32] + other[32:]).decode())


def test_a_shared_secret_is_shown_with_its_prefix_however_it_was_given() -> None:
    secret = generate_secret()

    assert public_form(secret) == public_form(secret.removeprefix("whsec_")) == secret


def test_the_public_form_of_a_pair_has_no_private_half() -> None:
    secret = generate_secret("ed25519")

    shown = public_form(secret)

    assert shown.startswith("whpk_")
    assert len(base64.b64decode(shown[5:])) == 32
    assert base64.b64decode(secret[5:]).endswith(base64.b64decode(shown[5:]))
