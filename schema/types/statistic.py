"""Statistics in GraphQL."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Self

import strawberry

from graphook import rules
from models.application import Application
from models.statistic import STEP, Series, Standing
from schema.fields import field, required, value
from schema.scalars import Int64
from schema.types.task import BackgroundTaskPayload


@strawberry.enum(description="How long the periods of a statistic are (component StatisticsPeriod).")
class StatisticsPeriod(enum.Enum):
    ONE_DAY = strawberry.enum_value("OneDay", description="Days, in UTC.")
    FIVE_MINUTES = strawberry.enum_value("FiveMinutes", description="Five minutes.")


@strawberry.type(description="Attempts per period, the first period first (component AttemptStatisticsData).")
class AttemptStatisticsData:
    success_count: list[int] | None = field("How many succeeded in each period.")
    failure_count: list[int] | None = field("How many failed in each period.")


@strawberry.type(description="Attempts by time (component AttemptStatisticsResponse). A recorded attempt is in it a second or two later.")
class AttemptStatistics:
    start_date: datetime = field("When the first period begins.")
    end_date: datetime = field("When the last period ends.")
    period: StatisticsPeriod = field("How long each period is: five minutes for a day and less, else a day.")
    data: AttemptStatisticsData = field("The counts.")

    @classmethod
    def of(cls, series: Series) -> Self:
        return cls(
            start_date=series.start,
            end_date=series.end,
            period=StatisticsPeriod.FIVE_MINUTES if series.width == STEP else StatisticsPeriod.ONE_DAY,
            data=AttemptStatisticsData(success_count=series.succeeded, failure_count=series.failed),
        )


@strawberry.type(description="How many messages of a time stand how with an endpoint (component EndpointStats).")
class EndpointStats:
    success: Int64 = field("They were delivered.")
    pending: Int64 = field("They wait for their first attempt.")
    sending: Int64 = field("They are being sent, or wait for another attempt.")
    fail: Int64 = field("Nothing more will be tried.")
    canceled: Int64 = field("Nothing more will be sent, for a reason that is none of the receiver's.")

    @classmethod
    def of(cls, standing: Standing) -> Self:
        return cls(
            success=Int64(standing.success),
            pending=Int64(standing.pending),
            sending=Int64(standing.sending),
            fail=Int64(standing.fail),
            canceled=Int64(standing.canceled),
        )


@strawberry.type(description="How much an application sent in a time (component ApplicationStats).")
class ApplicationStats:
    app_id: strawberry.ID = field("The application's id.")
    app_uid: str | None = field("Your own id for it.")
    message_destinations: Int64 = field(
        "Messages times the endpoints they were sent to, each counted once, at its first attempt; to five minutes."
    )

    @classmethod
    def of(cls, app: Application, destinations: int) -> Self:
        return cls(app_id=strawberry.ID(app.id), app_uid=app.uid, message_destinations=Int64(destinations))


@strawberry.input(description="What to add up (component AppUsageStatsIn).")
class AppUsageStatsIn:
    since: datetime = required("From then on, to five minutes.")
    until: datetime = required("Until then, at most 366 days after since.")
    app_ids: list[str] | None = value("Only these applications, by id or uid; all when absent.", rules.APPLICATIONS, default=None)


@strawberry.type(description="What usageAggregateApplications did.")
class UsageAggregateApplicationsPayload(BackgroundTaskPayload):
    pass


@strawberry.type(description="What usageAggregateEventTypes did.")
class UsageAggregateEventTypesPayload(BackgroundTaskPayload):
    pass
