"""An update creates what is not there: under which uid, so that the same request finds it the next time."""

from __future__ import annotations

from graphook.errors import InvalidInput, NotFound
from graphook.rules import UID
from schema.fields import check_value


def uid_of_new(missing: NotFound, reference: str, uid: str | None, prefix: str) -> str:
    """The uid of what an update creates, which is the reference it was asked for by.

    Raises `missing` for an id of ours: those are made here, never taken over. Raises `InvalidInput` for what cannot be a uid, and for an input
    that has another uid.
    """
    if reference.startswith(prefix):
        raise missing
    check_value(UID, reference, ("id",))
    if uid not in (None, reference):
        raise InvalidInput("There is nothing with this id; to create it, the uid must be the same as the id, or null.", ("input", "uid"))
    return reference


def uid_of_changed(reference: str, old: str | None, new: str | None) -> str | None:
    """The uid of what an update changes: null keeps the one that it was found by."""
    return old if new is None and old == reference else new
