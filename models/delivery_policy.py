"""An endpoint's own choices of how it is delivered to; what it leaves open is inherited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """What an endpoint chose; None is inherited. `retry_schedule` is in seconds; `no_retry_on` holds statuses (`404`) and classes (`4xx`)."""

    retry_schedule: Sequence[float] | None = None
    no_retry_on: Sequence[str] | None = None
    max_in_flight: int | None = None
    ordered: bool | None = None
    breaker: bool | None = None

    @classmethod
    def read(cls, text: str | None) -> Self:
        """The policy in an endpoint's JSON column, without what only a newer version knows."""
        if text is None:
            return cls()
        return cls(**{name: value for name, value in orjson.loads(text).items() if name in cls.__slots__})


def merged(policy: Mapping[str, Any] | None, changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an endpoint's column holds after changes, in which None gives a choice up; None when nothing is left."""
    return {name: value for name, value in {**(policy or {}), **changes}.items() if value is not None} or None
