"""What a process of the service sets up for itself."""

from __future__ import annotations

import subprocess
import sys

LIFT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))
from graphook.process import lift_file_limit
lift_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(hard: str) -> str:
    return subprocess.run([sys.executable, "-c", LIFT.format(hard=hard)], capture_output=True, text=True, check=True).stdout.strip()


def test_a_process_opens_as_many_files_as_the_system_lets_it() -> None:
    assert limits_after("300") == "300 300"


def test_a_process_that_may_open_no_more_files_starts_all_the_same() -> None:
    assert limits_after("100") == "100 100"
