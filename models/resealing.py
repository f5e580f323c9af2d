"""Seal every stored secret with the first key of the ring, so that the older keys can be taken out of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from graphook import database
from graphook.database import Session, Statement
from graphook.secrets import SecretUnreadable, keyring

BATCH = 200


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table with sealed columns. A value is bound to its column and row: `<table>.<column>:<key>`. Columns may be null."""

    table: str
    columns: tuple[str, ...]
    key: str = "id"

    def page(self) -> Statement:
        """The next rows after a key, locked until the transaction ends."""
        text = f"SELECT {self.key}, {', '.join(self.columns)} FROM {self.table} WHERE {self.key} > $1 ORDER BY {self.key} LIMIT $2"
        return Statement.same(f"{text} FOR UPDATE")

    def write(self) -> Statement:
        """Write all sealed columns of the row whose key comes last."""
        assignments = ", ".join(f"{column} = ${number}" for number, column in enumerate(self.columns, 1))
        return Statement.same(f"UPDATE {self.table} SET {assignments} WHERE {self.key} = ${len(self.columns) + 1}")


# Every table that holds sealed values; a test looks for one that is missing.
SEALED = (
    Sealed("endpoint", ("headers", "secret", "old_secrets")),
    Sealed("inbound", ("token", "secret"), key="app_id"),
    Sealed("oauth_state", ("verifier",), key="hash"),
    Sealed("token", ("sealed",)),
    Sealed("transformation", ("variables",), key="endpoint_id"),
)


@dataclass(slots=True)
class Progress:
    """How far it is with a table: rows seen and values sealed anew, and the places of values that no key of the ring reads."""

    table: str
    rows: int = 0
    resealed: int = 0
    unreadable: list[str] = field(default_factory=list)


async def reseal() -> AsyncIterator[Progress]:
    """Go through every sealed value, a transaction per batch; the progress of its table after each, the same one brought up to date.

    Safe to repeat and to break off: what is sealed with the first key already is left as it is.
    """
    for sealed in SEALED:
        progress = Progress(sealed.table)
        after = ""
        while True:
            async with database.transaction() as session:
                rows = await session.fetch(sealed.page(), after, BATCH)
                for row in rows:
                    values = {column: row[column] for column in sealed.columns}
                    await _reseal_row(session, sealed, row[sealed.key], values, progress)
            progress.rows += len(rows)
            yield progress
            if len(rows) < BATCH:
                break
            after = rows[-1][sealed.key]


async def _reseal_row(session: Session, sealed: Sealed, row_id: str, values: dict[str, str | None], progress: Progress) -> None:
    ring = keyring()
    changed = 0
    for column, value in values.items():
        if value is None or not ring.needs_rotation(value):
            continue
        context = f"{sealed.table}.{column}:{row_id}"
        try:
            values[column] = ring.encrypt(ring.decrypt(value, context), context)
            changed += 1
        except SecretUnreadable:
            progress.unreadable.append(context)
    if changed:
        await session.fetch(sealed.write(), *values.values(), row_id)
        progress.resealed += changed
