"""Ids: their form, their order, and the time in them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphook.ids import PREFIXES, end_id, id_time, is_id, new_id, start_id, starts_with_prefix

MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


@given(MOMENTS)
def test_an_id_carries_its_time_to_four_milliseconds(moment: datetime) -> None:
    found = id_time(new_id("msg_", moment))

    assert timedelta(0) <= moment - found < timedelta(milliseconds=4)


@given(MOMENTS, MOMENTS)
def test_byte_order_is_time_order(one: datetime, other: datetime) -> None:
    early, late = sorted((one, other))
    if late - early >= timedelta(milliseconds=4):
        assert new_id("msg_", early) < new_id("msg_", late)


@given(MOMENTS)
def test_the_bounds_of_a_moment_enclose_its_ids(moment: datetime) -> None:
    assert start_id("msg_", moment) <= new_id("msg_", moment) <= end_id("msg_", moment)
    assert end_id("msg_", moment) < start_id("msg_", moment + timedelta(milliseconds=4))


def test_ids_of_one_moment_follow_each_other_and_never_repeat() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [new_id("msg_", moment) for _ in range(5000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_of_one_kind_follow_each_other_whatever_others_are_made_between() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    ids = []
    for _ in range(50):
        ids.append(new_id("msg_", moment))
        new_id("atmpt_", moment - timedelta(seconds=1))

    assert ids == sorted(ids)


@pytest.mark.parametrize(
    "text",
    ["", "msg_", "msg_" + "0" * 26, "msg_" + "0" * 28, "app_" + "0" * 27, "msg_" + "!" * 27, "msg_" + "z" * 27, "msg_" + "0" * 26 + "\n"],
)
def test_what_is_no_id_of_a_kind_is_recognised(text: str) -> None:
    assert not is_id(text, "msg_")


def test_every_prefix_is_recognised_at_the_beginning_of_a_uid() -> None:
    for prefix in PREFIXES:
        assert is_id(new_id(prefix), prefix)
        assert starts_with_prefix(prefix + "x")
    assert not starts_with_prefix("customer-app_1")


FORK = r"""
import os
from graphook.clock import now
from graphook.ids import new_id
at = now()
new_id("msg_", at)  # random bytes are in store
child = os.fork()
os.write(1, f"{new_id('msg_', at)}\n".encode())
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_process_makes_other_ids() -> None:
    first, second = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True).stdout.split()
    assert first != second
