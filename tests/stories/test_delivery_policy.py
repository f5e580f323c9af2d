"""Stories of delivery policies: each endpoint is delivered to as it chose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import Backend, mint
from tests.deployment import Deployment, Process, deployed, lease_ends
from tests.receiver import Receiver
from tests.stories.test_recovery import child_processes, kill
from tests.tenant import Tenant
from tests.waiting import until

URL = "https://example.com/"


async def test_a_policy_is_chosen_read_changed_in_parts_and_given_up(acme: Tenant) -> None:
    app = await acme.application()
    inherited = {"retrySchedule": None, "noRetryOn": None, "maxInFlight": None, "ordered": None, "breaker": None}
    assert (await acme.endpoint(app, URL))["deliveryPolicy"] == inherited

    chosen = {"retrySchedule": [1, 2.5, 2.5], "noRetryOn": ["4xx", "503"], "maxInFlight": 5, "ordered": True, "breaker": True}
    endpoint = await acme.endpoint(app, URL, deliveryPolicy=chosen)
    assert endpoint["deliveryPolicy"] == inherited | chosen

    key = {"appId": app["id"], "id": endpoint["id"]}
    patched = await acme.do(
        "EndpointPatch", **key, input={"deliveryPolicy": {"retrySchedule": [], "noRetryOn": None, "maxInFlight": None, "breaker": None}}
    )
    assert patched["deliveryPolicy"] == inherited | {"retrySchedule": [], "ordered": True}
    patched = await acme.do("EndpointPatch", **key, input={"deliveryPolicy": {"noRetryOn": ["500"], "ordered": False}})
    assert patched["deliveryPolicy"] == inherited | {"retrySchedule": [], "noRetryOn": ["500"], "ordered": False}
    assert (await acme.do("EndpointPatch", **key, input={"description": "d"}))["deliveryPolicy"] == patched["deliveryPolicy"]
    assert (await acme.do("EndpointPatch", **key, input={"deliveryPolicy": None}))["deliveryPolicy"] == inherited
    await acme.do("EndpointPatch", **key, input={"deliveryPolicy": chosen})
    assert (await acme.do("EndpointUpdate", **key, input={"url": URL}))["deliveryPolicy"] == inherited


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({"retrySchedule": [1, -1]}, ["retrySchedule", "1"]),
        ({"retrySchedule": [604_801]}, ["retrySchedule", "0"]),
        ({"retrySchedule": [1] * 33}, ["retrySchedule"]),
        ({"noRetryOn": ["200"]}, ["noRetryOn", "0"]),
        ({"noRetryOn": ["404", "40x"]}, ["noRetryOn", "1"]),
        ({"noRetryOn": ["404", "404"]}, ["noRetryOn", "1"]),
        ({"noRetryOn": ["4\N{ARABIC-INDIC DIGIT ZERO}4"]}, ["noRetryOn", "0"]),
        ({"maxInFlight": 0}, ["maxInFlight"]),
        ({"maxInFlight": 1001}, ["maxInFlight"]),
    ],
)
async def test_a_policy_that_breaks_a_rule_is_refused_with_its_path(acme: Tenant, policy: dict[str, object], path: list[str]) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, URL)

    fault = await acme.fault("EndpointCreate", appId=app["id"], input={"url": URL, "deliveryPolicy": policy})
    assert fault == ("BAD_USER_INPUT", ["input", "deliveryPolicy", *path])
    fault = await acme.fault("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"deliveryPolicy": policy})
    assert fault == ("BAD_USER_INPUT", ["input", "deliveryPolicy", *path])
    assert len((await acme.run("Endpoints", appId=app["id"]))["nodes"]) == 1


async def test_each_endpoint_has_a_retry_schedule_of_its_own(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    schedules: dict[str, list[float] | None] = {"/never": [], "/four": [0.05, 0.05, 0.05, 0.05], "/service": None}
    for path, schedule in schedules.items():
        receiver.answers(path, *[500] * 9)
        await acme.endpoint(app, receiver.url(path), deliveryPolicy={"retrySchedule": schedule})

    await acme.settled(app, await acme.message(app), "FAIL")

    assert {path: len(receiver.got(path)) for path in schedules} == {"/never": 1, "/four": 5, "/service": 3}


async def test_statuses_and_classes_that_an_endpoint_names_are_not_tried_again(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    policy = {"noRetryOn": ["4xx", "501"], "retrySchedule": [0.05]}
    tries = {404: 1, 501: 1, 408: 2, 500: 2}
    for status in tries:
        receiver.answers(f"/{status}", *[status] * 2)
        await acme.endpoint(app, receiver.url(f"/{status}"), deliveryPolicy=policy)

    await acme.settled(app, await acme.message(app), "FAIL")

    assert {status: len(receiver.got(f"/{status}")) for status in tries} == tries


async def send(acme: Tenant, app: Any, count: int) -> list[str]:
    """The ids of messages that were accepted one after another."""
    inputs = [{"eventType": "tick", "payload": {"n": n}} for n in range(count)]
    results = (await acme.run("MessageCreateBatch", appId=app["id"], inputs=inputs))["results"]
    return [result["message"]["id"] for result in results]


def order(receiver: Receiver, path: str) -> list[str]:
    """The messages that came in for a path, repetitions of one in a row left out."""
    ids = [request.headers["webhook-id"] for request in receiver.got(path)]
    return [found for n, found in enumerate(ids) if n == 0 or ids[n - 1] != found]


@contextmanager
def two_workers(database_url: str, redis_url: str | None, **settings: str) -> Iterator[Deployment]:
    """A deployment of which a second worker is part; on SQLite one process does everything."""
    with deployed(database_url, redis_url, **settings) as running:
        if running.workers:
            running.workers.append(Process.start(running.workers[0].popen.args, running.environment))  # type: ignore[arg-type]
            running.workers[-1].wait_for("is ready")
        yield running


async def test_workers_together_keep_the_most_in_flight_and_the_order(backend: Backend, receiver: Receiver) -> None:
    receiver.takes = 0.02
    receiver.answers("/ordered", 500, 200, 500, 500)
    with two_workers(await backend.fresh_database(), backend.fresh_redis()) as running:
        async with Tenant(running.graphql, await mint(running)) as acme:
            app = await acme.application()
            await acme.endpoint(app, receiver.url("/three"), deliveryPolicy={"maxInFlight": 3})
            await acme.endpoint(app, receiver.url("/ordered"), deliveryPolicy={"ordered": True})
            await acme.endpoint(app, receiver.url("/free"))
            ids = [id for _ in range(5) for id in await send(acme, app, 6)]
            await receiver.wait_for(30, "/free")
            await receiver.wait_for(30, "/three")
            await receiver.wait_for(33, "/ordered")
            await acme.settled(app, {"id": ids[-1]})

    assert receiver.most["/three"] == 3
    assert receiver.most["/ordered"] == 1
    assert order(receiver, "/ordered") == ids
    assert receiver.most["/free"] > 3, "what is not restricted is not held back"


async def test_a_process_that_dies_with_the_head_of_a_queue_leaves_the_order(backend: Backend, receiver: Receiver) -> None:
    database_url = await backend.fresh_database()
    redis_url = backend.fresh_redis()
    with two_workers(database_url, redis_url, GRAPHOOK_REQUEST_TIMEOUT="3") as running:
        async with Tenant(running.graphql, await mint(running)) as acme:
            app = await acme.application()
            token = acme.token
            await acme.endpoint(app, receiver.url("/ordered"), deliveryPolicy={"ordered": True})
            gate = receiver.hold("/ordered")
            ids = await send(acme, app, 5)
            await receiver.wait_for(1, "/ordered")
            if not running.workers:
                running.server.kill()
            for worker in running.workers:
                for pid in (*await child_processes(worker.popen.pid), worker.popen.pid):
                    kill(pid)
        if running.workers:
            await lease_ends(database_url)
            running.workers.append(Process.start(running.workers[0].popen.args, running.environment))  # type: ignore[arg-type]
        gate.set()
        if running.workers:
            await receiver.wait_for(6, "/ordered")
    if not running.workers:
        with deployed(database_url, redis_url) as again:
            async with Tenant(again.graphql, token) as acme:
                await receiver.wait_for(6, "/ordered")
                await acme.settled(app, {"id": ids[-1]})

    assert order(receiver, "/ordered") == ids
    assert [request.headers["webhook-id"] for request in receiver.got("/ordered")][:2] == [ids[0], ids[0]]


async def test_a_head_that_waits_for_its_retry_holds_the_queue_up_and_a_manual_resend_passes(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    receiver.answers("/ordered", 500)
    endpoint = await acme.endpoint(app, receiver.url("/ordered"), deliveryPolicy={"ordered": True, "retrySchedule": [3600]})
    first, second = await send(acme, app, 2)
    await acme.settled(app, {"id": first}, "SENDING")

    await acme.run("MessageAttemptResend", appId=app["id"], messageId=second, endpointId=endpoint["id"])
    await receiver.wait_for(2, "/ordered")

    assert [request.headers["webhook-id"] for request in receiver.got("/ordered")] == [first, second]
    await acme.settled(app, {"id": second})
    await acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"deliveryPolicy": {"ordered": False}})
    await receiver.wait_for(3, "/ordered")
    assert receiver.got("/ordered")[2].headers["webhook-id"] == second, "without the order, its own run comes too"


async def test_a_breaker_opens_keeps_the_tries_and_recovers(backend: Backend, receiver: Receiver) -> None:
    """Twelve messages meet a receiver that is down: ten tries open the breaker, then hardly any is made until the receiver is back."""
    settings = {"GRAPHOOK_BREAKER_OPEN": "0.5", "GRAPHOOK_BREAKER_OPEN_MAX": "0.5", "GRAPHOOK_RETRY_SCHEDULE": ",".join(["0.05"] * 8)}
    receiver.answers("/down", *[500] * 1000)
    with two_workers(await backend.fresh_database(), backend.fresh_redis(), **settings) as running:
        async with Tenant(running.graphql, await mint(running)) as acme:
            app = await acme.application()
            endpoint = await acme.endpoint(app, receiver.url("/down"), deliveryPolicy={"breaker": True, "maxInFlight": 4})
            await acme.endpoint(app, receiver.url("/up"))
            assert endpoint["health"] == {"state": "HEALTHY", "failingSince": None, "openUntil": None}

            async def health() -> Any:
                return (await acme.run("Endpoint", appId=app["id"], id=endpoint["id"]))["health"]

            async def is_open() -> bool:
                found = await health()
                return found["state"] == "OPEN" and found["openUntil"] is not None and found["failingSince"] is not None

            ids = await send(acme, app, 12)
            await until(is_open, "the breaker to open")
            await receiver.wait_for(12, "/up")
            await receiver.wait_for(16, "/down")
            failed = len(receiver.got("/down"))
            receiver.plans["/down"].clear()
            for message_id in ids:
                attempts = await acme.settled(app, {"id": message_id})
                assert sum(attempt["endpointId"] == endpoint["id"] for attempt in attempts) < 9, "no schedule came to its end"
            assert failed < 30, "without a breaker, twelve messages are tried a hundred times"

            await send(acme, app, 12)

            async def is_healthy() -> bool:
                return bool((await health())["state"] == "HEALTHY")

            await until(is_healthy, "the breaker to close")
