"""Where the command line begins: Ctrl-C while it is being loaded, some tenths of a second, ends it as quietly as later."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command that was given; the exit status is that of `graphook.cli.main`."""
    try:
        from graphook.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
