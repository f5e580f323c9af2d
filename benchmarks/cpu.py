"""CPU time and memory of processes and all their descendants, from /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> list[int]:
    """A process and its living descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def parent(pid: int) -> int:
    """The parent of a living process."""
    return _parents()[pid]


def seconds(root: int) -> float:
    """CPU seconds that a process tree has used so far; a child that ended counts in the parent that waited for it."""
    return sum(sum(int(field) for field in stat[11:15]) for pid in tree(root) if (stat := _stat(pid)) is not None) / _TICK


def resident_bytes(root: int) -> int:
    """Memory of a process tree that is in RAM; what processes share counts in each."""
    return sum(int(stat[21]) * _PAGE for pid in tree(root) if (stat := _stat(pid)) is not None)


class Noise:
    """What others took of the machine since it was made."""

    def __init__(self) -> None:
        self._busy, self._total, self._stolen, self._ours = *_machine(), seconds(os.getpid())

    def others(self) -> float:
        """The share of the machine's cores that processes other than ours used, from 0 to 1; what a hypervisor took is among it."""
        busy, total, _ = _machine()
        ours = seconds(os.getpid()) - self._ours
        return max(0.0, (busy - self._busy - ours) / (total - self._total))

    def stolen(self) -> float:
        """Seconds of its cores that a hypervisor took while they had something to do: nothing ran there then, and latencies have such a pause in them."""
        return _machine()[2] - self._stolen


def _machine() -> tuple[float, float, float]:
    """Busy, all and stolen CPU seconds of the machine since it started; what a hypervisor took is busy."""
    fields = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    user, nice, system, idle, waiting, interrupts, soft_interrupts, stolen = (int(field) / _TICK for field in fields)
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    return busy, busy + idle + waiting, stolen


class Meter:
    """CPU seconds by group of processes from when it was made."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        self._before = {name: seconds(root) for name, root in self._roots.items()}

    def read(self) -> dict[str, float]:
        """CPU seconds of each group since."""
        return {name: seconds(root) - self._before[name] for name, root in self._roots.items()}


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            found[int(entry.name)] = int(stat[1])
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the command's name, from the state on; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
