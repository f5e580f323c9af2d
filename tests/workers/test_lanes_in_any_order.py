"""Lanes whatever happens in whatever order, to several claims at a time: no slot is lost, none is given twice, and all of a backlog is claimed in the end."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from workers.lanes import HELD, Lanes

LANES = "abcd"
STEPS = 300


class Engine:
    """What an engine does with its lanes, in an order that chance decides, beside the backlog as the database has it."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.slots, self.lane_slots, self.claims = chance.randint(1, 12), chance.randint(1, 12), chance.randint(1, 3)
        self.lanes = Lanes(self.slots, self.lane_slots, self.claims)
        self.backlog: Counter[str] = Counter()
        self.asked: list[dict[str, int]] = []
        self.sending: Counter[str] = Counter()
        self.recording: Counter[str] = Counter()

    def step(self) -> None:
        self.chance.choice(
            [self.accept, self.tick, self.ask, self.ask, self.find, self.find, self.fail, *[self.send] * 3, self.record, self.record]
        )()

    def accept(self) -> None:
        lane = self.chance.choice(LANES)
        if self.backlog.total() < 30:
            self.backlog[lane] += self.chance.randint(1, 12)
            self.lanes.add([lane])

    def tick(self) -> None:
        self.lanes.add(+self.backlog)

    def ask(self) -> None:
        if len(self.asked) < self.claims:
            wanted = self.lanes.choose()
            assert not [lane for lane in wanted for other in self.asked if lane in other], "a lane is asked for once at a time"
            self.asked += [wanted] if wanted else []

    def find(self, trouble: float = 0.1) -> None:
        """A claim answers: of some lanes less was found, some may have more later or once one of theirs has ended."""
        if not self.asked:
            return
        wanted = self.asked.pop(self.chance.randrange(len(self.asked)))
        less, later, full = ({lane for lane in wanted if self.chance.random() < trouble} for _ in range(3))
        found = +Counter({lane: min(count - (lane in less), self.backlog[lane]) for lane, count in wanted.items()})
        later -= full
        self.backlog -= found
        self.sending += found
        more = [lane for lane in found if found[lane] == wanted[lane] and lane not in full | later]
        self.lanes.claimed(wanted, found, more=more, later=dict.fromkeys(later, 0.0), full=full)

    def fail(self) -> None:
        if self.asked:
            wanted = self.asked.pop()
            self.lanes.claimed(wanted, {}, more=wanted)

    def send(self) -> None:
        if +self.sending:
            lane = self.chance.choice(sorted(+self.sending))
            self.sending[lane] -= 1
            self.recording[lane] += 1
            self.lanes.sent(lane)

    def record(self) -> None:
        if +self.recording:
            lane = self.chance.choice(sorted(+self.recording))
            self.recording[lane] -= 1
            self.lanes.recorded(lane)

    def keeps_its_limits(self) -> bool:
        asked = sum((Counter(wanted) for wanted in self.asked), Counter[str]())
        held = self.sending + self.recording
        return (
            (self.lanes.sending, self.lanes.held) == (self.sending.total(), held.total())
            and self.sending.total() + asked.total() <= self.slots
            and held.total() + asked.total() <= HELD * self.slots
            and all(self.sending[lane] + asked[lane] <= self.lane_slots for lane in LANES)
            and all(held[lane] + asked[lane] <= HELD * self.lane_slots for lane in LANES)
        )

    def come_to_rest(self) -> None:
        """Go on without trouble until nothing is left, or for longer than that may take."""
        for _ in range(20 + 4 * self.backlog.total()):
            self.tick()
            self.ask()
            self.find(trouble=0)
            while +self.sending:
                self.send()
            while +self.recording:
                self.record()


@pytest.mark.parametrize("seed", range(0, 1000, 100))
def test_no_slot_is_lost_and_no_lane_forgotten_in_whatever_order_things_happen(seed: int) -> None:
    for number in range(seed, seed + 100):
        engine = Engine(Random(number))
        for _ in range(STEPS):
            engine.step()
            assert engine.keeps_its_limits(), f"seed {number}"
        engine.come_to_rest()
        assert (+engine.backlog, engine.asked, engine.lanes.sending, engine.lanes.held) == ({}, [], 0, 0), f"seed {number}"
