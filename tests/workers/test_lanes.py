"""How much may be claimed of which endpoint: slots, the endpoints' own, and what several claims at a time share."""

from __future__ import annotations

from typing import Any

import pytest

from workers.lanes import HELD, PER_CLAIM, PER_LANE, SHARED, Lanes


def lanes(*, slots: int = 1000, lane_slots: int = 100, claims: int = 1) -> Lanes:
    return Lanes(slots, lane_slots, claims)


def claim(them: Lanes, found: int = 1, **said: Any) -> dict[str, int]:
    """A claim that finds so many of each lane, or as many as it wants."""
    wanted = them.choose()
    them.claimed(wanted, {lane: min(found, count) for lane, count in wanted.items()}, **said)
    return wanted


def test_a_claim_takes_some_of_each_lane_in_the_order_they_came() -> None:
    them = lanes()
    them.add(["a", "b"])
    them.add(["a"])

    assert list(them.choose().items()) == [("a", PER_LANE), ("b", PER_LANE)]
    assert them.choose() == {}


def test_what_is_asked_for_takes_slots_before_it_is_found() -> None:
    them = lanes(slots=10)
    them.add(["a"])
    assert them.choose() == {"a": 8}, "a quarter is for others"

    them.add(["b", "c", "d"])
    assert them.choose() == {"b": 1, "c": 1}


def test_a_lane_is_not_asked_for_twice_at_a_time_and_comes_up_again_if_somebody_woke_it_meanwhile() -> None:
    them = lanes(claims=2)
    them.add(["a", "b"])
    wanted = them.choose()
    them.add(["a"])
    assert them.choose() == {}

    them.claimed(wanted, {})

    assert list(them.choose()) == ["a"]


def test_slots_that_a_claim_did_not_need_are_free_again() -> None:
    them = lanes(lane_slots=8)
    them.add(["a"])
    assert claim(them, found=3, more=["a"]) == {"a": 8}

    assert them.choose() == {"a": 5}


def test_a_claim_that_failed_leaves_nothing_taken() -> None:
    them = lanes(lane_slots=8)
    them.add(["a"])

    them.claimed(them.choose(), {}, more=["a"])

    assert (them.held, them.choose()) == (0, {"a": 8})


def test_a_delivery_gives_its_slot_back_when_it_is_sent_and_is_held_until_it_is_recorded() -> None:
    them = lanes(slots=3)
    them.add(["a"])
    claim(them, found=3)
    them.add(["a"])
    assert (them.held, them.choose()) == (3, {})

    them.sent("a")
    assert (them.held, them.choose()) == (3, {"a": 1})

    them.recorded("a")
    assert them.held == 2


def test_no_more_is_held_than_a_few_times_the_slots_although_all_of_it_is_sent() -> None:
    them = lanes(slots=3)
    for _ in range(HELD):
        them.add(["a"])
        assert claim(them, found=3)
        for _ in range(3):
            them.sent("a")

    them.add(["a"])
    assert (them.held, them.choose()) == (3 * HELD, {})
    them.recorded("a")
    assert them.choose() == {"a": 1}


def test_no_more_is_held_however_many_claims_are_made_at_a_time() -> None:
    them = lanes(slots=3, claims=2)
    for lane, found in (("a", 3), ("b", 1)):
        them.add([lane])
        claim(them, found=found)
        for _ in range(found):
            them.sent(lane)
    assert them.held == 2 * 3 - 2

    them.add(["x"])
    assert them.choose() == {"x": 2}
    them.add(["y"])
    assert them.choose() == {}


def test_a_lane_whose_results_are_not_recorded_does_not_take_what_others_need() -> None:
    them = lanes(slots=100, lane_slots=4)
    for _ in range(HELD):
        them.add(["slow"])
        assert claim(them, found=4) == {"slow": 4}
        for _ in range(4):
            them.sent("slow")

    them.add(["slow", "other"])
    assert them.choose() == {"other": 4}
    them.recorded("slow")
    assert them.choose() == {"slow": 1}


