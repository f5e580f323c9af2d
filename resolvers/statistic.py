"""Operations that read and add up statistics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import strawberry

from graphook import database
from graphook.auth import Scope
from graphook.clock import now
from graphook.errors import InvalidInput
from models import statistic
from models.application import Application
from models.endpoint import Endpoint
from models.task import TaskType
from resolvers.expected import mutation
from resolvers.task import begin, start
from schema.connection import Connection, Paging, connection
from schema.context import Info
from schema.fields import check, given
from schema.types.statistic import (
    ApplicationStats,
    AppUsageStatsIn,
    AttemptStatistics,
    EndpointStats,
    UsageAggregateApplicationsPayload,
    UsageAggregateEventTypesPayload,
)
from schema.types.task import BackgroundTask

LONGEST_SERIES = timedelta(days=366)
LONGEST_STANDING = timedelta(days=28)
SLACK = timedelta(minutes=5)

StartDate = Annotated[datetime | None, strawberry.argument(description="When to begin; a day before endDate when absent.")]
EndDate = Annotated[datetime | None, strawberry.argument(description="When to end, at most 366 days later; now when absent.")]
Since = Annotated[datetime, strawberry.argument(description="From then on, to five minutes.")]
Until = Annotated[datetime, strawberry.argument(description="Until then, at most 366 days after since.")]
SinceOrEarlier = Annotated[datetime | None, strawberry.argument(description="Messages accepted at or after this; 28 days ago when absent.")]
UntilNow = Annotated[datetime | None, strawberry.argument(description="Messages accepted before this; now when absent.")]


async def of_application(info: Info, app_id: strawberry.ID, start_date: StartDate = None, end_date: EndDate = None) -> AttemptStatistics:
    """The application's attempts by time, over all of its endpoints."""
    info.context.caller.require(Scope.READ)
    app = await Application.load(info.context.caller, str(app_id))
    return await _attempts(app, None, start_date, end_date)


async def of_endpoint(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, start_date: StartDate = None, end_date: EndDate = None
) -> AttemptStatistics:
    """The endpoint's attempts by time."""
    info.context.caller.require(Scope.READ)
    app = await Application.load(info.context.caller, str(app_id))
    return await _attempts(app, await Endpoint.load(app, str(endpoint_id)), start_date, end_date)


async def standing(
    info: Info, app_id: strawberry.ID, endpoint_id: strawberry.ID, since: SinceOrEarlier = None, until: UntilNow = None
) -> EndpointStats:
    """How the messages of a time, at most 28 days, stand with the endpoint."""
    info.context.caller.require(Scope.READ)
    end = until or now()
    begin = since or max(end, datetime.min.replace(tzinfo=UTC) + LONGEST_STANDING) - LONGEST_STANDING
    _check_window(begin, end, LONGEST_STANDING, ("since",), ("until",))
    endpoint = await Endpoint.load(await Application.load(info.context.caller, str(app_id)), str(endpoint_id))
    return EndpointStats.of(await statistic.standing(endpoint.id, begin, end))


async def usage(info: Info, app_id: strawberry.ID, since: Since, until: Until) -> ApplicationStats:
    """How much the application sent in a time."""
    info.context.caller.require(Scope.READ)
    _check_window(since, until, LONGEST_SERIES, ("since",), ("until",))
    app = await Application.load(info.context.caller, str(app_id))
    return ApplicationStats.of(app, (await _usage([app], since, until))[app.id])


async def usages(
    info: Info,
    since: Since,
    until: Until,
    paging: Paging,
) -> Connection[ApplicationStats]:
    """How much each application sent in a time, by application."""
    info.context.caller.require(Scope.READ)
    _check_window(since, until, LONGEST_SERIES, ("since",), ("until",))
    request = paging.request("app_")
    found = await Application.page(info.context.caller, request)
    counts = await _usage(found.items, since, until)
    return connection(found, lambda app: ApplicationStats.of(app, counts[app.id]))


@mutation(UsageAggregateApplicationsPayload, Scope.READ, organisation=True)
async def aggregate_applications(
    info: Info, input: AppUsageStatsIn, idempotency_key: str | None = None
) -> UsageAggregateApplicationsPayload:
    """Add up how much each application sent in a time. The task's data has appStats, the first 10,000 of them, and applications, how many there are."""
    check(input)
    _check_window(input.since, input.until, LONGEST_SERIES, ("input", "since"), ("input", "until"))
    arguments = {"since": input.since.isoformat(), "until": input.until.isoformat(), "app_ids": input.app_ids}
    task = await begin(info, TaskType.APPLICATION_STATS, arguments, {"input": given(input)}, idempotency_key)
    return UsageAggregateApplicationsPayload(background_task=task)


@mutation(UsageAggregateEventTypesPayload, Scope.READ, organisation=True)
async def aggregate_event_types(info: Info) -> UsageAggregateEventTypesPayload:
    """List which event types each application's endpoints ask for. The task's data has eventTypes, the first 1,000 of them, and applications, how many there are."""
    task = await start(info, TaskType.EVENT_TYPE_AGGREGATE, {})
    return UsageAggregateEventTypesPayload(background_task=BackgroundTask.of(task))


async def _attempts(app: Application, endpoint: Endpoint | None, start: datetime | None, end: datetime | None) -> AttemptStatistics:
    until = end or now()
    since = start or max(until, datetime.min.replace(tzinfo=UTC) + statistic.DAY) - statistic.DAY
    _check_window(since, until, LONGEST_SERIES, ("startDate",), ("endDate",))
    width = statistic.STEP if until - since <= statistic.DAY else statistic.DAY
    return AttemptStatistics.of(await statistic.series(app.id, endpoint.id if endpoint else None, since, until, width))


async def _usage(apps: Sequence[Application], since: datetime, until: datetime) -> dict[str, int]:
    async with database.read() as session:
        found = await statistic.usage(session, [app.id for app in apps], since, until)
    return {app.id: found.get(app.id, 0) for app in apps}


def _check_window(since: datetime, until: datetime, longest: timedelta, since_path: tuple[str, ...], until_path: tuple[str, ...]) -> None:
    if until > now() + SLACK:
        raise InvalidInput(f"{until_path[-1]} is in the future.", until_path)
    if since >= until:
        fault = "is in the future" if since > now() else f"is not before {until_path[-1]}"
        raise InvalidInput(f"{since_path[-1]} {fault}.", since_path)
    if until - since > longest + SLACK:
        raise InvalidInput(f"{since_path[-1]} is more than {longest.days} days before {until_path[-1]}.", since_path)
