"""The clock that SQLite's statements ask."""

from __future__ import annotations

import time

import pytest

from graphook.sqlite import MonotonicClock

SECOND = 1_000_000_000


def test_the_clock_of_sqlite_goes_on_more_slowly_while_the_wall_clock_is_behind_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, passed = 1000 * SECOND, 0
    monkeypatch.setattr(time, "time_ns", lambda: wall)
    monkeypatch.setattr(time, "monotonic_ns", lambda: passed)
    clock = MonotonicClock()
    assert clock() == 1_000_000_000

    wall, passed = 1100 * SECOND, 10 * SECOND
    assert clock() == 1_100_000_000, "set forward"
    wall, passed = 1020 * SECOND, 20 * SECOND
    assert clock() == 1_105_000_000, "set back"
    wall, passed = 1120 * SECOND, 120 * SECOND
    assert clock() == 1_155_000_000
    wall, passed = 1320 * SECOND, 320 * SECOND
    assert clock() == 1_320_000_000, "caught up with"
