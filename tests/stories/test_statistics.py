"""Stories of statistics: attempts and destinations by time, exact whatever was repeated, and what is added up in the background."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.receiver import Receiver
from tests.stories.test_replay import finished
from tests.tenant import Refused, Tenant
from tests.waiting import until


def at(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


async def counted(tenant: Tenant, name: str, successes: int, failures: int, **variables: Any) -> Any:
    """The statistic once it has these sums."""
    seen: dict[str, Any] = {}

    async def reached() -> bool:
        nonlocal seen
        seen = await tenant.run(name, **variables)
        return (sum(seen["data"]["successCount"]), sum(seen["data"]["failureCount"])) == (successes, failures)

    await until(reached, lambda: f"{successes} successes and {failures} failures in {seen}")
    return seen


async def test_attempts_are_counted_by_time_per_application_and_endpoint(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    good = await acme.endpoint(app, receiver.url("/good"))
    bad = await acme.endpoint(app, receiver.url("/bad"))
    receiver.answers("/bad", 500, 500, 500)
    for _ in range(2):
        await acme.settled(app, await acme.message(app), "SUCCESS", "FAIL")
    attempts = [a for m in (await acme.run("Messages", appId=app["id"]))["nodes"] for a in await acme.attempts(app, m)]
    failed = sum(a["status"] == "FAIL" for a in attempts)
    assert failed == 3

    found = await counted(acme, "ApplicationAttemptStats", len(attempts) - 3, 3, appId=app["id"])
    await counted(acme, "EndpointAttemptStats", 2, 0, appId=app["id"], endpointId=good["id"])
    await counted(acme, "EndpointAttemptStats", len(attempts) - 5, 3, appId=app["id"], endpointId=bad["id"])

    assert found["period"] == "FIVE_MINUTES"
    assert len(found["data"]["successCount"]) in (288, 289)
    assert datetime.fromisoformat(found["startDate"]).minute % 5 == 0
    month = await counted(acme, "ApplicationAttemptStats", len(attempts) - 3, 3, appId=app["id"], startDate=at(days=30))
    assert (month["period"], len(month["data"]["failureCount"])) == ("ONE_DAY", 31)
    past = {"startDate": at(days=3), "endDate": at(days=2)}
    await counted(acme, "ApplicationAttemptStats", 0, 0, appId=app["id"], **past)


async def test_a_destination_counts_once_however_often_it_was_tried(acme: Tenant, receiver: Receiver) -> None:
    app, idle = await acme.application(uid="busy"), await acme.application()
    await acme.endpoint(app, receiver.url("/good"))
    bad = await acme.endpoint(app, receiver.url("/bad"))
    receiver.answers("/bad", *[500] * 4)
    messages = [await acme.message(app) for _ in range(2)]
    for message in messages:
        await acme.settled(app, message, "SUCCESS", "FAIL")
    await acme.run("MessageAttemptResend", appId=app["id"], messageId=messages[0]["id"], endpointId=bad["id"])
    window = {"since": at(hours=1), "until": at(seconds=0)}

    async def used() -> bool:
        return bool((await acme.run("ApplicationStats", appId="busy", **window))["messageDestinations"] == 4)

    async def resent() -> bool:
        return any(a["triggerType"] == "MANUAL" for a in await acme.attempts(app, messages[0]))

    await until(resent, "the attempt of the resend")
    total = sum([len(await acme.attempts(app, m)) for m in messages])
    await until(used, "four destinations")
    await counted(acme, "ApplicationAttemptStats", total - 4, 4, appId=app["id"])
    assert await used(), "and still four, after everything was counted"
    listed = await acme.run("ApplicationsStats", **window)
    assert [(n["appId"], n["appUid"], n["messageDestinations"]) for n in listed["nodes"]] == [(app["id"], "busy", 4), (idle["id"], None, 0)]
    assert (await acme.run("ApplicationsStats", limit=1, **window))["done"] is False
    days = {"since": at(days=9), "until": at(days=1)}
    assert (await acme.run("ApplicationStats", appId="busy", **days))["messageDestinations"] == 0
    month = await acme.run("ApplicationStats", appId="busy", since=at(days=30), until=at(seconds=0))
    assert month["messageDestinations"] == 4


async def test_messages_are_counted_by_how_they_stand_with_an_endpoint(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    where = {"appId": app["id"], "endpointId": endpoint["id"]}
    nothing = {"success": 0, "pending": 0, "sending": 0, "fail": 0, "canceled": 0}
    assert await acme.run("EndpointStats", **where) == nothing
    receiver.answers("/hook", 200, 500, 500, 500)
    for _ in range(2):
        await acme.settled(app, await acme.message(app), "SUCCESS", "FAIL")
    gate = receiver.hold("/hook")
    held = await acme.message(app)
    await receiver.wait_for(5)

    assert await acme.run("EndpointStats", **where) == {**nothing, "success": 1, "fail": 1, "sending": 1}
    gate.set()
    await acme.settled(app, held)
    assert await acme.run("EndpointStats", since=at(hours=1), **where) == {**nothing, "success": 2, "fail": 1}
    assert await acme.run("EndpointStats", since=at(hours=2), until=at(hours=1), **where) == nothing


@pytest.mark.parametrize(
    ("name", "window", "path"),
    [
        ("EndpointStats", {"since": at(days=29)}, ["since"]),
        ("EndpointStats", {"until": at(hours=-1)}, ["until"]),
        ("EndpointStats", {"since": at(hours=1), "until": at(hours=2)}, ["since"]),
        ("EndpointStats", {"until": "0001-01-01T00:00:00Z"}, ["since"]),
        ("EndpointAttemptStats", {"startDate": at(days=367)}, ["startDate"]),
        ("ApplicationAttemptStats", {"startDate": at(days=-1)}, ["startDate"]),
        ("ApplicationAttemptStats", {"startDate": "0001-01-01T00:00:00Z"}, ["startDate"]),
        ("ApplicationAttemptStats", {"endDate": "9999-12-31T23:59:59Z"}, ["endDate"]),
        ("ApplicationAttemptStats", {"endDate": "0001-01-01T00:00:00Z"}, ["startDate"]),
        ("ApplicationStats", {"since": at(days=367), "until": at(hours=1)}, ["since"]),
        ("ApplicationsStats", {"since": at(hours=1), "until": at(hours=-1)}, ["until"]),
    ],
)
async def test_a_time_that_makes_no_sense_is_refused(acme: Tenant, name: str, window: dict[str, str], path: list[str]) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    target = {"appId": app["id"], "endpointId": endpoint["id"]}
    names = {"ApplicationsStats": set(), "ApplicationStats": {"appId"}, "ApplicationAttemptStats": {"appId"}}.get(name, set(target))

    with pytest.raises(Refused) as refused:
        await acme.run(name, **{key: target[key] for key in names}, **window)

    assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", path)
    said = refused.value.errors[0]["message"]
    assert said.endswith(" is in the future.") == any(text > at(hours=0) for text in window.values()), said


async def test_usage_is_added_up_over_all_applications_in_the_background(acme: Tenant, rival: Tenant, receiver: Receiver) -> None:
    busy, idle, other = [await acme.application(uid=uid) for uid in ("busy", "idle", "other")]
    await acme.do("OperationalEndpointCreate", input={"url": receiver.url("/operational")})
    await acme.endpoint(busy, receiver.url())
    foreign = await rival.application(uid="busy")
    await acme.settled(busy, await acme.message(busy))
    await counted(acme, "ApplicationAttemptStats", 1, 0, appId=busy["id"])
    window = {"since": at(hours=1), "until": at(seconds=0)}

    everything = await finished(acme, await acme.do("UsageAggregateApplications", input=window))
    chosen = await finished(
        acme, await acme.do("UsageAggregateApplications", input={**window, "appIds": [idle["id"], "busy", foreign["id"]]})
    )

    counts = [{"appId": app["id"], "appUid": app["uid"], "messageDestinations": n} for app, n in ((busy, 1), (idle, 0), (other, 0))]
    assert (everything["task"], everything["status"]) == ("APPLICATION_STATS", "FINISHED")
    assert everything["data"] == {"appStats": counts, "applications": 3}
    assert chosen["data"] == {"appStats": counts[:2], "applications": 2}


async def test_event_types_are_listed_by_the_applications_that_ask_for_them(acme: Tenant) -> None:
    for name in ("a", "b", "c"):
        await acme.event_type(name)
    picky, greedy, empty = [await acme.application() for _ in range(3)]
    for types in (["b", "a"], ["c", "b"]):
        await acme.endpoint(picky, "https://example.com/", filterTypes=types)
    for wanted in (["a"], None):
        await acme.endpoint(greedy, "https://example.com/", filterTypes=wanted)

    done = await finished(acme, await acme.do("UsageAggregateEventTypes"))

    assert done["task"] == "EVENT_TYPE_AGGREGATE"
    assert done["data"]["applications"] == 3
    assert done["data"]["eventTypes"] == [
        {"appId": picky["id"], "explicitlySubscribedEventTypes": ["a", "b", "c"], "hasCatchAllEndpoint": False},
        {"appId": greedy["id"], "explicitlySubscribedEventTypes": ["a"], "hasCatchAllEndpoint": True},
        {"appId": empty["id"], "explicitlySubscribedEventTypes": [], "hasCatchAllEndpoint": False},
    ]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"since": at(days=367)}, ["input", "since"]),
        ({"until": at(hours=-1)}, ["input", "until"]),
        ({"appIds": ["a", "a"]}, ["input", "appIds", "1"]),
        ({"appIds": ["no blanks"]}, ["input", "appIds", "0"]),
        ({"appIds": [f"a{n}" for n in range(1001)]}, ["input", "appIds"]),
    ],
)
async def test_a_usage_that_makes_no_sense_is_refused(acme: Tenant, change: dict[str, Any], path: list[str]) -> None:
    given = {"since": at(hours=1), "until": at(seconds=0), **change}
    assert await acme.fault("UsageAggregateApplications", input=given) == ("BAD_USER_INPUT", path)
    assert (await acme.run("BackgroundTasks"))["nodes"] == []
