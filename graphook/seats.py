"""How many of something each organisation holds at once in this process, up to a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from graphook.errors import LimitExceeded


class Seats:
    """Room for `most` of `what` (a plural) for each key."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._held: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """How many are held now, by all keys together. Thread-safe."""
        return sum(list(self._held.values()))

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Hold one for the key. Raises `LimitExceeded` when it has no more."""
        if self._held[key] >= self._most:
            raise LimitExceeded(f"An organisation has at most {self._most} {self._what} at once in a process.")
        self._held[key] += 1
        try:
            yield
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
