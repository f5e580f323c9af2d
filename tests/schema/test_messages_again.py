"""What becomes of a batch some of whose event types have changed while it was accepted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from graphook.errors import GraphookError, InvalidInput, Overloaded
from models.message import Accepted, Unchecked
from resolvers import new_message


class Accept:
    """Accepts all but those of changed event types, and is full the second time."""

    def __init__(self, second: GraphookError | None) -> None:
        self.second = second
        self.calls: list[int] = []

    async def submit_all(self, items: list[Any]) -> list[Any]:
        self.calls.append(len(items))
        if len(self.calls) == 1:
            return [Unchecked(item.event_type) if item.event_type == "changed" else Accepted("msg_1", "app_1") for item in items]
        if self.second is not None:
            raise self.second
        return [Accepted("msg_2", "app_1") for _ in items]


@pytest.mark.parametrize(
    ("learned", "second", "outcome"),
    [
        (None, None, Accepted("msg_2", "app_1")),
        (None, Overloaded("5000 others wait to be written."), "OVERLOADED"),
        (InvalidInput("Nothing can be held against the schema."), None, "BAD_USER_INPUT"),
    ],
)
async def test_what_goes_wrong_the_second_time_is_told_of_those_alone_that_it_was_for(
    learned: GraphookError | None, second: GraphookError | None, outcome: Any
) -> None:
    class Checks:
        async def learn(self, *_: Any) -> None:
            if learned is not None:
                raise learned

        async def hold(self, *_: Any) -> None:
            pass

    services = SimpleNamespace(accept=Accept(second), payload_checks=Checks())
    info: Any = SimpleNamespace(context=SimpleNamespace(services=services, caller=SimpleNamespace(org_id="org_1")))
    data: Any = SimpleNamespace(application=None, raw_payload=None)
    items: list[Any] = [(SimpleNamespace(org_id="org_1", event_type=name), data, ("inputs", "0")) for name in ("changed", "same", "same")]

    changed, *others = await new_message.accept(info, items)

    assert others == [Accepted("msg_1", "app_1")] * 2
    assert (changed.code if isinstance(changed, GraphookError) else changed) == outcome
