"""The schemes by which providers sign: their documented examples, and what is not signed so."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from graphook.errors import InvalidInput, Unauthenticated
from graphook.inbound import InboundScheme, check_secret, event_of, verify

NONE, STANDARD, GITHUB = InboundScheme.NONE, InboundScheme.STANDARD_WEBHOOKS, InboundScheme.GITHUB
STRIPE, SHOPIFY = InboundScheme.STRIPE, InboundScheme.SHOPIFY
AT = datetime.fromtimestamp(1_614_265_330, UTC)


def hmac_sha256(key: bytes, content: bytes) -> bytes:
    """RFC 2104, written out: independent of what the code under test calls."""
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + content).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()


def signed(scheme: InboundScheme, secret: str, body: bytes, at: datetime = AT) -> dict[str, str]:
    """The headers that the provider's documentation says."""
    timestamp = str(int(at.timestamp()))
    if scheme is STANDARD:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac_sha256(key, b"evt_1." + timestamp.encode() + b"." + body)
        return {"webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": "v1," + base64.b64encode(digest).decode()}
    if scheme is GITHUB:
        return {"x-hub-signature-256": "sha256=" + hmac_sha256(secret.encode(), body).hex()}
    if scheme is STRIPE:
        digest = hmac_sha256(secret.encode(), timestamp.encode() + b"." + body)
        return {"stripe-signature": f"t={timestamp},v1={digest.hex()},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"}
    return {"x-shopify-hmac-sha256": base64.b64encode(hmac_sha256(secret.encode(), body)).decode()}


SECRETS = {
    STANDARD: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    GITHUB: "It's a Secret to Everybody",
    STRIPE: "whsec_test_secret_of_an_endpoint",
    SHOPIFY: "hush-hush-hush",
}
OTHER_SECRETS = dict.fromkeys(SECRETS, f"whsec_{'A' * 32}")


def is_taken(scheme: InboundScheme, secret: str, headers: dict[str, str], body: bytes, at: datetime = AT) -> bool:
    try:
        verify(scheme, secret, headers, body, at)
    except Unauthenticated:
        return False
    return True


def test_the_example_of_standard_webhooks_is_taken() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body = b'{"test": 2432232314}'
    assert is_taken(STANDARD, SECRETS[STANDARD], headers, body)
    old_names = {name.replace("webhook-", "svix-"): value for name, value in headers.items()}
    assert is_taken(STANDARD, SECRETS[STANDARD], old_names, body)
    assert not is_taken(STANDARD, SECRETS[STANDARD], headers | {"webhook-id": "msg_another"}, body)


def test_the_example_of_github_is_taken() -> None:
    headers = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
    assert is_taken(GITHUB, SECRETS[GITHUB], headers, b"Hello, World!")
    assert not is_taken(GITHUB, SECRETS[GITHUB], headers, b"Hello, World")


def test_an_asymmetric_signature_is_taken() -> None:
    private = Ed25519PrivateKey.generate()
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    signature = base64.b64encode(private.sign(b"evt_1.1614265330.{}")).decode()
    headers = {"webhook-id": "evt_1", "webhook-timestamp": "1614265330", "webhook-signature": f"v1,AAAA v1a,{signature}"}
    assert is_taken(STANDARD, public, headers, b"{}")
    assert not is_taken(STANDARD, public, headers, b"{} ")
    for wrong in ("v1a,AAAA", "v1a,not base64", "v1a,é", "v1a"):
        assert not is_taken(STANDARD, public, headers | {"webhook-signature": wrong}, b"{}")


@pytest.mark.parametrize("scheme", SECRETS)
def test_what_is_signed_so_is_taken_and_nothing_else(scheme: InboundScheme) -> None:
    secret = SECRETS[scheme]
    body = b'{"caf\xc3\xa9": 1.10}\n'
    headers = signed(scheme, secret, body)
    (name,) = [name for name in headers if "signature" in name or "hmac" in name]
    assert is_taken(scheme, secret, headers, body)

    assert not is_taken(scheme, secret, headers, body.strip())
    assert not is_taken(scheme, secret, headers, b"")
    assert not is_taken(scheme, secret, {}, body)
    assert not is_taken(scheme, OTHER_SECRETS[scheme], headers, body)
    given = headers[name].split(",v0")[0]
    for wrong in ("", "v1", "v1,", "sha256=", "t=1614265330,v1=", given.upper(), given[:-2], given.replace("v1", "v0"), "é", "\x00"):
        if wrong == given:
            continue
        assert not is_taken(scheme, secret, headers | {name: wrong}, body), wrong
    for other in set(SECRETS) - {scheme}:
        assert not is_taken(other, SECRETS[other], headers, body)


