"""The rows of the table: each a claim, a trial that may refute it, and a result that is never better than what was tried."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from tests.chaos.field import Field, NotRun

Outcome = Literal["passed", "failed", "not run"]
Try = Callable[[Field], Awaitable[str]]
LIMIT = 900.0


@dataclass(frozen=True)
class Row:
    """A claim and how it is tried. `embedded` says that it is about the one process on SQLite and needs no server."""

    id: str
    claim: str
    attempt: Try
    embedded: bool


@dataclass(frozen=True)
class Result:
    row: Row
    outcome: Outcome
    detail: str
    seconds: float


ROWS: dict[str, Row] = {}


def row(id: str, claim: str, *, embedded: bool = False) -> Callable[[Try], Try]:
    """Register a trial. It answers with what it measured, raises AssertionError with what was wrong, or `NotRun` with what is missing."""

    def register(attempt: Try) -> Try:
        assert id not in ROWS, id
        ROWS[id] = Row(id, claim, attempt, embedded)
        return attempt

    return register


async def run_row(row: Row, field: Field) -> Result:
    """Try one row; whatever goes wrong is the row's failure and nobody else's."""
    begin = time.monotonic()
    outcome: Outcome
    try:
        if not row.embedded and (field.postgres is None or field.redis is None):
            raise NotRun("PostgreSQL or Redis is missing")
        async with asyncio.timeout(LIMIT):
            outcome, detail = "passed", await row.attempt(field)
    except NotRun as missing:
        outcome, detail = "not run", str(missing)
    except Exception as error:
        outcome, detail = "failed", f"{error}" if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        field.tell("".join(traceback.format_exception(error)))
    return Result(row, outcome, detail, time.monotonic() - begin)
