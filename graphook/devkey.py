"""Secrets of loopback development, kept in files beside the database that only their owner can read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """The text kept at `path` (mode 0600), made when there is none. What is no text is read as one that nobody made."""
    try:
        return path.read_text(errors="replace").strip()
    except FileNotFoundError:
        return replace_secret(path, make())


def replace_secret(path: Path, text: str) -> str:
    """Keep a new text at `path`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
    return text
