"""How an endpoint is delivered to, in GraphQL."""

from __future__ import annotations

from typing import Self

import strawberry

from graphook import rules
from models.delivery_policy import DeliveryPolicy as Choices
from schema.fields import field, value

_RETRY_SCHEDULE = "Seconds to wait after each failed try, as many retries as there are numbers, none when empty."
_NO_RETRY_ON = "Statuses that are not tried again, such as 404, and classes, such as 4xx. A class leaves out 408, 425 and 429, which ask for another try."

_MAX_IN_FLIGHT = "Deliveries that are sent to it at the same time, over all processes."
_ORDERED = "Whether messages arrive in the order of their acceptance: one is in flight, and until it is final nothing later is sent. Manual resends pass."


@strawberry.type(
    description="What an endpoint chose of how it is delivered to; null is inherited from the service's settings. An addition of ours."
)
class DeliveryPolicy:
    retry_schedule: list[float] | None = field(_RETRY_SCHEDULE)
    no_retry_on: list[str] | None = field(_NO_RETRY_ON)
    max_in_flight: int | None = field(_MAX_IN_FLIGHT)
    ordered: bool | None = field(_ORDERED)

    @classmethod
    def of(cls, choices: Choices) -> Self:
        return cls(
            retry_schedule=None if choices.retry_schedule is None else list(choices.retry_schedule),
            no_retry_on=None if choices.no_retry_on is None else list(choices.no_retry_on),
            max_in_flight=choices.max_in_flight,
            ordered=choices.ordered,
        )


@strawberry.input(description="How an endpoint is delivered to: null is inherited from the service's settings. An addition of ours.")
class DeliveryPolicyIn:
    retry_schedule: list[float] | None = value(_RETRY_SCHEDULE, rules.RETRY_SCHEDULE)
    no_retry_on: list[str] | None = value(_NO_RETRY_ON, rules.NO_RETRY_ON)
    max_in_flight: int | None = value(_MAX_IN_FLIGHT, rules.MAX_IN_FLIGHT)
    ordered: bool | None = value(_ORDERED)