@pytest.mark.parametrize("scheme", [STANDARD, STRIPE])
@pytest.mark.parametrize(("seconds", "taken"), [(0, True), (300, True), (-300, True), (301, False), (-301, False), (86_400, False)])
def test_a_signed_time_may_be_five_minutes_off(scheme: InboundScheme, seconds: int, taken: bool) -> None:
    headers = signed(scheme, SECRETS[scheme], b"{}")
    assert is_taken(scheme, SECRETS[scheme], headers, b"{}", AT + timedelta(seconds=seconds)) is taken


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1e9", "9" * 400, "1614265330.0", "１６１４２６５３３０", "nan"])
def test_a_time_that_is_none_is_refused_however_it_is_signed(timestamp: str) -> None:
    raw = timestamp.encode("latin-1", "replace")
    digest = base64.b64encode(hmac_sha256(base64.b64decode(SECRETS[STANDARD].removeprefix("whsec_")), b"a." + raw + b".{}")).decode()
    headers = {"webhook-id": "a", "webhook-timestamp": timestamp, "webhook-signature": f"v1,{digest}"}
    assert not is_taken(STANDARD, SECRETS[STANDARD], headers, b"{}")
    digest = hmac_sha256(SECRETS[STRIPE].encode(), raw + b".{}").hex()
    assert not is_taken(STRIPE, SECRETS[STRIPE], {"stripe-signature": f"t={timestamp},v1={digest}"}, b"{}")


def test_any_of_the_signatures_of_a_rotating_secret_is_enough() -> None:
    old, new = signed(STANDARD, f"whsec_{'A' * 32}", b"{}"), signed(STANDARD, SECRETS[STANDARD], b"{}")
    both = {**new, "webhook-signature": f"{old['webhook-signature']} {new['webhook-signature']}"}
    assert is_taken(STANDARD, SECRETS[STANDARD], both, b"{}")
    signature = signed(STRIPE, SECRETS[STRIPE], b"{}")["stripe-signature"]
    assert is_taken(STRIPE, SECRETS[STRIPE], {"stripe-signature": signature.replace(",v1=", f",v1={'0' * 64},v1=")}, b"{}")


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [(NONE, "a secret there is"), (GITHUB, None), (STRIPE, "short"), (SHOPIFY, "x" * 257), (GITHUB, "with\0nul!"), (STANDARD, "whsec_%%%"),
     (STANDARD, "whpk_AAAA"), (STANDARD, "whpk_é"), (STANDARD, "whsec_AAAA")],
)  # fmt: skip
def test_a_secret_that_a_scheme_cannot_verify_with_is_refused(scheme: InboundScheme, secret: str | None) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_secret(scheme, secret, ("input", "secret"))
    assert refused.value.path == ("input", "secret")
    assert secret is None or secret not in refused.value.message


def test_an_event_is_told_by_what_the_provider_says() -> None:
    stripe = b'{"id": "evt_1", "type": "invoice.paid"}'
    assert event_of(STRIPE, {}, stripe) == ("invoice.paid", "evt_1")
    assert event_of(STRIPE, {}, b"[1]") == event_of(STRIPE, {}, b"{") == event_of(STRIPE, {}, b'{"id": 5, "type": []}') == ("inbound", None)
    assert event_of(GITHUB, {"x-github-event": "push", "x-github-delivery": "7-a"}, b"") == ("push", "7-a")
    assert event_of(SHOPIFY, {"x-shopify-topic": "orders/create", "x-shopify-webhook-id": "b"}, b"") == ("orders.create", "b")
    assert event_of(STANDARD, {"webhook-id": "msg_1", "x-github-delivery": "7"}, b"") == ("inbound", "in.msg_1")
    assert event_of(NONE, {"x-github-delivery": "7"}, stripe) == ("inbound", "7")
    assert event_of(NONE, {"x-github-event": "no type", "webhook-id": "no slug"}, b"") == (
        "inbound",
        f"sha256-{hashlib.sha256(b'no slug').hexdigest()}",
    )
