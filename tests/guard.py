"""Runs one throw-away server until standard input closes, then stops it and removes its folder.

A process of its own, because a test run that is killed cleans nothing up, while its end of the pipe closes whatever happens to it.
Called as `guard.py USER FOLDER COMMAND…`; an empty user is the one who calls. What the server says is in FOLDER/log.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

LOOK_EVERY = 0.2
STOP_WITHIN = 15.0


def identity(user: str) -> dict[str, Any]:
    """The arguments with which `subprocess` becomes that user, and nothing more than that user."""
    return {"user": user, "group": _group(user), "extra_groups": []} if user else {}


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def main(user: str, folder: str, *command: str) -> int:
    """Run the server. 0 when it was stopped because the caller is done, 1 when it ended by itself (its folder is left to be read)."""
    with Path(folder, "log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **identity(user))
    try:
        while server.poll() is None:
            if select.select([sys.stdin], [], [], LOOK_EVERY)[0]:
                break
        else:
            return 1
    finally:
        _stop(server)
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _stop(server: subprocess.Popen[bytes]) -> None:
    """SIGINT is the quick and orderly stop of PostgreSQL and of Redis; on SIGTERM PostgreSQL waits for its clients to leave."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_WITHIN)
    if server.poll() is None:
        server.kill()
        server.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(*sys.argv[1:]))
