"""Stories of subscriptions: what is seen as it happens, and what is not missed when the line is cut."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from tests.client import http_client
from tests.conftest import Backend, mint
from tests.deployment import deployed
from tests.operations import operations
from tests.receiver import Receiver
from tests.tenant import Refused, Tenant
from tests.waiting import until


async def test_attempts_are_seen_as_they_are_recorded(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 500)

    async with acme.subscribe("WatchMessageAttempts", appId=app["id"]) as live:
        await live.taken_up()
        message = await acme.message(app)
        events = [await live.next(), await live.next()]

    assert [event["attempt"]["status"] for event in events] == ["FAIL", "SUCCESS"]
    recorded = await acme.attempts(app, message)
    assert [event["attempt"] for event in events] == recorded[::-1]


async def test_a_cursor_resumes_without_gap_or_repetition(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    cursor = None

    async with acme.subscribe("WatchMessageAttempts", appId=app["id"]) as live:
        await live.taken_up()
        await acme.message(app)
        cursor = (await live.next())["cursor"]
    missed = [await acme.message(app) for _ in range(3)]
    for message in missed:
        await acme.settled(app, message)
    async with acme.subscribe("WatchMessageAttempts", appId=app["id"], after=cursor) as live:
        seen = [(await live.next())["attempt"]["msgId"] for _ in range(3)]
        last = await acme.message(app)
        assert (await live.next())["attempt"]["msgId"] == last["id"]

    assert sorted(seen) == sorted(message["id"] for message in missed)


async def test_a_list_leads_to_a_subscription_without_a_gap(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    await acme.settled(app, await acme.message(app))

    listed = await acme.run("MessageAttempts", appId=app["id"], endpointId=endpoint["id"])
    between = await acme.message(app)
    await acme.settled(app, between)
    async with acme.subscribe("WatchMessageAttempts", appId=app["id"], after=listed["liveCursor"]) as live:
        event = await live.next()

    assert event["attempt"]["msgId"] == between["id"]
    assert event["attempt"]["id"] not in [attempt["id"] for attempt in listed["nodes"]]


async def test_a_subscription_filters(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    await acme.endpoint(app, receiver.url())
    receiver.answers("/hook", 500)

    async with acme.subscribe("WatchMessageAttempts", appId=app["id"], filter={"status": "SUCCESS", "eventTypes": ["b"]}) as live:
        await live.taken_up()
        await acme.settled(app, await acme.message(app, eventType="a"))
        wanted = await acme.message(app, eventType="b")
        event = await live.next()

    assert (event["attempt"]["msgId"], event["attempt"]["status"]) == (wanted["id"], "SUCCESS")


async def test_the_status_of_a_message_is_followed_until_it_is_final(acme: Tenant, receiver: Receiver) -> None:
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url())
    gate = receiver.hold("/hook")
    message = await acme.message(app)

    async with acme.subscribe("MessageStatus", appId=app["id"], messageId=message["id"]) as live:
        first = await live.next()
        assert first["done"] is False
        gate.set()
        events = [first]
        while (event := await live.next()) is not None:
            events.append(event)

    assert events[-1]["done"] is True
    assert [(d["endpointId"], d["status"]) for d in events[-1]["destinations"]] == [(endpoint["id"], "SUCCESS")]


async def test_the_status_of_a_message_without_destinations_completes_at_once(acme: Tenant) -> None:
    app = await acme.application()
    message = await acme.message(app)

    async with acme.subscribe("MessageStatus", appId=app["id"], messageId=message["id"]) as live:
        assert await live.next() == {"done": True, "destinations": []}
        assert await live.next() is None


async def test_a_payload_that_was_forgotten_no_longer_shows_on_the_same_socket(acme: Tenant) -> None:
    app = await acme.application()
    message = await acme.message(app, payload={"secret": 1})
    this = {"appId": app["id"], "id": message["id"]}

    async with acme.follow(operations()["Message"], this) as socket:
        assert (await socket.next())["payload"] == {"secret": 1}
        assert await socket.next() is None
        expunged = await acme.run("MessageExpungeContent", appId=app["id"], messageId=message["id"])
        assert expunged["errors"] == []
        await socket.begin(operations()["Message"], this)
        again = await socket.next()

    assert (again["payload"], again["rawPayload"]) == ({"expired": True}, None)


async def test_each_event_of_a_subscription_shows_what_is_so_then(acme: Tenant, receiver: Receiver) -> None:
    document = """subscription ($appId: ID!, $messageId: ID!) {
        messageStatus(appId: $appId, messageId: $messageId) { done destinations { endpoint { description } } }
    }"""
    app = await acme.application()
    endpoint = await acme.endpoint(app, receiver.url(), description="before")
    gate = receiver.hold("/hook")
    message = await acme.message(app)

    async with acme.follow(document, {"appId": app["id"], "messageId": message["id"]}) as live:
        shown = [await live.next()]
        await acme.do("EndpointPatch", appId=app["id"], id=endpoint["id"], input={"description": "after"})
        gate.set()
        while (event := await live.next()) is not None:
            shown.append(event)

    descriptions = [event["destinations"][0]["endpoint"]["description"] for event in shown]
    assert (descriptions[0], descriptions[-1]) == ("before", "after")


@pytest.mark.parametrize(("after", "code"), [("nonsense", "BAD_USER_INPUT"), ("000000000000.5.", "CURSOR_EXPIRED"), ("", "BAD_USER_INPUT")])
async def test_a_bad_cursor_is_refused(acme: Tenant, after: str, code: str) -> None:
    app = await acme.application()

    async with acme.subscribe("WatchMessageAttempts", appId=app["id"], after=after) as live:
        with pytest.raises(Refused) as refused:
            await live.next()

    assert refused.value.code == code
    assert refused.value.path == ["after"]


async def test_a_foreign_application_cannot_be_watched(acme: Tenant, rival: Tenant) -> None:
    app = await rival.application()

    async with acme.subscribe("WatchMessageAttempts", appId=app["id"]) as live:
        with pytest.raises(Refused) as refused:
            await live.next()

    assert refused.value.code == "NOT_FOUND"


async def test_an_organisation_has_so_many_connections_and_subscriptions_and_no_more(backend: Backend) -> None:
    limits = {"GRAPHOOK_LIVE_CONNECTIONS": "2", "GRAPHOOK_LIVE_SUBSCRIPTIONS": "2"}
    with deployed(await backend.fresh_database(), backend.fresh_redis(), **limits) as running:
        async with Tenant(running.graphql, await mint(running)) as acme, Tenant(running.graphql, await mint(running)) as rival:
            app, theirs = await acme.application(), await rival.application()
            sent = [await acme.message(app), await rival.message(theirs)]
            # Whoever is admitted gets the message that is there.
            ours = {"appId": app["id"], "since": "2026-01-01T00:00:00Z"}
            headers = {"Authorization": f"Bearer {acme.token}", "Accept": "text/event-stream"}
            request = {"query": operations()["WatchMessages"], "variables": ours}
            async with acme.subscribe("WatchMessages", **ours) as first, http_client(headers=headers) as http:
                assert (await first.next())["message"]["id"] == sent[0]["id"]
                async with http.stream("POST", running.graphql, json=request) as stream:
                    lines = stream.aiter_lines()
                    while sent[0]["id"] not in await anext(lines):
                        pass
                    async with acme.subscribe("WatchMessages", **ours) as third:
                        with pytest.raises(Refused) as refused:
                            await third.next()
                        assert refused.value.code == "LIMIT_EXCEEDED"
                        with pytest.raises(ConnectionClosed) as closed:
                            async with acme.subscribe("WatchMessages", **ours):
                                pass
                        assert closed.value.rcvd is not None
                        assert closed.value.rcvd.code == 4429
                    assert "LIMIT_EXCEEDED" in (await http.post(running.graphql, json=request)).text
                    async with rival.subscribe("WatchMessages", **{**ours, "appId": theirs["id"]}) as live:
                        assert (await live.next())["message"]["id"] == sent[1]["id"]

                async def is_free() -> bool:
                    try:
                        async with acme.subscribe("WatchMessages", **ours) as live:
                            return bool((await live.next())["message"]["id"] == sent[0]["id"])
                    except (Refused, ConnectionClosed):
                        return False

                await until(is_free, "the place of the stream that ended")


async def test_a_stream_ends_without_being_complete_when_the_process_stops(backend: Backend) -> None:
    """So that the client comes back. Nobody waits for streams to end by themselves, and nothing is said of it as if it were a fault."""
    redis_url = backend.redis_url if backend.name == "postgresql" else None
    with deployed(await backend.fresh_database(), redis_url) as running:
        async with Tenant(running.graphql, await mint(running)) as acme:
            app = await acme.application()
            sent = await acme.message(app)
            headers = {"Authorization": f"Bearer {acme.token}", "Accept": "text/event-stream"}
            variables = {"appId": app["id"], "since": "2026-01-01T00:00:00Z"}
            request = {"query": operations()["WatchMessages"], "variables": variables}
            async with (
                http_client(headers=headers) as http,
                http.stream("POST", running.graphql, json=request) as stream,
            ):
                lines = stream.aiter_lines()
                while sent["id"] not in await anext(lines):
                    pass
                stopping = asyncio.create_task(asyncio.to_thread(running.server.stop))
                rest = [line async for line in lines]
                await stopping
    assert "event: complete" not in rest
    assert "graceful shutdown exceeded" not in running.server.output
    assert "Traceback" not in running.server.output


async def test_the_tokens_of_an_application_leave_connections_and_subscriptions_to_the_others(backend: Backend) -> None:
    limits = {"GRAPHOOK_LIVE_CONNECTIONS": "5", "GRAPHOOK_LIVE_SUBSCRIPTIONS": "5"}
    with deployed(await backend.fresh_database(), backend.fresh_redis(), **limits) as running:
        async with Tenant(running.graphql, await mint(running)) as acme, AsyncExitStack() as open_ones:
            app = await acme.application()
            sent = await acme.message(app)
            access = await acme.do("AppPortalAccessCreate", appId=app["id"], input={})
            portal = await open_ones.enter_async_context(Tenant(running.graphql, access["token"]))
            all_of_it = {"appId": app["id"], "since": "2026-01-01T00:00:00Z"}
            for _ in range(4):
                live = await open_ones.enter_async_context(portal.subscribe("WatchMessages", **all_of_it))
                assert (await live.next())["message"]["id"] == sent["id"]

            with pytest.raises(ConnectionClosed) as closed:
                async with portal.subscribe("WatchMessages", **all_of_it):
                    pass
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4429
            headers = {"Authorization": f"Bearer {portal.token}", "Accept": "text/event-stream"}
            async with http_client(headers=headers) as http:
                request = {"query": operations()["WatchMessages"], "variables": all_of_it}
                assert "LIMIT_EXCEEDED" in (await http.post(running.graphql, json=request)).text
            async with acme.subscribe("WatchMessages", **all_of_it) as live:
                assert (await live.next())["message"]["id"] == sent["id"]
