"""Webhooks of others: whether a request is signed as its provider's scheme says, and which event it tells of."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from graphook import rules, strict_json
from graphook.errors import InvalidInput, Unauthenticated
from graphook.signing import parse_secret

# Seconds that a signed timestamp may be off.
TOLERANCE = 300
# Signatures of one header that are looked at: a few while a secret rotates.
MAX_SIGNATURES = 16
DEFAULT_EVENT_TYPE = "inbound"

Headers = Mapping[str, str]

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_REFUSED = "The signature is missing, wrong or too old."
_TEXT_SECRET = rules.Text(8, 256, secret=True)


class InboundScheme(StrEnum):
    """How a provider signs what it sends."""

    NONE = "none"
    STANDARD_WEBHOOKS = "standard_webhooks"
    GITHUB = "github"
    STRIPE = "stripe"
    SHOPIFY = "shopify"


def check_secret(scheme: InboundScheme, secret: str | None, path: rules.Path) -> None:
    """Raise `InvalidInput` unless the secret is one that the scheme can verify with; no secret for no scheme."""
    if scheme is InboundScheme.NONE:
        if secret is not None:
            raise InvalidInput("Without a scheme there is nothing to verify with a secret.", path)
    elif secret is None:
        raise InvalidInput("The secret that the provider signs with is needed.", path)
    elif scheme is InboundScheme.STANDARD_WEBHOOKS:
        try:
            _standard_key(secret)
        except InvalidInput as fault:
            raise InvalidInput(fault.message, path) from None
    else:
        for found in _TEXT_SECRET.check(secret, path):
            raise found


def verify(scheme: InboundScheme, secret: str | None, headers: Headers, body: bytes, at: datetime) -> None:
    """Raise `Unauthenticated`, with the same words whatever is wrong, unless the raw body is signed as the scheme says and was so just now."""
    if scheme is not InboundScheme.NONE and (secret is None or not _VERIFIERS[scheme](secret, headers, body, at)):
        raise Unauthenticated(_REFUSED)


def event_of(scheme: InboundScheme, headers: Headers, body: bytes) -> tuple[str, str | None]:
    """The event's type, `inbound` where it is not told, and the provider's id for it as an event id, None where there is none."""
    if scheme is InboundScheme.STRIPE:
        kind, event_id = _of_stripe(body)
    else:
        kind = headers.get("x-github-event") or headers.get("x-shopify-topic", "").replace("/", ".")
        event_id = next((found for name in _ID_HEADERS[scheme] if (found := headers.get(name))), None)
    known = not any(rules.EVENT_TYPE.check(kind, ()))
    return kind if known else DEFAULT_EVENT_TYPE, None if event_id is None else _event_id(event_id)


def _event_id(provided: str) -> str:
    """A provider's id in the form of an event id: one that begins like ours gets a prefix, any other text that cannot be one its digest."""
    for candidate in (provided, f"in.{provided}"):
        if not any(rules.UID.check(candidate, ())):
            return candidate
    return f"sha256-{hashlib.sha256(provided.encode()).hexdigest()}"


def _of_stripe(body: bytes) -> tuple[str, str | None]:
    try:
        event = strict_json.loads(body)
    except strict_json.BadJSON:
        return "", None
    kind, event_id = (event.get("type"), event.get("id")) if isinstance(event, dict) else (None, None)
    return kind if isinstance(kind, str) else "", event_id if isinstance(event_id, str) and event_id else None


def _standard(secret: str, headers: Headers, body: bytes, at: datetime) -> bool:
    family = "webhook" if "webhook-signature" in headers else "svix"
    message_id, timestamp, signatures = (headers.get(f"{family}-{name}", "") for name in ("id", "timestamp", "signature"))
    if not message_id or not _is_fresh(timestamp, at):
        return False
    content = b"%s.%s.%s" % (_raw(message_id), _raw(timestamp), body)
    key = _standard_key(secret)
    given = [part.partition(",") for part in signatures.split(" ")[:MAX_SIGNATURES]]
    if isinstance(key, bytes):
        wanted = base64.b64encode(hmac.digest(key, content, "sha256"))
        return any(version == "v1" and hmac.compare_digest(_raw(signature), wanted) for version, _, signature in given)
    return any(version == "v1a" and _is_signed(key, signature, content) for version, _, signature in given)


def _standard_key(secret: str) -> bytes | Ed25519PublicKey:
    """The key of a shared secret `whsec_…`, or the public key `whpk_…` of a pair. Raises `InvalidInput`."""
    if not secret.startswith("whpk_"):
        key = parse_secret(secret)
        if key.kind != "hmac":
            raise InvalidInput("Give the public key of the pair, whpk_….")
        return key.raw
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.removeprefix("whpk_"), validate=True))
    except ValueError as error:
        raise InvalidInput("A public key is whpk_ and the base64 of its 32 bytes.") from error


def _is_signed(key: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    try:
        key.verify(base64.b64decode(_raw(signature), validate=True), content)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _github(secret: str, headers: Headers, body: bytes, at: datetime) -> bool:
    wanted = f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"
    return hmac.compare_digest(_raw(headers.get("x-hub-signature-256", "")), wanted.encode())


def _stripe(secret: str, headers: Headers, body: bytes, at: datetime) -> bool:
    parts = [part.strip().partition("=") for part in headers.get("stripe-signature", "").split(",")[:MAX_SIGNATURES]]
    timestamp = next((value for name, _, value in parts if name == "t"), "")
    if not _is_fresh(timestamp, at):
        return False
    wanted = hmac.digest(secret.encode(), b"%s.%s" % (_raw(timestamp), body), "sha256").hex().encode()
    return any(name == "v1" and hmac.compare_digest(_raw(value), wanted) for name, _, value in parts)


def _shopify(secret: str, headers: Headers, body: bytes, at: datetime) -> bool:
    wanted = base64.b64encode(hmac.digest(secret.encode(), body, "sha256"))
    return hmac.compare_digest(_raw(headers.get("x-shopify-hmac-sha256", "")), wanted)


def _is_fresh(timestamp: str, at: datetime) -> bool:
    return _TIMESTAMP.fullmatch(timestamp) is not None and abs(at.timestamp() - int(timestamp)) <= TOLERANCE


def _raw(text: str) -> bytes:
    """A header as it came: its bytes are read as Latin-1."""
    return text.encode("latin-1", "replace")


_VERIFIERS: dict[InboundScheme, Callable[[str, Headers, bytes, datetime], bool]] = {
    InboundScheme.STANDARD_WEBHOOKS: _standard,
    InboundScheme.GITHUB: _github,
    InboundScheme.STRIPE: _stripe,
    InboundScheme.SHOPIFY: _shopify,
}
_ID_HEADERS = {
    InboundScheme.STANDARD_WEBHOOKS: ("webhook-id", "svix-id"),
    InboundScheme.GITHUB: ("x-github-delivery",),
    InboundScheme.SHOPIFY: ("x-shopify-webhook-id",),
    InboundScheme.NONE: ("webhook-id", "svix-id", "x-github-delivery", "x-shopify-webhook-id"),
}
