"""The text of API tokens: made, recognised and hashed."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal

Kind = Literal["org", "app", "integ", "once"]

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ONE_TIME_PATTERN = r"^oncesk_[0-9A-Za-z]{43}$"
_INBOUND = re.compile(r"inboundsk_[0-9A-Za-z]{43}")
_FORM = re.compile(r"(org|app|integ|once)sk_[0-9A-Za-z]{43}")


def mint(kind: Kind | Literal["inbound"]) -> tuple[str, str]:
    """A fresh token (256 bits) and its digest. Only the digest is ever stored."""
    plain = f"{kind}sk_" + "".join(secrets.choice(_ALPHABET) for _ in range(43))
    return plain, digest(plain)


def digest(plain: str) -> str:
    """The SHA-256 of a token in hex. Tokens are random in full, so a fast hash is safe."""
    return hashlib.sha256(plain.encode()).hexdigest()


def looks_like_token(text: str) -> bool:
    """Whether the text has a token's form; nothing else is looked up."""
    return _FORM.fullmatch(text) is not None


def looks_like_inbound_token(text: str) -> bool:
    """Whether the text has the form of an inbound URL's token, which is no API token."""
    return _INBOUND.fullmatch(text) is not None
