"""How many of something each organisation holds at once in this process, up to a limit, and each of its applications up to a share of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from graphook.errors import LimitExceeded


def share(most: int) -> int:
    """How many of what an organisation may have the tokens of one application may: a quarter, and four at least, or a customer could leave nothing to the others."""
    return min(most, max(most // 4, 4))


class Seats:
    """Room for `most` of `what` (a plural) for each organisation."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._held: Counter[str] = Counter()
        self._held_by_apps: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """How many are held now, by all organisations together. Thread-safe."""
        return sum(list(self._held.values()))

    @contextmanager
    def held(self, org_id: str, app_id: str | None = None) -> Iterator[None]:
        """Hold one for an organisation; `app_id` says that a token of that application does. Raises `LimitExceeded` when it has no more."""
        if app_id is not None and self._held_by_apps[app_id] >= share(self._most):
            raise LimitExceeded(f"The tokens of an application have at most {share(self._most)} {self._what} at once in a process.")
        if self._held[org_id] >= self._most:
            raise LimitExceeded(f"An organisation has at most {self._most} {self._what} at once in a process.")
        holding = [(self._held, org_id)] if app_id is None else [(self._held, org_id), (self._held_by_apps, app_id)]
        for held, key in holding:
            held[key] += 1
        try:
            yield
        finally:
            for held, key in holding:
                held[key] -= 1
                if not held[key]:
                    del held[key]
