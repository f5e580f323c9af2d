"""Secrets at rest: AES-256-GCM under a ring of keys, each value bound to the row and column it belongs to."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIN_KEY_LENGTH = 32
_NONCE = 12
# How many sealed texts are remembered with what they hold, and of what length at most: tenants choose it.
_REMEMBERED = 4096
_REMEMBERED_LENGTH = 2048


class SecretUnreadable(Exception):
    """A stored secret cannot be read: its key is not in the ring, or the value belongs to another row."""


class KeyRing:
    """Encrypts with the first key, decrypts with whichever key a value names. A key is a text of at least 32 characters."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("a key ring needs at least one key")
        if any(len(key) < MIN_KEY_LENGTH for key in keys):
            raise ValueError(f"a secret key has at least {MIN_KEY_LENGTH} characters")
        self._ciphers = {}
        for key in keys:
            derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"graphook secrets at rest").derive(key.encode())
            self._ciphers[hashlib.sha256(derived).hexdigest()[:8]] = AESGCM(derived)
        self._primary = next(iter(self._ciphers))
        self._decrypt = lru_cache(maxsize=_REMEMBERED)(self._decrypt_uncached)

    def encrypt(self, plain: str, context: str) -> str:
        """The sealed form `k<key id>:<base64>`, readable again only with the same context (row and column)."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._ciphers[self._primary].encrypt(nonce, plain.encode(), context.encode())
        return f"k{self._primary}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, sealed: str, context: str) -> str:
        """The plain text. Raises `SecretUnreadable`."""
        return self._decrypt(sealed, context) if len(sealed) <= _REMEMBERED_LENGTH else self._decrypt_uncached(sealed, context)

    def needs_rotation(self, sealed: str) -> bool:
        """Whether a value is sealed with another key than the first."""
        return not sealed.startswith(f"k{self._primary}:")

    def holds_key_of(self, sealed: str) -> bool:
        """Whether the key that a value names is in the ring; its beginning is enough."""
        return sealed.partition(":")[0].removeprefix("k") in self._ciphers

    def _decrypt_uncached(self, sealed: str, context: str) -> str:
        name, _, encoded = sealed.partition(":")
        cipher = self._ciphers.get(name.removeprefix("k"))
        if cipher is None:
            raise SecretUnreadable(f"no key {name.removeprefix('k')!r} is in GRAPHOOK_SECRET_KEY; add the key that sealed {context}")
        try:
            raw = base64.b64decode(encoded)
            return cipher.decrypt(raw[:_NONCE], raw[_NONCE:], context.encode()).decode()
        except (InvalidTag, ValueError) as error:  # too short, or no base64
            raise SecretUnreadable(f"the value of {context} was altered or belongs to another row") from error


_installed: KeyRing | None = None


def install(ring: KeyRing) -> None:
    """Make this the process's key ring."""
    global _installed
    _installed = ring


def keyring() -> KeyRing:
    """The process's key ring."""
    if _installed is None:
        raise RuntimeError("no key ring is installed; call graphook.secrets.install at start")
    return _installed


def seal(column: str, row: str, text: str) -> str:
    """The text as a column, named `table.column`, keeps it: encrypted, and readable again only from this column of this row."""
    return keyring().encrypt(text, f"{column}:{row}")


def unseal(column: str, row: str, sealed: str) -> str:
    """The text that was sealed for that column of that row. Raises `SecretUnreadable`."""
    return keyring().decrypt(sealed, f"{column}:{row}")
