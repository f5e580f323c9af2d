"""The lanes of an engine: endpoints that may have something ready, in turn, and how much of it there is room for."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Iterable, Mapping

# What one claim takes. Fewer lanes than `SHARED` are not worth a claim each where several are made at a time.
PER_CLAIM = 64
PER_LANE = 20
SHARED = 8
# The last part of the slots is for endpoints to which nothing is being sent, one delivery each: those that hang cannot take everything.
RESERVE = 0.25
# At most so many times as many deliveries as slots, in all and of one lane, are held: sent, or waiting for their result to be recorded.
HELD = 2


class Lanes:
    """What may be claimed. `slots` deliveries are sent at the same time, `lane_slots` of them to one endpoint, and `claims` made.

    A delivery has a slot from when it is asked for until the receiver has answered. Until its result is recorded it is still held.
    """

    def __init__(self, slots: int, lane_slots: int, claims: int) -> None:
        self._slots = slots
        self._lane_slots = lane_slots
        self._claims = claims
        self.ready: dict[str, None] = {}
        self._later: list[tuple[float, str]] = []
        self._deferred: set[str] = set()
        # Those that are being asked for, with whether somebody woke them meanwhile: another claim would find their rows locked.
        self._asked: dict[str, bool] = {}
        # They wait for room, and for a delivery of theirs to be recorded.
        self._blocked: set[str] = set()
        self._full: set[str] = set()
        # Of those without room: they wait for more than the last part of the slots, whoever gives it back.
        self._short: dict[str, None] = {}
        # Of those that are being asked for: one of theirs was recorded meanwhile, which the database may not have seen yet when it answered.
        self._ended: set[str] = set()
        self._taken: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._slots_taken = 0
        self.sending = 0
        self.held = 0

    def add(self, lanes: Iterable[str]) -> None:
        """They may have something ready. What was put off comes up by itself: a wake-up would only ask again what was just refused."""
        for lane in lanes:
            if lane in self._asked:
                self._asked[lane] = True
            elif lane not in self._deferred:
                self.ready.setdefault(lane)

    def until_next(self) -> float | None:
        """Seconds until the next one that was put off comes up; None without any."""
        return self._later[0][0] - time.monotonic() if self._later else None

    def choose(self) -> dict[str, int]:
        """The next lanes in turn with how many of each to claim, within the free slots and each lane's own, which are taken until `claimed`."""
        while self._later and self._later[0][0] <= time.monotonic():
            lane = heapq.heappop(self._later)[1]
            self._deferred.discard(lane)
            self.add([lane])
        asked = self._slots_taken - self.sending
        free = min(self._slots - self._slots_taken, HELD * self._slots - self.held - asked)
        reserve = int(RESERVE * self._slots)
        most = min(PER_CLAIM, max(SHARED, (len(self.ready) + len(self._short)) // self._claims))
        wanted: dict[str, int] = {}
        while free > 0 and len(wanted) < most and (waiting := self._short if self._short and free > reserve else self.ready):
            lane = next(iter(waiting))
            self.ready.pop(lane, None)
            self._short.pop(lane, None)
            taken = self._taken[lane]
            unheld = HELD * self._lane_slots - self._held[lane]
            own = min(PER_LANE, self._lane_slots - taken, unheld)
            room = min(own, free, max(free - reserve, 1 - taken))
            if room <= 0:
                self._blocked.add(lane)
                if own > 0:
                    self._short[lane] = None
                continue
            self._blocked.discard(lane)
            wanted[lane] = room
            self._asked[lane] = False
            self._taken[lane] += room
            self._slots_taken += room
            free -= room
        return wanted

    def claimed(
        self,
        wanted: Mapping[str, int],
        found: Mapping[str, int],
        *,
        more: Iterable[str] = (),
        later: Mapping[str, float] | None = None,
        full: Iterable[str] = (),
    ) -> None:
        """So many deliveries of each lane were found of those wanted: they are held, and the slots of the others are free.

        There may be `more` now, after so many seconds and not before (`later`), or once a delivery of the lane's own is recorded (`full`). Where
        only other processes hold some of what is full, they go on, or a tick finds what they leave.
        """
        for lane, count in wanted.items():
            self._give_back(lane, count - found.get(lane, 0))
        for lane, count in found.items():
            self._held[lane] += count
            self.held += count
            self.sending += count
        for lane, seconds in (later or {}).items():
            self._deferred.add(lane)
            heapq.heappush(self._later, (time.monotonic() + seconds, lane))
        full = set(full)
        self._full.update(lane for lane in full - self._ended if self._held[lane])
        woken = [lane for lane in wanted if self._asked.pop(lane) or lane in full & self._ended]
        self._ended.difference_update(wanted)
        self.add(more)
        self.add(woken)

    def sent(self, lane: str) -> None:
        """A delivery of it needs its slot no more."""
        self.sending -= 1
        self._give_back(lane, 1)

    def recorded(self, lane: str) -> None:
        """A delivery of it is held no more."""
        self.held -= 1
        self._held[lane] -= 1
        if not self._held[lane]:
            del self._held[lane]
        if lane in self._asked:
            self._ended.add(lane)
        if lane in self._full:
            self._full.discard(lane)
            self.add([lane])
        self._unblock(lane)

    def _give_back(self, lane: str, count: int) -> None:
        if not count:
            return
        self._slots_taken -= count
        self._taken[lane] -= count
        if not self._taken[lane]:
            del self._taken[lane]
        self._unblock(lane)

    def _unblock(self, lane: str) -> None:
        if lane in self._blocked:
            self._blocked.discard(lane)
            self.add([lane])
