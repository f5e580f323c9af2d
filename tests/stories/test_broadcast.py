"""Stories of a message to every application: each gets it once, whoever dies half way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from graphook import database
from graphook.clock import now
from graphook.ids import new_id
from models.application import Application
from models.organisation import Organisation
from tests.conftest import Backend, mint, organisation_of
from tests.deployment import Deployment, Process, deployed
from tests.receiver import Receiver
from tests.stories.test_recovery import child_processes, kill
from tests.stories.test_replay import finished
from tests.tenant import Refused, Tenant
from tests.waiting import until

APPLICATIONS = 1000


async def test_every_application_gets_the_message_and_no_other_organisation(acme: Tenant, rival: Tenant, receiver: Receiver) -> None:
    apps = [await acme.application() for _ in range(3)]
    theirs = await rival.application()
    await rival.endpoint(theirs, receiver.url("/theirs"))
    await acme.endpoint(apps[0], receiver.url("/all"))
    await acme.endpoint(apps[1], receiver.url("/x"), channels=["x"])
    await acme.endpoint(apps[1], receiver.url("/y"), channels=["y"])
    gone = await acme.application()
    await acme.do("ApplicationDelete", id=gone["id"])
    await acme.do("OperationalEndpointCreate", input={"url": receiver.url("/operational")})
    taken = await acme.message(apps[2], eventId="news-1")
    given = {"eventType": "news", "payload": {"é": [1, 2.5]}, "eventId": "news-1", "channels": ["x"], "payloadRetentionPeriod": 5}

    task = await acme.do("MessageBroadcast", input=given, idempotencyKey="once")
    again = await acme.do("MessageBroadcast", input=given, idempotencyKey="once")
    done = await finished(acme, task)

    assert (task["task"], task["appId"], again["id"]) == ("MESSAGE_BROADCAST", None, task["id"])
    assert (done["status"], done["progress"]) == ("FINISHED", 100.0)
    created = {item["appId"]: item["msgId"] for item in done["data"]["messagesCreated"]}
    assert (done["data"]["created"], done["data"]["skipped"], list(created)) == (2, 1, [app["id"] for app in apps[:2]])
    for app in apps[:2]:
        message = await acme.run("Message", appId=app["id"], id="news-1")
        assert (message["id"], message["eventType"], message["payload"]) == (created[app["id"]], "news", {"é": [1, 2.5]})
        await acme.settled(app, message)
    assert (await acme.run("Message", appId=apps[2]["id"], id="news-1"))["id"] == taken["id"]
    assert sorted(request.path for request in receiver.requests if request.path != "/operational") == ["/all", "/x"]
    assert (await rival.run("Messages", appId=theirs["id"]))["nodes"] == []
    assert await rival.run("BackgroundTask", id=task["id"]) is None


async def test_a_broadcast_whose_payload_does_not_fit_is_refused_at_its_place(acme: Tenant) -> None:
    schema = {"properties": {"total": {"type": "integer"}}}
    await acme.event_type("ordered", schemas={"1": schema}, validatePayload=True)
    bad = {"eventType": "ordered", "payload": {"total": "5"}}

    assert await acme.fault("MessageBroadcast", input=bad, idempotencyKey="k") == ("BAD_USER_INPUT", ["input", "payload", "total"])

    assert (await acme.run("BackgroundTasks"))["nodes"] == []
    good = {"input": {**bad, "payload": {"total": 5}}, "idempotencyKey": "k"}
    begun = await acme.do("MessageBroadcast", **good)
    await finished(acme, begun)
    await acme.do("EventTypePatch", name="ordered", input={"schemas": {"1": {"required": ["number"]}}})
    assert (await acme.do("MessageBroadcast", **good))["id"] == begun["id"], "it was begun when it still fitted"


async def thousand(database_url: str) -> tuple[str, list[str]]:
    """An organisation with a thousand applications, and another with one; its id and theirs."""
    async with database.connected(database_url):
        organisation, other = await Organisation.found("a test"), await Organisation.found("another")
        at = now()
        rows = [
            Application(id=new_id("app_", at), org_id=org_id, name="a test", metadata={}, created_at=at, updated_at=at)
            for org_id in (*[organisation.id] * APPLICATIONS, other.id)
        ]
        await Application.bulk_create(rows)
        return organisation.id, sorted(row.id for row in rows[:-1])


async def messages_in(database_url: str) -> list[str]:
    """The applications of all messages."""
    async with database.connected(database_url), database.read() as session:
        return sorted(row["app_id"] for row in await session.fetch_text("SELECT app_id FROM message"))


async def progress(tenant: Tenant, task: Any) -> float:
    return float((await tenant.run("BackgroundTask", id=task["id"]))["progress"])


async def test_an_application_of_a_process_whose_clock_is_ahead_gets_the_message_too(backend: Backend) -> None:
    database_url = await backend.fresh_database()
    async with database.connected(database_url):
        organisation, at = await Organisation.found("a test"), now() + timedelta(minutes=1)
        app_id = new_id("app_", at)
        await Application.create(id=app_id, org_id=organisation.id, name="a test", metadata={}, created_at=at, updated_at=at)

    with deployed(database_url, backend.redis_url) as running:
        async with Tenant(running.graphql, await mint(running, org_id=organisation.id)) as acme:
            done = await finished(acme, await acme.do("MessageBroadcast", input={"eventType": "news", "payload": {"n": 1}}))

    assert [item["appId"] for item in done["data"]["messagesCreated"]] == [app_id]


@pytest.mark.postgresql_only
async def test_a_worker_killed_half_way_leaves_a_broadcast_that_another_finishes(backend: Backend, receiver: Receiver) -> None:
    """The worker is held in the middle of a page by a lock on the next event id, and killed; nothing of that page is there."""
    database_url = await backend.fresh_database()
    org_id, apps = await thousand(database_url)
    with deployed(database_url, backend.redis_url) as running:
        async with Tenant(running.graphql, await mint(running, org_id=org_id)) as acme:
            await acme.endpoint({"id": apps[0]}, receiver.url("/first"))
            await acme.endpoint({"id": apps[-1]}, receiver.url("/last"))
            holder = await asyncpg.connect(database_url)
            hold = holder.transaction()
            await hold.start()
            await holder.execute("INSERT INTO message_key VALUES ($1, 'news-1', 'msg_held')", apps[500])
            task = await acme.do("MessageBroadcast", input={"eventType": "news", "payload": {"n": 1}, "eventId": "news-1"})

            async def is_held() -> bool:
                return bool(await holder.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

            await until(is_held, "the broadcast to come to the lock")
            worker = running.workers[0]
            for pid in (*await child_processes(worker.popen.pid), worker.popen.pid):
                kill(pid)
            await hold.rollback()
            half = await messages_in(database_url)
            assert half == apps[:400], "two pages, and nothing of the third"
            assert await progress(acme, task) == 40.0

            # As after the half a minute that its lease has left.
            await holder.execute("UPDATE task SET lease_until = graphook_now()")
            await holder.close()
            running.workers.append(Process.start(worker.popen.args, running.environment))  # type: ignore[arg-type]
            await until(lambda: is_done(acme, task), "the broadcast to be finished", patience=90)
            data = (await acme.run("BackgroundTask", id=task["id"]))["data"]
            for path in ("/first", "/last"):
                await receiver.wait_for(1, path)

        assert await messages_in(database_url) == apps
    assert (data["created"], data["skipped"]) == (APPLICATIONS, 0)
    assert [item["appId"] for item in data["messagesCreated"]] == apps


@pytest.mark.sqlite_only
async def test_a_server_killed_half_way_finishes_its_broadcast_after_a_restart(backend: Backend, receiver: Receiver) -> None:
    """Nothing but the position tells the restarted process which applications have the message: it has no event id."""
    database_url = await backend.fresh_database()
    org_id, apps = await thousand(database_url)
    with deployed(database_url, None) as first:
        token = await mint(first, org_id=org_id)
        async with Tenant(first.graphql, token) as acme:
            await acme.endpoint({"id": apps[0]}, receiver.url("/first"))
            await acme.endpoint({"id": apps[-1]}, receiver.url("/last"))
            task = await acme.do("MessageBroadcast", input={"eventType": "news", "payload": {"long": "x" * 100_000}})

            async def is_under_way() -> bool:
                return await progress(acme, task) > 0

            await until(is_under_way, "the broadcast to be under way")
            first.server.kill()
    half = await messages_in(database_url)
    assert 0 < len(half) < APPLICATIONS
    assert half == apps[: len(half)]

    with deployed(database_url, None) as second:
        async with Tenant(second.graphql, token) as acme:
            await until(lambda: is_done(acme, task), "the broadcast to be finished", patience=60)
            data = (await acme.run("BackgroundTask", id=task["id"]))["data"]
            for path in ("/first", "/last"):
                await receiver.wait_for(1, path)
    assert await messages_in(database_url) == apps
    assert (data["created"], [item["appId"] for item in data["messagesCreated"]]) == (APPLICATIONS, apps)


async def is_done(tenant: Tenant, task: Any) -> bool:
    return bool((await tenant.run("BackgroundTask", id=task["id"]))["status"] == "FINISHED")


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"payload": [1]}, ["payload"]),
        ({"payload": "text"}, ["payload"]),
        ({"payload": {"a": "x" * 1024 * 1024}}, ["payload"]),
        ({"payload": nested(65)}, ["payload"]),
        ({"eventType": ""}, ["eventType"]),
        ({"eventType": "no blanks"}, ["eventType"]),
        ({"eventId": "msg_2222"}, ["eventId"]),
        ({"eventId": ""}, ["eventId"]),
        ({"channels": []}, ["channels"]),
        ({"channels": ["a", "a"]}, ["channels", "1"]),
        ({"channels": [f"c{n}" for n in range(6)]}, ["channels"]),
        ({"payloadRetentionPeriod": 4}, ["payloadRetentionPeriod"]),
        ({"payloadRetentionPeriod": 91}, ["payloadRetentionPeriod"]),
    ],
)
async def test_a_broadcast_with_a_fault_is_refused_at_its_place(acme: Tenant, change: dict[str, Any], at: list[str]) -> None:
    app = await acme.application()
    code, path = await acme.fault("MessageBroadcast", input={"eventType": "news", "payload": {}, **change})

    assert (code, path) == ("INVALID_UID_PREFIX" if "msg_2222" in change.values() else "BAD_USER_INPUT", ["input", *at])
    assert (await acme.run("BackgroundTasks"))["nodes"] == []
    assert (await acme.run("Messages", appId=app["id"]))["nodes"] == []


async def test_only_a_token_of_the_organisation_that_may_send_can_broadcast(acme: Tenant, deployment: Deployment) -> None:
    app = await acme.application()
    org_id = await organisation_of(deployment, app)
    for options in ({"scopes": ["read", "manage"]}, {"kind": "app", "app_id": app["id"]}):
        async with Tenant(deployment.graphql, await mint(deployment, org_id=org_id, **options)) as other:
            assert (await other.fault("MessageBroadcast", input={"eventType": "news", "payload": {}}))[0] == "FORBIDDEN"
    with pytest.raises(Refused) as refused:
        await acme.run("MessageBroadcast", input={"eventType": "news", "payload": None})
    assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", ["input", "payload"])
    assert (await acme.run("BackgroundTasks"))["nodes"] == []
