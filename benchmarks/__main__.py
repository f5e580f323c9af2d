"""`python -m benchmarks`: measure the figures, print the table and write the results."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks import cpu, report
from benchmarks.harness import Bench, Figure, running
from tests.servers import Missing, NotStarted

# In the order of the table.
FIGURES = (
    "message_create",
    "message_create_batch",
    "sustained",
    "drain",
    "transform",
    "first_byte",
    "subscribers",
    "list_messages",
    "fan_out",
    "broadcast",
    "ten_million",
    "embedded",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the arguments name. The exit status is 0 when everything was measured, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the figures on this machine.")
    parser.add_argument("--figures", default="", help=f"which, separated by commas or spaces; all when empty: {', '.join(FIGURES)}")
    parser.add_argument("--quick", action="store_true", help="a short form that shows that everything works; not for numbers")
    parser.add_argument("--rounds", type=int, help="how many runs of figure and limit the medians are of (3, quick 1)")
    parser.add_argument("--rows", type=int, help="attempts stored for ten_million (10,000,000, quick 50,000)")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder to write to")
    arguments = parser.parse_args(argv)
    names = arguments.figures.replace(",", " ").split() or FIGURES
    unknown = sorted(set(names) - set(FIGURES))
    if unknown:
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    rows = arguments.rows or (50_000 if arguments.quick else 10_000_000)
    try:
        uvloop.run(_measure(names, arguments.quick, rounds, rows, arguments.results))
    except (Missing, NotStarted) as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1
    return 0


async def _measure(names: Sequence[str], quick: bool, rounds: int, rows: int, results: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="graphook-bench-") as folder:
        async with running(Path(folder), quick=quick, rounds=rounds, rows=rows) as bench:
            found: list[Figure] = []
            machine = await report.machine(bench)
            print("\n".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
            for name in names:
                began = time.monotonic()
                print(f"measuring {name} …", end=" ", flush=True)
                found += await _one(name, bench)
                others, stolen = found[-1].details["used_by_others"], found[-1].details["stolen_s"]
                taken = f"other processes used {others:.0%} of the machine, a hypervisor took {stolen:g} s of it"
                print(f"{time.monotonic() - began:.0f} s; {taken}", flush=True)
                # Written after each, so that a run that is stopped has what it measured.
                report.write(found, machine, results)
    print(f"\n{report.table(found)}\n\nwritten to {results}/latest.json, details.json and latest.svg", flush=True)


async def _one(name: str, bench: Bench) -> list[Figure]:
    noise = cpu.Noise()
    figures: list[Figure] = await importlib.import_module(f"benchmarks.{name}").measure(bench)
    for figure in figures:
        figure.details["used_by_others"] = round(noise.others(), 2)
        figure.details["stolen_s"] = round(noise.stolen(), 2)
    return figures


if __name__ == "__main__":
    sys.exit(main())
