"""How many an organisation and each of its applications hold at once."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from graphook.errors import LimitExceeded
from graphook.seats import Seats, share


def test_the_tokens_of_an_application_leave_room_for_the_others_of_their_organisation() -> None:
    seats = Seats(20, "subscriptions")
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(seats.held("org_a", "app_a"))
        with pytest.raises(LimitExceeded, match="The tokens of an application have at most 5 subscriptions at once"):
            held.enter_context(seats.held("org_a", "app_a"))
        held.enter_context(seats.held("org_a", "app_b"))
        for _ in range(14):
            held.enter_context(seats.held("org_a"))
        for app_id in (None, "app_b"):
            with pytest.raises(LimitExceeded, match="An organisation has at most 20 subscriptions at once"):
                held.enter_context(seats.held("org_a", app_id))
        held.enter_context(seats.held("org_b"))
        assert seats.taken == 21

    assert seats.taken == 0
    with seats.held("org_a", "app_a"):
        assert seats.taken == 1


@pytest.mark.parametrize(("most", "least"), [(1, 1), (4, 4), (15, 4), (16, 4), (20, 5), (1000, 250)])
def test_a_share_is_a_quarter_but_a_few_at_least(most: int, least: int) -> None:
    assert share(most) == least