def test_the_last_slots_are_for_lanes_to_which_nothing_is_sent_one_each() -> None:
    them = lanes(slots=8, lane_slots=8)
    them.add(["hangs"])
    assert claim(them, found=8) == {"hangs": 6}

    them.add(["hangs", "other"])

    assert them.choose() == {"other": 1}


def test_a_lane_that_the_last_slots_were_kept_from_comes_up_when_there_are_more_although_none_of_its_own_is_sent() -> None:
    them = lanes(slots=8, lane_slots=8)
    them.add(["slow"])
    assert claim(them) == {"slow": 6}
    them.add(["other"])
    assert claim(them, found=8) == {"other": 5}
    them.add(["slow"])
    assert (them.choose(), them.ready) == ({}, {}), "it is not asked for again and again"

    them.sent("other")

    assert them.choose() == {"slow": 1}


def test_what_a_claim_asks_for_and_does_not_find_keeps_no_lane_waiting() -> None:
    them = lanes(slots=8, lane_slots=4, claims=2)
    them.add(["slow"])
    claim(them)
    them.add(["a", "b", "slow", "c"])
    wanted = them.choose()
    assert wanted == {"a": 4, "b": 1, "c": 1}

    them.claimed(wanted, {})

    assert them.choose() == {"slow": 3}


def test_a_lane_without_room_comes_up_when_one_of_its_own_is_sent() -> None:
    them = lanes(lane_slots=1)
    them.add(["a"])
    claim(them)
    them.add(["a"])
    assert them.choose() == {}
    assert them.ready == {}, "it is not asked for again and again"

    them.sent("a")

    assert them.choose() == {"a": 1}


def test_a_lane_that_had_no_room_is_not_asked_for_a_second_time_when_one_of_its_own_is_sent() -> None:
    them = lanes(slots=8, lane_slots=8, claims=2)
    them.add(["other"])
    claim(them)
    them.add(["a"])
    assert claim(them, found=5) == {"a": 5}
    them.add(["a"])
    assert them.choose() == {}, "the rest is reserved"
    them.sent("other")
    them.add(["a"])
    wanted = them.choose()
    assert wanted == {"a": 1}

    them.sent("a")
    assert them.choose() == {}, "it is being asked for"

    them.claimed(wanted, wanted)
    assert them.held == 1 + 5 + 1


def test_a_full_lane_comes_up_when_one_of_its_own_is_recorded_and_not_before() -> None:
    them = lanes()
    them.add(["a"])
    claim(them, full=["a"])

    them.sent("a")
    assert them.choose() == {}
    them.recorded("a")
    assert list(them.choose()) == ["a"]


def test_a_full_lane_comes_up_although_its_last_was_recorded_before_the_claim_answered() -> None:
    """The database may have counted that one, and nothing else of the lane would bring it up."""
    them = lanes(claims=2)
    them.add(["a"])
    claim(them)
    them.add(["a"])
    wanted = them.choose()
    them.sent("a")
    them.recorded("a")

    them.claimed(wanted, {}, full=["a"])

    assert list(them.choose()) == ["a"]


def test_a_lane_that_only_others_fill_is_left_to_them() -> None:
    them = lanes()
    them.add(["a"])
    claim(them, found=0, full=["a"])
    them.add(["a"])
    claim(them)

    them.sent("a")
    them.recorded("a")

    assert them.choose() == {}


def test_what_was_put_off_is_not_asked_for_before_its_time_whoever_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("workers.lanes.time.monotonic", lambda: now)
    them = lanes()
    assert them.until_next() is None
    them.add(["a", "b"])
    claim(them, found=0, later={"a": 5, "b": 2})
    them.add(["a", "b"])
    assert (them.choose(), them.until_next()) == ({}, 2)

    now = 102.0

    assert list(them.choose()) == ["b"]
    assert them.until_next() == 3


def test_several_claims_share_the_lanes_that_are_ready_unless_they_are_few() -> None:
    them = lanes(claims=2, slots=10_000)
    them.add(str(n) for n in range(2 * SHARED + 2))
    assert [len(them.choose()), len(them.choose()), len(them.choose())] == [SHARED + 1, SHARED, 1]

    them.add(str(n) for n in range(4 * PER_CLAIM))
    assert len(them.choose()) == PER_CLAIM
