"""The results as a table for people, on the screen and in docs/reference/guarantees.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.rows import ROWS, Result

GUARANTEES = Path(__file__).parents[2] / "docs" / "reference" / "guarantees.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


def summary(results: Sequence[Result], seconds: float) -> str:
    """One line per row, and how many of each outcome."""
    lines = [f"{result.row.id:<4} {result.outcome:<8} {result.seconds:5.0f} s  {result.detail}" for result in results]
    counts = Counter(result.outcome for result in results)
    return "\n".join(["", *lines, "", ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + f" in {seconds:.0f} s"])


def table(results: Sequence[Result], scale: float, seconds: float) -> str:
    """The Markdown between the markers. A row that was not tried in this run says so."""
    by_id = {result.row.id: result for result in results}
    machine = f"{os.cpu_count()} cores ({platform.system()} {platform.machine()}, Python {platform.python_version()})"
    lines = [
        f"Run on {datetime.now(UTC):%Y-%m-%d} at commit {_commit()} with SCALE={scale:g}, in {seconds / 60:.0f} minutes, on {machine}.",
        "",
        "| Row | What is tried | Result | What was seen |",
        "|---|---|---|---|",
    ]
    for row in sorted(ROWS.values(), key=lambda row: (row.id[0] != "R", int(row.id[1:]))):
        result = by_id.get(row.id)
        outcome, detail = (result.outcome, result.detail) if result else ("not run", "left out of this run")
        lines.append(f"| {row.id} | {row.claim} | {outcome} | {_cell(detail)} |")
    return "\n".join(lines)


def write(results: Sequence[Result], scale: float, seconds: float) -> None:
    """Put the table into the documentation."""
    text = GUARANTEES.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    GUARANTEES.write_text(f"{before}{BEGIN}\n{table(results, scale, seconds)}\n{END}{after}", encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:400]


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=GUARANTEES.parents[2])
    return done.stdout.strip() or "unknown"
