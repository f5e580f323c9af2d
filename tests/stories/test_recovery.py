"""Stories of faults: processes that die, and what is there afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections import Counter
from contextlib import suppress

import pytest

from tests.conftest import Backend, mint
from tests.deployment import Process, deployed, lease_ends
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant
from tests.waiting import until

MESSAGES = 200


@pytest.mark.sqlite_only
async def test_a_killed_server_delivers_every_accepted_message_after_a_restart(backend: Backend, receiver: Receiver) -> None:
    """The embedded server dies in the middle of two hundred deliveries; nothing that was acknowledged is lost or recorded twice."""
    database_url = await backend.fresh_database()
    accepted: list[str] = []
    with deployed(database_url, None) as first:
        async with Tenant(first.graphql, await mint(first)) as acme:
            app = await acme.application(uid="app")
            token = acme.token
            gate = receiver.hold("/slow")
            await acme.endpoint(app, receiver.url("/fast"))
            await acme.endpoint(app, receiver.url("/slow"))
            inputs = [{"eventType": "tick", "payload": {"n": n}} for n in range(MESSAGES)]
            results = (await acme.run("MessageCreateBatch", appId="app", inputs=inputs))["results"]
            accepted = [result["message"]["id"] for result in results]
            await until(lambda: len(receiver.got("/fast")) >= 30, "some deliveries to be under way")
            first.server.kill()
    gate.set()

    with deployed(database_url, None) as second:
        async with Tenant(second.graphql, token) as acme:

            async def finished() -> bool:
                arrived = {path: {r.headers["webhook-id"] for r in receiver.got(path)} for path in ("/fast", "/slow")}
                return all(ids >= set(accepted) for ids in arrived.values())

            await until(finished, "every message at both endpoints", patience=60)
            for message_id in accepted:
                attempts = await acme.settled({"id": "app"}, {"id": message_id})
                successes = Counter(a["endpointId"] for a in attempts if a["status"] == "SUCCESS")
                assert len(successes) == 2
                assert all(a["errorCode"] == "interrupted" for a in attempts if a["status"] == "FAIL")


@pytest.mark.postgresql_only
async def test_a_killed_worker_is_taken_over_by_another(backend: Backend, receiver: Receiver) -> None:
    """The worker dies with deliveries in flight; another one records them as interrupted and sends them."""
    with deployed(await backend.fresh_database(), backend.redis_url) as running:
        async with Tenant(running.graphql, await mint(running)) as acme:
            app = await acme.application()
            await acme.endpoint(app, receiver.url())
            gate = receiver.hold("/hook")
            message = await acme.message(app)
            await receiver.wait_for(1)
            worker = running.workers[0]
            children = await child_processes(worker.popen.pid)
            for pid in (*children, worker.popen.pid):
                kill(pid)
            gate.set()

            await lease_ends(running.database_url)
            running.workers.append(Process.start(worker.popen.args, running.environment))  # type: ignore[arg-type]
            await receiver.wait_for(2)
            attempts = await acme.settled(app, message)

    assert [attempt["errorCode"] for attempt in attempts] == [None, "interrupted"]


@pytest.mark.postgresql_only
async def test_without_redis_deliveries_and_subscriptions_go_on(backend: Backend, receiver: Receiver) -> None:
    """No broker and no bus between the processes: the database is looked at once a second, and NOTIFY wakes subscribers."""
    with deployed(await backend.fresh_database(), None) as running:
        async with Tenant(running.graphql, await mint(running)) as acme:
            app = await acme.application()
            await acme.endpoint(app, receiver.url())
            async with acme.subscribe("WatchMessageAttempts", appId=app["id"]) as live:
                await live.taken_up()
                message = await acme.message(app)
                event = await live.next()

    assert event["attempt"]["msgId"] == message["id"]


@pytest.mark.postgresql_only
async def test_a_database_that_goes_away_is_answered_with_503_and_work_goes_on_when_it_is_back(
    backend: Backend, receiver: Receiver
) -> None:
    """Every connection is cut while messages come in: what was accepted is delivered, what was refused says so."""
    url = await backend.fresh_database()
    name = url.rpartition("/")[2]
    with deployed(url, backend.redis_url) as running:
        async with Tenant(running.graphql, await mint(running)) as acme:
            app = await acme.application()
            await acme.endpoint(app, receiver.url())
            await acme.settled(app, await acme.message(app))
            await backend.admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

            async def accepted() -> bool:

                try:
                    await acme.message(app)
                except Refused as refused:
                    assert (refused.status, refused.code) == (503, "UNAVAILABLE")
                    return False
                return True

            await until(accepted, "messages to be accepted again")
            await receiver.wait_for(2)


@pytest.mark.sqlite_only
async def test_a_second_process_on_the_same_file_refuses_and_names_the_lock(backend: Backend) -> None:
    url = await backend.fresh_database()
    with deployed(url, None) as running:
        second = Process.start(running.server.popen.args, running.environment)  # type: ignore[arg-type]
        await asyncio.to_thread(second.popen.wait, 60)
        second.stop()

    assert second.popen.returncode != 0
    assert ".lock" in second.output
    assert "Traceback" not in second.output


@pytest.mark.postgresql_only
async def test_a_worker_stops_although_it_is_told_twice_as_whole_groups_of_processes_are(backend: Backend) -> None:
    with deployed(await backend.fresh_database(), backend.fresh_redis()) as running:
        worker = running.workers[0]
        await asyncio.to_thread(worker.wait_for, "is ready")
        pids = [*await child_processes(worker.popen.pid), worker.popen.pid]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        try:
            await until(lambda: worker.popen.poll() is not None, "the worker to end")
            assert "has stopped" in worker.output
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    kill(pid)


async def child_processes(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    done = await asyncio.to_thread(subprocess.run, ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    found = [int(text) for text in done.stdout.split()]
    return [*found, *[deeper for child in found for deeper in await child_processes(child)]]


def kill(pid: int) -> None:
    """End a process without a chance to clean up."""
    os.kill(pid, signal.SIGKILL)
