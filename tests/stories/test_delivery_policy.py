"""Stories of delivery policies: each endpoint is delivered to as it chose."""

from __future__ import annotations

import pytest

from tests.receiver import Receiver
from tests.tenant import Tenant

URL = "https://example.com/"


async def test_a_policy_is_chosen_read_changed_in_parts_and_given_up(acme: Tenant) -> None:
    app = await acme.application()
    inherited = {"retrySchedule": None, "noRetryOn": None}
    assert (await acme.endpoint(app, URL))["deliveryPolicy"] == inherited

    chosen = {"retrySchedule": [1, 2.5, 2.5], "noRetryOn": ["4xx", "503"]}
    endpoint = await acme.endpoint(app, URL, deliveryPolicy=chosen)
    assert endpoint["deliveryPolicy"] == inherited | chosen

    key = {"appId": app["id"], "id": endpoint["id"]}
    patched = await acme.do("EndpointPatch", **key, input={"deliveryPolicy": {"retrySchedule": [], "noRetryOn": None}})
    assert patched["deliveryPolicy"] == inherited | {"retrySchedule": []}
    patched = await acme.do("EndpointPatch", **key, input={"deliveryPolicy": {"noRetryOn": ["500"]}})
    assert patched["deliveryPolicy"] == inherited | {"retrySchedule": [], "noRetryOn": ["500"]}
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
