"""Stories of the message stream: read in the order of commits, followed live, and by consumers whose place is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from graphook import database
from graphook.clock import now, to_us
from graphook.ids import new_id
from tests.conftest import Backend, mint, organisation_of
from tests.deployment import Deployment, deployed
from tests.order import settled_order
from tests.tenant import Refused, Tenant


class Patient(Tenant):
    """A tenant whose messages can be read in order as soon as they are there, whatever else goes on in the database."""

    def __init__(self, deployment: Deployment, token: str) -> None:
        super().__init__(deployment.graphql, token)
        self._database_url = deployment.database_url

    async def message(self, app: Any, **values: Any) -> Any:
        made = await super().message(app, **values)
        await settled_order(self._database_url)
        return made


@pytest.fixture
async def acme(deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Patient(deployment, await mint(deployment)) as tenant:
        yield tenant


def ids(rows: list[Any]) -> list[str]:
    return [row["id"] for row in rows]


async def test_a_stream_is_read_from_the_oldest_message_and_polled_on(acme: Tenant) -> None:
    app = await acme.application()
    sent = [await acme.message(app) for _ in range(5)]

    first = await acme.run("MessageStream", appId=app["id"], limit=3)
    assert (ids(first["data"]), first["done"]) == (ids(sent[:3]), False)
    assert first["data"][0]["payload"] == sent[0]["payload"]
    second = await acme.run("MessageStream", appId=app["id"], limit=3, iterator=first["iterator"])
    assert (ids(second["data"]), second["done"]) == (ids(sent[3:]), True)
    nothing = await acme.run("MessageStream", appId=app["id"], iterator=second["iterator"])
    assert (nothing["data"], nothing["done"]) == ([], True)

    later = await acme.message(app)
    assert ids((await acme.run("MessageStream", appId=app["id"], iterator=nothing["iterator"]))["data"]) == [later["id"]]


async def test_a_page_that_ends_with_the_last_message_is_done(acme: Tenant) -> None:
    app = await acme.application()
    for _ in range(3):
        await acme.message(app)

    assert (await acme.run("MessageStream", appId=app["id"], limit=3))["done"] is True
    assert (await acme.run("MessageStream", appId=app["id"], limit=2))["done"] is False


async def test_a_stream_from_the_newest_has_an_iterator_before_there_is_a_message(acme: Tenant) -> None:
    app = await acme.application()
    await acme.message(app)

    begin = await acme.run("MessageStream", appId=app["id"], start="NEWEST")
    assert (begin["data"], begin["done"]) == ([], True)
    later = await acme.message(app)

    assert ids((await acme.run("MessageStream", appId=app["id"], iterator=begin["iterator"]))["data"]) == [later["id"]]


async def age(deployment: Deployment, *messages: Any) -> None:
    """As if these messages had been accepted an hour ago, each a second after the one before."""
    then = now() - timedelta(hours=1)
    async with database.connected(deployment.database_url), database.transaction() as session:
        for n, message in enumerate(messages):
            at = then + timedelta(seconds=n)
            message["old_id"], message["id"], message["timestamp"] = message["id"], new_id("msg_", at), at.isoformat()
            for table, column in (("message", "id"), ("message_content", "message_id"), ("message_key", "message_id")):
                await session.fetch_text(f"UPDATE {table} SET {column} = '{message['id']}' WHERE {column} = '{message['old_id']}'")
            await session.fetch_text(f"UPDATE message SET created_at = {to_us(at)} WHERE id = '{message['id']}'")


async def test_a_stream_begins_at_a_time(deployment: Deployment, acme: Tenant) -> None:
    app, other = await acme.application(), await acme.application()
    old = [await acme.message(app) for _ in range(3)]
    await age(deployment, *old)
    new = [await acme.message(one) for one in (app, other, app)]
    half_an_hour_ago = (now() - timedelta(minutes=30)).isoformat()

    first = await acme.run("MessageStream", appId=app["id"], since=half_an_hour_ago, limit=1)
    assert ids(first["data"]) == [new[0]["id"]]
    rest = await acme.run("MessageStream", appId=app["id"], since=half_an_hour_ago, iterator=first["iterator"])
    assert (ids(rest["data"]), rest["done"]) == ([new[2]["id"]], True)
    assert ids((await acme.run("OrganisationMessageStream", since=half_an_hour_ago))["data"]) == ids(new)
    assert ids((await acme.run("MessageStream", appId=app["id"], since=old[1]["timestamp"]))["data"]) == ids([*old[1:], new[0], new[2]])
    everything = ids([*old, new[0], new[2]])
    for long_ago in ("1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"):
        assert ids((await acme.run("MessageStream", appId=app["id"], since=long_ago))["data"]) == everything
    assert (await acme.run("MessageStream", appId=app["id"], since="9999-12-31T23:59:59Z"))["data"] == []

    assert ids((await poll(acme, app, since=half_an_hour_ago))["data"]) == ids([new[0], new[2]])
    await acme.do("MessageStreamSeek", appId=app["id"], consumerId="books", since=old[1]["timestamp"])
    assert ids((await poll(acme, app, since=old[1]["timestamp"]))["data"]) == everything[1:]
    async with acme.subscribe("WatchMessages", appId=app["id"], since=half_an_hour_ago) as live:
        assert [(await live.next())["message"]["id"] for _ in range(2)] == ids([new[0], new[2]])
        later = await acme.message(app)
        event = await live.next()
        assert event["message"]["id"] == later["id"]
    async with acme.subscribe("WatchMessages", appId=app["id"], since=half_an_hour_ago, after=event["cursor"]) as live:
        last = await acme.message(app)
        assert (await live.next())["message"]["id"] == last["id"]


async def test_a_filtered_stream_leaves_out_and_goes_on_behind_what_it_left_out(acme: Tenant) -> None:
    app = await acme.application()
    wanted = await acme.message(app, eventType="a", channels=["red", "blue"])
    for values in ({"eventType": "b", "channels": ["red"]}, {"eventType": "a"}, {"eventType": "a", "channels": ["green"]}):
        await acme.message(app, **values)

    found = await acme.run("MessageStream", appId=app["id"], eventTypes=["a", "c"], channels=["red", "yellow"])
    assert (ids(found["data"]), found["done"]) == ([wanted["id"]], True)
    assert (await acme.run("MessageStream", appId=app["id"], iterator=found["iterator"]))["data"] == []
    assert len((await acme.run("MessageStream", appId=app["id"], eventTypes=["a"]))["data"]) == 3


async def test_the_organisations_stream_has_the_messages_of_all_its_applications(
    deployment: Deployment, acme: Tenant, rival: Tenant
) -> None:
    apps = [await acme.application(), await acme.application()]
    sent = [await acme.message(app) for app in (*apps, apps[0])]
    await rival.message(await rival.application())

    stream = await acme.run("OrganisationMessageStream")

    assert [(row["id"], row["appId"]) for row in stream["data"]] == [(m["id"], m["appId"]) for m in sent]
    assert sent[1]["appId"] == apps[1]["id"]
    org_id = await organisation_of(deployment, apps[0])
    async with Tenant(deployment.graphql, await mint(deployment, kind="app", org_id=org_id, app_id=apps[0]["id"])) as portal:
        assert len((await portal.run("MessageStream", appId=apps[0]["id"]))["data"]) == 2
        with pytest.raises(Refused) as refused:
            await portal.run("OrganisationMessageStream")
        assert refused.value.code == "FORBIDDEN"


async def test_many_writers_at_once_are_read_without_a_gap_or_a_repetition(acme: Tenant) -> None:
    app = await acme.application()
    sent: set[str] = set()

    async def write(number: int) -> None:
        for _ in range(10):
            sent.add((await acme.message(app, eventType=f"writer.{number}"))["id"])

    writers = [asyncio.ensure_future(write(number)) for number in range(6)]
    seen: list[str] = []
    iterator: str | None = None
    while True:
        finished = all(writer.done() for writer in writers)
        page = await acme.run("MessageStream", appId=app["id"], limit=7, iterator=iterator)
        seen += ids(page["data"])
        iterator = page["iterator"]
        if finished and page["done"] and len(seen) >= 60:
            break
    await asyncio.gather(*writers)

    assert len(seen) == len(set(seen)) == 60
    assert set(seen) == sent


async def test_messages_are_watched_as_they_are_accepted_and_resumed_without_a_gap(acme: Tenant) -> None:
    app = await acme.application()
    async with acme.subscribe("WatchMessages", appId=app["id"]) as live:
        await live.taken_up()
        first = await acme.message(app)
        event = await live.next()
    assert event["message"] == first
    missed = [await acme.message(app) for _ in range(2)]

    async with acme.subscribe("WatchMessages", appId=app["id"], after=event["cursor"]) as live:
        assert [(await live.next())["message"]["id"] for _ in missed] == ids(missed)
        last = await acme.message(app)
        assert (await live.next())["message"]["id"] == last["id"]


async def test_a_list_or_a_stream_leads_to_its_subscription(acme: Tenant) -> None:
    app = await acme.application()
    await acme.message(app)
    listed = await acme.run("Messages", appId=app["id"])
    streamed = await acme.run("MessageStream", appId=app["id"])
    between = await acme.message(app)

    for cursor in (listed["liveCursor"], streamed["iterator"]):
        async with acme.subscribe("WatchMessages", appId=app["id"], after=cursor) as live:
            assert (await live.next())["message"]["id"] == between["id"]


async def test_the_whole_organisation_is_watched_and_filtered(acme: Tenant, rival: Tenant) -> None:
    apps = [await acme.application(), await acme.application()]
    async with acme.subscribe("WatchMessages", filter={"eventTypes": ["b"], "tag": "t"}) as live:
        await live.taken_up()
        await rival.message(await rival.application(), eventType="b", tags=["t"])
        await acme.message(apps[0], eventType="a", tags=["t"])
        await acme.message(apps[0], eventType="b")
        wanted = await acme.message(apps[1], eventType="b", tags=["t"])
        assert (await live.next())["message"]["id"] == wanted["id"]


async def poll(tenant: Tenant, app: Any, **more: Any) -> Any:
    payload = await tenant.run("MessageStreamPoll", appId=app["id"], consumerId="books", **more)
    assert payload["errors"] == []
    return payload["messageStream"]


async def test_a_consumer_goes_on_where_it_committed(acme: Tenant) -> None:
    app = await acme.application()
    sent = [await acme.message(app) for _ in range(5)]

    first = await poll(acme, app, limit=2)
    assert (ids(first["data"]), first["done"]) == (ids(sent[:2]), False)
    for _ in range(2):
        assert await acme.do("MessageStreamCommit", appId=app["id"], consumerId="books", iterator=first["iterator"]) == first["iterator"]
    second = await poll(acme, app)
    assert (ids(second["data"]), second["done"]) == (ids(sent[2:]), True)
    await acme.do("MessageStreamCommit", appId=app["id"], consumerId="books", iterator=second["iterator"])

    for _ in range(2):
        empty = await acme.run("MessageStreamPoll", appId=app["id"], consumerId="books")
        assert (empty["messageStream"]["data"], empty["leasedUntil"]) == ([], None), "nothing is leased, so nobody waits"
    other = await acme.run("MessageStreamPoll", appId=app["id"], consumerId="other", limit=1)
    assert ids(other["messageStream"]["data"]) == [sent[0]["id"]]


async def test_of_many_pollers_at_once_one_gets_the_batch(acme: Tenant) -> None:
    app = await acme.application()
    for _ in range(4):
        await acme.message(app)
    await acme.do("MessageStreamSeek", appId=app["id"], consumerId="books", start="OLDEST")

    payloads = await asyncio.gather(*(acme.run("MessageStreamPoll", appId=app["id"], consumerId="books", limit=2) for _ in range(8)))

    got = [payload for payload in payloads if payload["messageStream"] is not None]
    assert len(got) == 1
    assert got[0]["leasedUntil"] is not None
    refused = [error for payload in payloads for error in payload["errors"]]
    assert {(error["code"], *error["path"]) for error in refused} == {("BATCH_LEASED", "consumerId")}
    assert len(refused) == 7


async def test_a_batch_is_committed_in_parts(deployment: Deployment, acme: Tenant) -> None:
    app = await acme.application()
    sent = [await acme.message(app) for _ in range(4)]
    part = await acme.run("MessageStream", appId=app["id"], limit=1)
    batch = await poll(acme, app, limit=3)

    await acme.do("MessageStreamCommit", appId=app["id"], consumerId="books", iterator=part["iterator"])
    assert (await acme.fault("MessageStreamPoll", appId=app["id"], consumerId="books"))[0] == "BATCH_LEASED"
    await end_the_lease(deployment.database_url, app)
    assert ids((await poll(acme, app))["data"]) == ids(sent[1:])
    await acme.do("MessageStreamCommit", appId=app["id"], consumerId="books", iterator=batch["iterator"])


async def end_the_lease(database_url: str, app: Any) -> None:
    """As if so much time had passed."""
    async with database.connected(database_url), database.transaction() as session:
        await session.fetch_text(f"UPDATE message_consumer SET lease_until = 1 WHERE app_id = '{app['id']}'")


async def test_a_token_that_may_only_read_takes_nothing_from_a_consumer(acme: Tenant) -> None:
    app = await acme.application()
    sent = [await acme.message(app) for _ in range(3)]
    batch = await poll(acme, app, limit=2)
    consumer = {"appId": app["id"], "consumerId": "books"}
    access = await acme.do("AppPortalAccessCreate", appId=app["id"], input={"capabilities": ["VIEW_BASE"]})

    async with Tenant(acme.url, access["token"]) as portal:
        assert ids((await portal.run("MessageStream", appId=app["id"]))["data"]) == ids(sent)
        assert (await portal.fault("MessageStreamCommit", **consumer, iterator=batch["iterator"]))[0] == "FORBIDDEN"
        assert (await portal.fault("MessageStreamSeek", **consumer, start="NEWEST"))[0] == "FORBIDDEN"
        await acme.do("MessageStreamCommit", **consumer, iterator=batch["iterator"])
        assert (await portal.fault("MessageStreamPoll", **consumer))[0] == "FORBIDDEN"

    assert ids((await poll(acme, app))["data"]) == ids(sent[2:])


async def test_only_what_is_out_can_be_committed(acme: Tenant) -> None:
    app = await acme.application()
    for _ in range(4):
        await acme.message(app)
    whole = await acme.run("MessageStream", appId=app["id"])
    arguments = {"appId": app["id"], "consumerId": "books", "iterator": whole["iterator"]}

    assert await acme.fault("MessageStreamCommit", **arguments) == ("NOT_FOUND", ["consumerId"])
    await poll(acme, app, limit=2)
    assert await acme.fault("MessageStreamCommit", **arguments) == ("BATCH_NOT_LEASED", ["iterator"])
    assert (await acme.fault("MessageStreamPoll", appId=app["id"], consumerId="books"))[0] == "BATCH_LEASED", "it is still out"


async def test_a_consumer_is_moved_to_any_place(acme: Tenant) -> None:
    app = await acme.application()
    sent = [await acme.message(app) for _ in range(3)]
    first = await poll(acme, app, limit=1)

    await acme.do("MessageStreamSeek", appId=app["id"], consumerId="books", start="NEWEST")
    assert (await poll(acme, app))["data"] == []
    await acme.do("MessageStreamSeek", appId=app["id"], consumerId="books", iterator=first["iterator"])
    assert ids((await poll(acme, app))["data"]) == ids(sent[1:])
    await acme.do("MessageStreamSeek", appId=app["id"], consumerId="books", start="OLDEST")
    assert ids((await poll(acme, app))["data"]) == ids(sent), "the batch that was out is not in the way"
    for arguments in ({}, {"start": "OLDEST", "iterator": first["iterator"]}):
        fault = await acme.fault("MessageStreamSeek", appId=app["id"], consumerId="books", **arguments)
        assert fault == ("BAD_USER_INPUT", ["iterator"])


async def test_two_places_to_begin_at_are_refused(acme: Tenant) -> None:
    app = await acme.application()
    found = await acme.run("MessageStream", appId=app["id"])
    since = "2026-01-01T00:00:00Z"

    for start in ("OLDEST", "NEWEST"):
        for more in ({"iterator": found["iterator"]}, {"since": since}):
            for name, where in (("MessageStream", {"appId": app["id"]}), ("OrganisationMessageStream", {})):
                with pytest.raises(Refused) as refused:
                    await acme.run(name, **where, **more, start=start)
                assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", ["start"])
        fault = await acme.fault("MessageStreamPoll", appId=app["id"], consumerId="books", start=start, since=since)
        assert fault == ("BAD_USER_INPUT", ["start"])


async def test_a_new_consumer_begins_at_either_end(acme: Tenant) -> None:
    app = await acme.application()
    await acme.message(app)

    assert (await poll(acme, app, start="NEWEST"))["data"] == []
    later = await acme.message(app)
    assert ids((await poll(acme, app, start="OLDEST"))["data"]) == [later["id"]], "its place is remembered"


async def test_an_application_has_at_most_a_hundred_consumers(acme: Tenant) -> None:
    app = await acme.application()
    document = "mutation ($app: ID!) {" + " ".join(
        f'c{n}: messageStreamSeek(appId: $app, consumerId: "c{n}", start: OLDEST) {{ errors {{ code path }} }}' for n in range(20)
    )
    for batch in range(5):
        answers = await acme.execute(document.replace('"c', f'"{batch}-') + "}", {"app": app["id"]})
        assert all(answer["errors"] == [] for answer in answers.values())

    assert await acme.fault("MessageStreamPoll", appId=app["id"], consumerId="one-more") == ("LIMIT_EXCEEDED", ["consumerId"])
    assert await acme.do("MessageStreamSeek", appId=app["id"], consumerId="0-1", start="NEWEST")


@pytest.mark.parametrize(
    ("arguments", "path", "code"),
    [
        ({"limit": 0}, ["limit"], "BAD_USER_INPUT"),
        ({"limit": 251}, ["limit"], "BAD_USER_INPUT"),
        ({"eventTypes": ["a b"]}, ["eventTypes", "0"], "BAD_USER_INPUT"),
        ({"channels": ["a", "a"]}, ["channels", "1"], "BAD_USER_INPUT"),
        ({"iterator": ""}, ["iterator"], "BAD_USER_INPUT"),
        ({"iterator": "msg_" + "0" * 27}, ["iterator"], "BAD_USER_INPUT"),
        ({"iterator": "000000000000.5.msg_"}, ["iterator"], "CURSOR_EXPIRED"),
    ],
)
async def test_bad_arguments_of_a_stream_are_refused_with_their_path(
    acme: Tenant, arguments: dict[str, Any], path: list[str], code: str
) -> None:
    app = await acme.application()

    for name, target in (("MessageStream", {"appId": app["id"]}), ("OrganisationMessageStream", {})):
        with pytest.raises(Refused) as refused:
            await acme.run(name, **target, **arguments)
        assert (refused.value.code, refused.value.path) == (code, path)
    consumer = {"appId": app["id"], "consumerId": "books"}
    if "iterator" in arguments:
        assert await acme.fault("MessageStreamSeek", **consumer, **arguments) == (code, path)
        await poll(acme, app)
        assert await acme.fault("MessageStreamCommit", **consumer, **arguments) == (code, path)
    else:
        assert await acme.fault("MessageStreamPoll", **consumer, **arguments) == (code, path)
    for name, more, wrong in (
        ("MessageStreamPoll", {"consumerId": "a b"}, "consumerId"),
        ("MessageStreamPoll", {"leaseSeconds": 0}, "leaseSeconds"),
        ("MessageStreamPoll", {"leaseSeconds": 3601}, "leaseSeconds"),
        ("MessageStreamSeek", {"consumerId": "\0", "start": "NEWEST"}, "consumerId"),
    ):
        assert await acme.fault(name, **{**consumer, **more}) == ("BAD_USER_INPUT", [wrong])


async def test_a_cursor_of_attempts_is_no_place_in_a_stream(acme: Tenant) -> None:
    app = await acme.application()
    message = await acme.message(app)
    attempts = await acme.run("MessageAttempts", appId=app["id"], messageId=message["id"])

    with pytest.raises(Refused) as refused:
        await acme.run("MessageStream", appId=app["id"], iterator=attempts["liveCursor"])
    assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", ["iterator"])


async def test_a_batch_that_was_not_committed_survives_both_its_poller_and_the_server(backend: Backend) -> None:
    """The server dies between poll and commit: the lease is kept, then the batch is given out again, then the rest."""
    database_url = await backend.fresh_database()
    with deployed(database_url, backend.fresh_redis()) as first:
        async with Tenant(first.graphql, await mint(first)) as acme:
            token = acme.token
            app = await acme.application()
            sent = [await acme.message(app) for _ in range(3)]
            assert ids((await poll(acme, app, limit=2, leaseSeconds=600))["data"]) == ids(sent[:2])
            first.server.kill()
    with deployed(database_url, backend.fresh_redis()) as second:
        async with Tenant(second.graphql, token) as acme:
            assert (await acme.fault("MessageStreamPoll", appId=app["id"], consumerId="books"))[0] == "BATCH_LEASED"
            await end_the_lease(database_url, app)
            again = await poll(acme, app)
            assert ids(again["data"]) == ids(sent), "from the first message that was not committed"
            await acme.do("MessageStreamCommit", appId=app["id"], consumerId="books", iterator=again["iterator"])
            assert (await poll(acme, app))["data"] == []
