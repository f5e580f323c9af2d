"""How an endpoint is delivered to, in GraphQL."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Self

import strawberry

from graphook import rules
from models.delivery_policy import DeliveryPolicy as Choices
from schema.fields import field, value

_RETRY_SCHEDULE = "Seconds to wait after each failed try: as many retries as there are numbers, none when empty."
_NO_RETRY_ON = "Statuses that are not tried again, such as 404, and classes, such as 4xx. A class leaves out 408, 425 and 429, which ask for another try."

_MAX_IN_FLIGHT = "Deliveries that are sent to it at the same time, over all processes."
_ORDERED = "Whether messages arrive in the order of their acceptance: one is in flight, and until it is final nothing later is sent. Manual resends pass."

_BREAKER = "Whether deliveries stay pending, and use up no try, while most tries fail."


@strawberry.type(
    description="What an endpoint chose of how it is delivered to; null is inherited from the service's settings. An addition of ours."
)
class DeliveryPolicy:
    retry_schedule: list[float] | None = field(_RETRY_SCHEDULE)
    no_retry_on: list[str] | None = field(_NO_RETRY_ON)
    max_in_flight: int | None = field(_MAX_IN_FLIGHT)
    ordered: bool | None = field(_ORDERED)
    breaker: bool | None = field(_BREAKER)

    @classmethod
    def of(cls, choices: Choices) -> Self:
        return cls(
            retry_schedule=None if choices.retry_schedule is None else list(choices.retry_schedule),
            no_retry_on=None if choices.no_retry_on is None else list(choices.no_retry_on),
            max_in_flight=choices.max_in_flight,
            ordered=choices.ordered,
            breaker=choices.breaker,
        )


@strawberry.input(description="How an endpoint is delivered to: null is inherited from the service's settings. An addition of ours.")
class DeliveryPolicyIn:
    retry_schedule: list[float] | None = value(_RETRY_SCHEDULE, rules.RETRY_SCHEDULE)
    no_retry_on: list[str] | None = value(_NO_RETRY_ON, rules.NO_RETRY_ON)
    max_in_flight: int | None = value(_MAX_IN_FLIGHT, rules.MAX_IN_FLIGHT)
    ordered: bool | None = value(_ORDERED)
    breaker: bool | None = value(_BREAKER)


@strawberry.enum(description="How an endpoint is doing. An addition of ours.")
class EndpointState(Enum):
    HEALTHY = strawberry.enum_value("healthy", description="Nothing has failed since its last success.")
    FAILING = strawberry.enum_value("failing", description="Nothing has succeeded since a failure.")
    OPEN = strawberry.enum_value("open", description="Its breaker keeps deliveries pending.")
    HALF_OPEN = strawberry.enum_value("half_open", description="Its breaker lets a few deliveries through, to see.")


@strawberry.type(
    description="How an endpoint is doing: FAILING since its last success; OPEN while its breaker keeps deliveries pending, HALF_OPEN while it "
    "lets a few through to see. An addition of ours."
)
class EndpointHealth:
    state: EndpointState = field("How it is doing, in a word.")
    failing_since: datetime | None = field("When the present run of failures began.")
    open_until: datetime | None = field("When the breaker lets a try through again.")
