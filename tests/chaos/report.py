"""The results as a table for people, on the screen and in docs/reference/guarantees.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.rows import ROWS, Result, Row

GUARANTEES = Path(__file__).parents[2] / "docs" / "reference" / "guarantees.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


def summary(results: Sequence[Result], seconds: float) -> str:
    """One line per row, and how many of each outcome."""
    lines = [f"{result.row.id:<4} {result.outcome:<8} {result.seconds:5.0f} s  {result.detail}" for result in results]
    counts = Counter(result.outcome for result in results)
    return "\n".join(["", *lines, "", ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + f" in {seconds:.0f} s"])


def write(results: Sequence[Result], scale: float) -> None:
    """Put the results into the table of the documentation; rows that were not tried now keep what the table says of them."""
    text = GUARANTEES.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    earlier, _, after = rest.partition(END)
    GUARANTEES.write_text(f"{before}{BEGIN}\n{_table(results, scale, earlier)}\n{END}{after}", encoding="utf-8")


def _table(results: Sequence[Result], scale: float, earlier: str) -> str:
    kept = {line.split("|")[1].strip(): line for line in earlier.splitlines() if line.startswith("| ")}
    tried = {result.row.id: result for result in results}
    run = f"{datetime.now(UTC):%Y-%m-%d}, {_commit()}, SCALE={scale:g}"
    lines = [
        f"On {os.cpu_count()} cores ({platform.system()} {platform.machine()}, Python {platform.python_version()}).",
        "",
        "| Row | What is tried | Result | What was seen | Run |",
        "|---|---|---|---|---|",
    ]
    for row in in_order(ROWS.values()):
        result = tried.get(row.id)
        if result is not None:
            lines.append(f"| {row.id} | {row.claim} | {result.outcome} | {_cell(result.detail)} | {run} |")
        else:
            lines.append(kept.get(row.id, f"| {row.id} | {row.claim} | not run | left out so far | |"))
    return "\n".join(lines)


def in_order(rows: Iterable[Row]) -> list[Row]:
    """R1 to R19, then I1 to I8."""
    return sorted(rows, key=lambda row: (row.id[0] != "R", int(row.id[1:])))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:400]


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=GUARANTEES.parents[2])
    return done.stdout.strip() or "unknown"
