"""Stories of cursors and the database they are of: after a restart, after a restore, and beyond the end."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Backend, mint
from tests.deployment import deployed
from tests.order import settled_order
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant


def back_up(source: Path, target: Path) -> None:
    """As the guide says."""
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def write_into(source: Path, target: Path) -> None:
    """As `.restore` of SQLite's command line does."""
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)


def copy_over(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def replace(source: Path, target: Path) -> None:
    source.replace(target)


async def sent(tenant: Tenant, app: Any, count: int) -> list[str]:
    """The ids of so many messages that were delivered."""
    messages = [await tenant.message(app) for _ in range(count)]
    for message in messages:
        await tenant.settled(app, message)
    return [message["id"] for message in messages]


async def ends(tenant: Tenant, app: Any, endpoint: Any) -> tuple[str, str]:
    """Cursors behind all attempts and all messages."""
    attempts = await tenant.run("MessageAttempts", appId=app["id"], endpointId=endpoint["id"])
    messages = await tenant.run("MessageStream", appId=app["id"], start="NEWEST")
    return attempts["liveCursor"], messages["iterator"]


async def refusal(tenant: Tenant, name: str, **variables: Any) -> tuple[str, list[str]]:
    """The code and the path with which a subscription is refused."""
    async with tenant.subscribe(name, **variables) as live:
        with pytest.raises(Refused) as refused:
            await live.next()
    return refused.value.code, refused.value.path


async def assert_expired(tenant: Tenant, app: Any, attempts: str, messages: str) -> None:
    """No operation takes the cursors."""
    assert await refusal(tenant, "WatchMessageAttempts", appId=app["id"], after=attempts) == ("CURSOR_EXPIRED", ["after"])
    for where in ({"appId": app["id"]}, {}):
        assert await refusal(tenant, "WatchMessages", **where, after=messages) == ("CURSOR_EXPIRED", ["after"])
    for name, where in (("MessageStream", {"appId": app["id"]}), ("OrganisationMessageStream", {})):
        with pytest.raises(Refused) as refused:
            await tenant.run(name, **where, iterator=messages)
        assert (refused.value.code, refused.value.path) == ("CURSOR_EXPIRED", ["iterator"])
    for name in ("MessageStreamSeek", "MessageStreamCommit"):
        fault = await tenant.fault(name, appId=app["id"], consumerId="books", iterator=messages)
        assert fault == ("CURSOR_EXPIRED", ["iterator"])


@pytest.mark.sqlite_only
@pytest.mark.parametrize("restore", [write_into, copy_over, replace])
async def test_a_cursor_of_what_a_restore_took_back_is_refused(
    restore: Callable[[Path, Path], None], backend: Backend, receiver: Receiver, tmp_path: Path
) -> None:
    """Also when as much was written since, under the same numbers; what the backup knows goes on without a gap."""
    database_url = await backend.fresh_database()
    file, copy = Path(database_url.removeprefix("sqlite://")), tmp_path / "copy.sqlite3"
    with deployed(database_url, None) as first:
        async with Tenant(first.graphql, await mint(first)) as acme:
            token, app = acme.token, await acme.application()
            endpoint = await acme.endpoint(app, receiver.url())
            await sent(acme, app, 2)
            known = await ends(acme, app, endpoint)
            await acme.do("MessageStreamSeek", appId=app["id"], consumerId="books", iterator=known[1])
            kept = await sent(acme, app, 1)
            back_up(file, copy)
            await sent(acme, app, 5)
            lost = await ends(acme, app, endpoint)
    restore(copy, file)

    with deployed(database_url, None) as second:
        async with Tenant(second.graphql, token) as acme:
            await assert_expired(acme, app, *lost)
            anew = await sent(acme, app, 7)
            await assert_expired(acme, app, *lost)
            async with acme.subscribe("WatchMessageAttempts", appId=app["id"], after=known[0]) as live:
                seen = [(await live.next())["attempt"]["msgId"] for _ in range(8)]
            assert sorted(seen) == sorted(kept + anew)
            batch = await acme.run("MessageStreamPoll", appId=app["id"], consumerId="books")
            assert [message["id"] for message in batch["messageStream"]["data"]] == kept + anew


async def test_a_restart_keeps_every_cursor(backend: Backend, receiver: Receiver) -> None:
    database_url = await backend.fresh_database()
    with deployed(database_url, backend.fresh_redis()) as first:
        async with Tenant(first.graphql, await mint(first)) as acme:
            token, app = acme.token, await acme.application()
            endpoint = await acme.endpoint(app, receiver.url())
            await sent(acme, app, 2)
            await settled_order(database_url)
            attempts, messages = await ends(acme, app, endpoint)
            later = await sent(acme, app, 2)
    for _ in range(2):
        with deployed(database_url, backend.fresh_redis()) as again:
            async with Tenant(again.graphql, token) as acme:
                async with acme.subscribe("WatchMessageAttempts", appId=app["id"], after=attempts) as live:
                    seen = [(await live.next())["attempt"]["msgId"] for _ in later]
                assert sorted(seen) == sorted(later)
                await settled_order(database_url)
                stream = await acme.run("MessageStream", appId=app["id"], iterator=messages)
                assert [message["id"] for message in stream["data"]] == later
                later += await sent(acme, app, 2)


async def test_a_cursor_beyond_the_end_is_refused(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    await sent(acme, app, 1)

    beyond = []
    for cursor in await ends(acme, app, endpoint):
        origin, commit, kind = cursor.split(".")
        beyond.append(f"{origin}.{int(commit) + 1_000_000}.{kind}")

    await assert_expired(acme, app, *beyond)


async def test_a_cursor_from_now_is_taken_beside_a_subscription_that_heard_nothing_for_long(acme: Tenant, receiver: Receiver) -> None:
    app, busy = await acme.application(), await acme.application()
    endpoint = await acme.endpoint(app, receiver.url("/quiet"))
    await acme.endpoint(busy, receiver.url("/busy"))

    async with acme.subscribe("WatchMessageAttempts", appId=app["id"]) as quiet:
        await quiet.taken_up()
        await sent(acme, busy, 3)
        attempts, _ = await ends(acme, app, endpoint)
        async with acme.subscribe("WatchMessageAttempts", appId=app["id"], after=attempts) as live:
            await live.taken_up()
            (message,) = await sent(acme, app, 1)
            assert [(await events.next())["attempt"]["msgId"] for events in (quiet, live)] == [message] * 2
