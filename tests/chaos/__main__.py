"""`python -m tests.chaos`: try every row, say how each goes, and write the table of the documentation."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests import servers as given
from tests.chaos import report, servers, trials
from tests.chaos.field import Field
from tests.chaos.rows import ROWS, Result, run_row


def main() -> int:
    """0 when no row failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Break things on purpose and compare the ledgers.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="ids of rows, such as R1 I4; all when none is given")
    parser.add_argument("--scale", type=float, default=0.02, help="part of the full counts to do; 1 is everything")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reference/guarantees.md")
    parser.add_argument("--verbose", action="store_true", help="say more on the way")
    arguments = parser.parse_args()
    wanted = arguments.rows or [row.id for row in report.in_order(ROWS.values())]
    unknown = [name for name in wanted if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    # Asked to stop, a run puts its servers and processes away as it does at Control-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    results: list[Result] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="graphook-chaos-", ignore_cleanup_errors=True)))
        tell = (lambda text: print(f"    {text}", flush=True)) if arguments.verbose else (lambda text: None)
        field = Field(folder, arguments.scale, tell=tell)
        try:
            field.postgres = stack.enter_context(servers.postgresql())
            field.redis = stack.enter_context(servers.redis())
        except given.Missing as missing:
            print(missing, file=sys.stderr)
        for number, name in enumerate(wanted, 1):
            print(f"[{number}/{len(wanted)}] {name}  {ROWS[name].claim}", flush=True)
            result = asyncio.run(run_row(ROWS[name], field))
            results.append(result)
            print(f"    {result.outcome} after {result.seconds:.0f} s: {result.detail}", flush=True)
            if arguments.write:
                report.write(results, arguments.scale)
    print(report.summary(results, time.monotonic() - begin))
    return 1 if any(result.outcome == "failed" for result in results) else 0


if __name__ == "__main__":
    assert trials.MODULES, "imported, so that the rows are registered"
    sys.exit(main())
