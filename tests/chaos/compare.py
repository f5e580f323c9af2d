"""After a run: the ledgers of publisher and receivers against what the database says.

A pair is a message and an endpoint that listened when it was accepted.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from models.delivery import State
from tests.chaos.ledger import Ledger

Pair = tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """What does not agree. Each of the six counts must be zero after a run without faults; with them, duplicates are bounded.

    lost: acknowledged pairs that no receiver ever took. duplicates: times a receiver took a pair again. unrecorded: requests that arrived
    and have no attempt row. phantom: successes in the database that no receiver gave. bad_signature, corrupt: requests that do not verify,
    or whose body is not the one that was accepted.
    """

    lost: int
    duplicates: int
    unrecorded: int
    phantom: int
    bad_signature: int
    corrupt: int
    # For the bounds of a row: how much there was, and how often a process died over a request.
    pairs: int
    receipts: int
    attempts: int
    interrupted: int
    late: int
    unexplained: int

    @property
    def faults(self) -> dict[str, int]:
        """The columns that are not zero, duplicates aside."""
        columns = ("lost", "unrecorded", "phantom", "bad_signature", "corrupt")
        return {name: getattr(self, name) for name in columns if getattr(self, name)}

    def __str__(self) -> str:
        return (
            f"{self.pairs} deliveries: lost {self.lost}, duplicates {self.duplicates}, unrecorded {self.unrecorded}, "
            f"phantom {self.phantom}, bad signatures {self.bad_signature}, corrupt {self.corrupt}; {self.interrupted} interrupted, "
            f"{self.late} timed out"
        )


async def rows(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a query of the test's own answers, read beside the service."""
    if database_url.startswith("sqlite"):
        connection = sqlite3.connect(database_url.removeprefix("sqlite://"), timeout=20)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
    connection = await asyncpg.connect(database_url, timeout=20)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def compare(published: Ledger, received: Ledger, database_url: str, endpoints: dict[str, str]) -> Comparison:
    """Compare both ledgers with the database. `endpoints`: endpoint id → the name it has in the ledgers."""
    acknowledged = {entry["message"]: entry for entry in published.entries()}
    expected = {(message, name) for message, entry in acknowledged.items() for name in entry["endpoints"]}
    receipts = list(received.entries())
    attempts = await rows(database_url, "SELECT message_id, endpoint_id, status, response_status_code, error_code FROM attempt")
    deliveries = await rows(database_url, f"SELECT message_id, endpoint_id FROM delivery WHERE state = {int(State.SUCCEEDED)}")
    return _compare(acknowledged, expected, receipts, attempts, deliveries, endpoints)


def _compare(
    acknowledged: dict[str, dict[str, Any]],
    expected: set[Pair],
    receipts: Sequence[dict[str, Any]],
    attempts: Sequence[tuple[Any, ...]],
    deliveries: Sequence[tuple[Any, ...]],
    names: dict[str, str],
) -> Comparison:
    arrived = Counter((r["message"], r["endpoint"]) for r in receipts)
    taken = Counter((r["message"], r["endpoint"]) for r in receipts if 200 <= r["status"] <= 299)
    recorded = Counter((message, names[endpoint]) for message, endpoint, *_ in attempts)
    successes = Counter((message, names[endpoint]) for message, endpoint, status, *_ in attempts if status == 0)
    interrupted = Counter((message, names[endpoint]) for message, endpoint, *_, error in attempts if error == "interrupted")
    late = Counter((message, names[endpoint]) for message, endpoint, *_, error in attempts if error == "timeout")
    unbacked = sum((message, names[endpoint]) not in successes for message, endpoint in deliveries)
    again = {pair: count - 1 for pair, count in taken.items() if count > 1}
    return Comparison(
        lost=len(expected - taken.keys()),
        duplicates=sum(again.values()),
        unrecorded=sum((arrived - recorded).values()),
        phantom=sum((successes - taken).values()) + unbacked,
        bad_signature=sum(not r["verified"] for r in receipts),
        corrupt=sum(r["message"] in acknowledged and r["sha256"] != acknowledged[r["message"]]["sha256"] for r in receipts),
        pairs=len(expected),
        receipts=len(receipts),
        attempts=len(attempts),
        interrupted=sum(interrupted.values()),
        late=sum(late.values()),
        # A pair that was taken twice must show why: an attempt that was interrupted or timed out, or several that are recorded as taken.
        unexplained=sum(not interrupted[pair] and not late[pair] and successes[pair] < taken[pair] for pair in again),
    )
