"""Stories of sending again: what failed, what was missed, and what is chosen, each as a background task that is watched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graphook import database
from graphook.clock import now
from models.organisation import Organisation
from models.task import Task, TaskType
from tests.conftest import Backend, mint
from tests.deployment import deployed
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant
from tests.waiting import until

HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


async def finished(tenant: Tenant, task: Any) -> Any:
    """The task once it has ended, as its subscription tells it."""
    async with tenant.subscribe("WatchBackgroundTask", id=task["id"]) as live:
        last = None
        while (event := await live.next()) is not None:
            last = event
    return last


async def test_recover_sends_exactly_what_failed(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    delivered = await acme.message(app)
    await acme.settled(app, delivered)
    receiver.answers("/hook", *[500] * 6)
    failed = [await acme.message(app) for _ in range(2)]
    for message in failed:
        await acme.settled(app, message, "FAIL")
    gone = await acme.message(app, payload={"gone": True})
    await acme.settled(app, gone)
    before = len(receiver.requests)

    task = await acme.do("EndpointRecover", appId=app["id"], endpointId=endpoint["id"], input={"since": HOUR_AGO})
    done = await finished(acme, task)

    assert (task["task"], task["status"], task["appId"]) == ("ENDPOINT_RECOVER", "RUNNING", app["id"])
    assert (done["status"], done["progress"], done["data"]) == ("FINISHED", 100.0, {"messagesSent": 2})
    for message in failed:
        last = (await acme.settled(app, message))[0]
        assert (last["status"], last["triggerType"]) == ("SUCCESS", "MANUAL")
    assert sorted(r.headers["webhook-id"] for r in receiver.requests[before:]) == sorted(m["id"] for m in failed)
    again = await finished(acme, await acme.do("EndpointRecover", appId=app["id"], endpointId=endpoint["id"], input={"since": HOUR_AGO}))
    assert again["data"] == {"messagesSent": 0}


async def test_replay_missing_delivers_what_came_before_the_endpoint(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.event_type("a")
    early = [await acme.message(app, eventType=kind) for kind in ("a", "b", "a")]
    endpoint = await acme.endpoint(app, receiver.url(), filterTypes=["a"])

    done = await finished(
        acme, await acme.do("EndpointReplayMissing", appId=app["id"], endpointId=endpoint["id"], input={"since": HOUR_AGO})
    )

    assert done["data"] == {"messagesSent": 2}
    for index in (0, 2):
        assert (await acme.settled(app, early[index]))[0]["triggerType"] == "SCHEDULED"
    assert await acme.destinations(app, early[1]) == {}


async def test_replay_missing_leaves_out_what_was_tried_out_at_another_endpoint(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.event_type("a", schemas={"1": {"type": "object"}})
    tried = {"appId": app["id"], "endpointId": (await acme.endpoint(app, receiver.url("/tried")))["id"]}
    sent = await acme.message(app)
    await acme.do("EndpointSendExample", **tried, input={"eventType": "a"})
    await acme.do("MessageTestAttempt", **tried, input={"eventType": "a", "payload": {"a": "test"}})
    endpoint = await acme.endpoint(app, receiver.url())

    done = await finished(
        acme, await acme.do("EndpointReplayMissing", appId=app["id"], endpointId=endpoint["id"], input={"since": HOUR_AGO})
    )

    assert done["data"] == {"messagesSent": 1}
    assert [request.headers["webhook-id"] for request in await receiver.wait_for(1)] == [sent["id"]]


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        ({}, [0, 1, 2]),
        ({"eventTypes": ["a"]}, [0]),
        ({"channel": "x"}, [1]),
        ({"tag": "t"}, [2]),
        ({"status": "FAIL"}, [0]),
        ({"status": "SUCCESS", "statusCodeClass": "CODE_2XX"}, [1, 2]),
        ({"statusCodeClass": "CODE_5XX"}, [0]),
    ],
)
async def test_bulk_replay_sends_what_the_filters_choose(
    acme: Tenant, receiver: Receiver, filters: dict[str, Any], chosen: list[int]
) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 500, 500, 500)
    messages = []
    for values in ({"eventType": "a"}, {"eventType": "b", "channels": ["x"]}, {"eventType": "c", "tags": ["t"]}):
        messages.append(await acme.message(app, **values))
        await acme.settled(app, messages[-1], "SUCCESS", "FAIL")

    task = await acme.do("EndpointBulkReplay", appId=app["id"], endpointId=endpoint["id"], input={"since": HOUR_AGO, **filters})
    done = await finished(acme, task)

    assert done["data"] == {"messagesSent": len(chosen)}
    for index, message in enumerate(messages):
        expected = 1 if index in chosen else 0

        async def sent(message: Any = message, expected: int = expected) -> bool:
            manual = [attempt for attempt in await acme.attempts(app, message) if attempt["triggerType"] == "MANUAL"]
            return len(manual) == expected

        await until(sent, f"message {index} to be sent {expected} times more")


async def test_nothing_is_sent_again_to_an_endpoint_that_is_disabled(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.message(app)
    endpoint = await acme.endpoint(app, receiver.url())
    common = {"appId": app["id"], "endpointId": endpoint["id"], "input": {"since": HOUR_AGO}}
    begun = await acme.do("EndpointReplayMissing", **common, idempotencyKey="begun before")
    await finished(acme, begun)
    sent = len(await receiver.wait_for(1))
    await acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"disabled": True})

    for name in ("EndpointRecover", "EndpointReplayMissing", "EndpointBulkReplay"):
        assert await acme.fault(name, **common, idempotencyKey="begun after") == ("ENDPOINT_DISABLED", ["endpointId"])

    assert (await acme.do("EndpointReplayMissing", **common, idempotencyKey="begun before"))["id"] == begun["id"]
    assert [task["id"] for task in (await acme.run("BackgroundTasks"))["nodes"]] == [begun["id"]]
    assert len(receiver.requests) == sent


async def test_a_task_is_named_by_its_key_also_once_its_time_is_too_long_ago(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    longest = {"since": (datetime.now(UTC) - timedelta(days=14, minutes=5) + timedelta(seconds=2)).isoformat()}
    common = {"appId": app["id"], "endpointId": endpoint["id"], "input": longest}
    begun = await acme.do("EndpointRecover", **common, idempotencyKey="k")

    async def is_too_long() -> bool:
        return bool((await acme.run("EndpointRecover", **common))["errors"])

    await until(is_too_long, "the time to be too long")
    assert (await acme.do("EndpointRecover", **common, idempotencyKey="k"))["id"] == begun["id"]


async def held_task(database_url: str) -> str:
    """An organisation with a task that a worker holds; its id."""
    async with database.connected(database_url):
        organisation = await Organisation.found("a test")
        task = await Task.start(organisation.id, TaskType.ENDPOINT_RECOVER, {})
        await Task.filter(id=task.id).update(lease_until=now() + timedelta(hours=1), leased_by="another")
        return organisation.id


@pytest.mark.postgresql_only  # on SQLite the process that owns the database takes the task back
async def test_an_organisation_has_only_so_many_tasks_at_a_time(backend: Backend) -> None:
    database_url = await backend.fresh_database()
    org_id = await held_task(database_url)
    with deployed(database_url, backend.fresh_redis(), GRAPHOOK_TASKS_OUTSTANDING="1") as running:
        async with (
            Tenant(running.graphql, await mint(running, org_id=org_id)) as acme,
            Tenant(running.graphql, await mint(running)) as rival,
        ):
            app = await acme.application()
            endpoint = await acme.endpoint(app, "https://example.com/")

            recover = {"appId": app["id"], "endpointId": endpoint["id"], "input": {"since": HOUR_AGO}}
            assert await acme.fault("EndpointRecover", **recover) == ("LIMIT_EXCEEDED", None)
            assert await acme.fault("UsageAggregateEventTypes") == ("LIMIT_EXCEEDED", None)
            assert (await finished(rival, await rival.do("UsageAggregateEventTypes")))["status"] == "FINISHED"


@pytest.mark.parametrize(
    ("since", "until", "path"),
    [
        (timedelta(days=15), timedelta(0), ["input", "since"]),
        (timedelta(hours=1), timedelta(hours=2), ["input", "since"]),
        (timedelta(hours=-1), timedelta(hours=-1), ["input", "since"]),
    ],
)
async def test_a_window_that_makes_no_sense_is_refused(acme: Tenant, since: timedelta, until: timedelta, path: list[str]) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    window = {"since": (datetime.now(UTC) - since).isoformat(), "until": (datetime.now(UTC) - until).isoformat()}

    for name in ("EndpointRecover", "EndpointReplayMissing", "EndpointBulkReplay"):
        assert await acme.fault(name, appId=app["id"], endpointId=endpoint["id"], input=window) == ("BAD_USER_INPUT", path)
    assert (await acme.run("BackgroundTasks"))["nodes"] == []


async def test_a_time_that_begins_in_the_future_is_refused_as_that(acme: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    tomorrow, later = ((datetime.now(UTC) + timedelta(days=days)).isoformat() for days in (1, 2))

    for window in ({"since": tomorrow}, {"since": tomorrow, "until": later}):
        for name in ("EndpointRecover", "EndpointReplayMissing", "EndpointBulkReplay"):
            (error,) = (await acme.run(name, appId=app["id"], endpointId=endpoint["id"], input=window))["errors"]
            assert (error["message"], error["path"]) == ("since is in the future.", ["input", "since"])


async def test_background_tasks_are_listed_filtered_and_only_ours(acme: Tenant, rival: Tenant) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, "https://example.com/")
    tasks = [
        await acme.do(name, appId=app["id"], endpointId=endpoint["id"], input={"since": HOUR_AGO}, idempotencyKey="once")
        for name in ("EndpointRecover", "EndpointRecover", "EndpointReplayMissing")
    ]
    for task in tasks:
        await finished(acme, task)

    assert tasks[0]["id"] == tasks[1]["id"], "the key names the task that was begun"
    assert [t["id"] for t in (await acme.run("BackgroundTasks"))["nodes"]] == [tasks[2]["id"], tasks[0]["id"]]
    only = await acme.run("BackgroundTasks", task="ENDPOINT_REPLAY", status="FINISHED", order="ASCENDING")
    assert [t["id"] for t in only["nodes"]] == [tasks[2]["id"]]
    assert (await acme.run("BackgroundTask", id=tasks[0]["id"]))["status"] == "FINISHED"
    assert (await acme.run("Node", id=tasks[0]["id"]))["id"] == tasks[0]["id"]
    assert await rival.run("BackgroundTask", id=tasks[0]["id"]) is None
    assert await rival.run("Node", id=tasks[0]["id"]) is None
    assert (await rival.run("BackgroundTasks"))["nodes"] == []
    with pytest.raises(Refused) as refused:
        await finished(rival, tasks[0])
    assert refused.value.code == "NOT_FOUND"
