"""Stories of starting to serve."""

from __future__ import annotations

import pytest

from graphook.app import listen
from graphook.process import CannotStart


def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotStart, match=rf"port {port}: Address already in use\."):
            listen("127.0.0.1", port)
