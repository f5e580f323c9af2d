"""Signatures of the Standard Webhooks specification: `v1` (HMAC-SHA256) and `v1a` (Ed25519)."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from graphook.errors import InvalidInput

# The contract's pattern for a secret, widened by the prefixes of asymmetric keys.
SECRET_PATTERN = r"^(whsec_|whsk_)?[a-zA-Z0-9+/=]{32,100}$"  # noqa: S105 - a pattern, no secret
HeaderStyle = Literal["webhook", "svix", "both"]

_FORM = re.compile(SECRET_PATTERN[1:-1])
_MIN_BYTES, _MAX_BYTES = 24, 75


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs: the HMAC secret, or an Ed25519 private key followed by its public half."""

    kind: Literal["hmac", "ed25519"]
    raw: bytes


def generate_secret(kind: Literal["hmac", "ed25519"] = "hmac") -> str:
    """A fresh secret: `whsec_…` of 24 random bytes, or an Ed25519 pair `whsk_…`."""
    if kind == "hmac":
        return "whsec_" + base64.b64encode(os.urandom(24)).decode()
    private = Ed25519PrivateKey.generate()
    return "whsk_" + base64.b64encode(private.private_bytes_raw() + private.public_key().public_bytes_raw()).decode()


@lru_cache(maxsize=4096)
def parse_secret(text: str) -> SigningKey:
    """The key in a secret's text. Raises `InvalidInput`, which never repeats the secret."""
    if _FORM.fullmatch(text) is None:
        raise InvalidInput(f"A secret must match {SECRET_PATTERN}.")
    prefix, _, encoded = text.rpartition("_")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise InvalidInput("A secret is base64 after its prefix.") from error
    if prefix == "whsk":
        if len(raw) != 64 or Ed25519PrivateKey.from_private_bytes(raw[:32]).public_key().public_bytes_raw() != raw[32:]:
            raise InvalidInput("An Ed25519 secret is the base64 of the private key followed by its public key, 64 bytes.")
        return SigningKey("ed25519", raw)
    if not _MIN_BYTES <= len(raw) <= _MAX_BYTES:
        raise InvalidInput(f"A secret has {_MIN_BYTES} to {_MAX_BYTES} bytes, not {len(raw)}.")
    return SigningKey("hmac", raw)


def public_form(text: str) -> str:
    """What a receiver needs to verify: the shared secret itself, or the public half `whpk_…` of an Ed25519 key."""
    key = parse_secret(text)
    if key.kind == "ed25519":
        return "whpk_" + base64.b64encode(key.raw[32:]).decode()
    return "whsec_" + base64.b64encode(key.raw).decode()


def sign(keys: Sequence[SigningKey], message_id: str, timestamp: int, body: bytes) -> str:
    """The signatures of `{message_id}.{timestamp}.{body}` by each key in order, separated by spaces. `timestamp` is in seconds."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return " ".join(_signature(key, content) for key in keys)


def signed_headers(
    keys: Sequence[SigningKey], message_id: str, timestamp: int, body: bytes, *, style: HeaderStyle = "webhook"
) -> list[tuple[str, str]]:
    """The id, timestamp and signature headers, named `webhook-…`, `svix-…` or both."""
    values = (("id", message_id), ("timestamp", str(timestamp)), ("signature", sign(keys, message_id, timestamp, body)))
    families = ("webhook", "svix") if style == "both" else (style,)
    return [(f"{family}-{name}", value) for family in families for name, value in values]


def _signature(key: SigningKey, content: bytes) -> str:
    if key.kind == "ed25519":
        return "v1a," + base64.b64encode(_private_key(key.raw[:32]).sign(content)).decode()
    return "v1," + base64.b64encode(hmac.digest(key.raw, content, "sha256")).decode()


@lru_cache(maxsize=1024)
def _private_key(raw: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(raw)
