"""GraphQL over WebSocket, frame by frame: what is answered, what ends the socket and with which code."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from graphook.graphql_limits import MAX_CHARACTERS
from graphook.graphql_socket import INIT_WAIT, MAX_OPERATIONS
from graphook.graphql_view import GraphQLView
from graphook.seats import Seats
from tests.graphook.toy import CROWDED, IMPATIENT, MAX_CROWDED, TOKEN, WS_MAX_SIZE, Context, Toy, schema
from tests.waiting import PATIENCE, until

INIT = {"type": "connection_init", "payload": {"Authorization": TOKEN}}


def subscribe(query: Any, id: Any = "1", **more: Any) -> dict[str, Any]:
    return {"type": "subscribe", "id": id, "payload": {"query": query, **more}}


TICKS = subscribe("subscription { ticks }")


async def send(socket: ClientConnection, *frames: Any) -> None:
    for frame in frames:
        await socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))


async def receive(socket: ClientConnection) -> Any:
    async with asyncio.timeout(PATIENCE):
        return json.loads(await socket.recv())


async def closed(socket: ClientConnection) -> tuple[list[Any], int, str]:
    """What came before the close, its code and its reason."""
    came = []
    try:
        while True:
            came.append(await receive(socket))
    except ConnectionClosed as end:
        assert end.rcvd is not None, "the server cut the line without saying why"
        return came, end.rcvd.code, end.rcvd.reason


async def initialised(socket: ClientConnection, *frames: Any) -> None:
    await send(socket, INIT, *frames)
    assert (await receive(socket))["type"] == "connection_ack"


async def answers(socket: ClientConnection, id: str = "1") -> list[Any]:
    """The frames of an operation up to its end."""
    found = []
    while True:
        frame = await receive(socket)
        if frame.get("id") == id:
            found.append(frame)
            if frame["type"] in ("complete", "error"):
                return found


async def test_a_query_a_mutation_and_a_subscription_run(toy: Toy) -> None:
    async with toy.socket() as socket:
        await initialised(socket, subscribe("{ hello }"))
        assert await answers(socket) == [
            {"id": "1", "type": "next", "payload": {"data": {"hello": "hello you"}}},
            {"id": "1", "type": "complete"},
        ]
        await send(socket, subscribe("mutation M($t: String) { write(text: $t) }", variables={"t": "x"}, operationName="M", extensions={}))
        assert (await answers(socket))[0]["payload"] == {"data": {"write": "x"}}
        await send(socket, subscribe("subscription { count(to: 2) }", variables=None, operationName=None))
        assert [frame.get("payload") for frame in await answers(socket)] == [{"data": {"count": 0}}, {"data": {"count": 1}}, None]
    assert toy.written == ["x"]


@pytest.mark.parametrize(
    "frame",
    [
        "[1]",
        "[]",
        "5",
        "null",
        "true",
        '"x"',
        "",
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"type":"connection_init","payload":' + "1" * 5_000 + "}",
        '{"type":"ping","payload":{"a":NaN}}',
        '{"type":"ping","payload":{"a":"\\ud800"}}',
        b"\x00\xff",
        b'{"type":"ping"}',
        "{}",
        '{"type":5}',
        '{"type":null}',
        '{"type":"nope"}',
        json.dumps({"type": "é" * 100}),
        '{"type":"start","id":"1","payload":{"query":"{ hello }"}}',
        '{"type":"connection_init","payload":"x"}',
        '{"type":"connection_init","payload":[]}',
    ],
    ids=lambda frame: repr(frame[:40]),
)
async def test_a_frame_that_is_no_message_closes_with_4400(toy: Toy, frame: str | bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with toy.socket() as socket:
        await send(socket, frame)
        came, code, reason = await closed(socket)
    assert (came, code) == ([], 4400)
    assert reason
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "frame",
    [
        subscribe(5),
        subscribe(None),
        {"type": "subscribe", "id": "1", "payload": {}},
        {"type": "subscribe", "id": "1", "payload": {"extensions": {"documentId": "x"}}},
        {"type": "subscribe", "id": "1", "payload": "{ hello }"},
        {"type": "subscribe", "id": "1"},
        {"type": "subscribe", "payload": {"query": "{ hello }"}},
        subscribe("{ hello }", id=1),
        subscribe("{ hello }", id=""),
        subscribe("{ hello }", variables="{}"),
        subscribe("{ hello }", variables=[1]),
        subscribe("{ hello }", operationName=1),
        subscribe("{ hello }", extensions=[]),
        {"type": "complete"},
        {"type": "complete", "id": 1},
        {"type": "connection_ack"},
        {"type": "next", "id": "1", "payload": {}},
    ],
    ids=json.dumps,
)
async def test_a_malformed_message_closes_an_initialised_socket_with_4400(toy: Toy, frame: Any) -> None:
    async with toy.socket() as socket:
        await initialised(socket, frame)
        assert (await closed(socket))[:2] == ([], 4400)


async def test_a_subscription_keeps_no_variables_without_measure_and_an_operation_that_ends_may_have_them(toy: Toy) -> None:
    many: dict[str, Any] = {"unknown": [[]] * 40_000}
    async with toy.socket() as socket:
        await initialised(socket, subscribe("# a\nsubscription { ticks }", variables=many))
        refused = await receive(socket)
        await send(socket, subscribe("{ hello }", id="2", variables=many))
        assert (await receive(socket))["payload"] == {"data": {"hello": "hello you"}}

    assert (refused["id"], refused["type"]) == ("1", "error")
    assert refused["payload"][0]["extensions"] == {"code": "COST_LIMIT_EXCEEDED"}


async def test_a_frame_beyond_the_size_limit_closes_with_1009(toy: Toy) -> None:
    async with toy.socket() as socket:
        # Only the head of a frame, which announces what is to come.
        socket.transport.write(b"\x81\xff" + (WS_MAX_SIZE + 1).to_bytes(8) + b"mask")
        assert (await closed(socket))[1] == 1009


async def test_to_subscribe_before_the_initialisation_closes_with_4401(toy: Toy) -> None:
    async with toy.socket() as socket:
        await send(socket, TICKS)
        assert (await closed(socket))[:2] == ([], 4401)


async def test_a_second_initialisation_closes_with_4429(toy: Toy) -> None:
    async with toy.socket() as socket:
        await initialised(socket, INIT)
        assert (await closed(socket))[1] == 4429


async def test_no_initialisation_in_time_closes_with_4408(toy: Toy) -> None:
    async with toy.socket(path=IMPATIENT) as socket:
        assert (await closed(socket))[:2] == ([], 4408)
    assert INIT_WAIT.total_seconds() == 10


@pytest.mark.parametrize("id", ["1", "x" * 124, "é" * 1000])
async def test_a_duplicate_id_closes_with_4409_and_a_finished_one_may_be_used_again(toy: Toy, id: str) -> None:
    async with toy.socket() as socket:
        await initialised(socket, subscribe("{ hello }", id=id))
        await answers(socket, id)
        ticks = {**TICKS, "id": id}
        await send(socket, ticks, ticks)
        _, code, reason = await closed(socket)
    assert code == 4409
    assert reason.startswith(f"Subscriber for {id[:10]}")


async def test_the_old_protocol_is_not_offered(toy: Toy) -> None:
    async with toy.socket(protocol="graphql-ws") as socket:
        assert socket.subprotocol is None
        assert (await closed(socket))[1] == 4406


@pytest.mark.parametrize("payload", [None, {}, {"payload": None}, {"payload": {}}])
async def test_the_token_may_come_with_the_handshake_and_the_payload_be_absent(toy: Toy, payload: dict[str, Any] | None) -> None:
    async with toy.socket({"Authorization": TOKEN}) as socket:
        await send(socket, {"type": "connection_init", **(payload or {})}, subscribe("{ caller }"))
        assert (await receive(socket))["type"] == "connection_ack"
        assert (await receive(socket))["payload"] == {"data": {"caller": f"caller of {TOKEN}"}}


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
async def test_the_token_of_the_initialisation_comes_first(toy: Toy, name: str) -> None:
    async with toy.socket({"Authorization": "Bearer bad"}) as socket:
        await send(socket, {"type": "connection_init", "payload": {name: f"{TOKEN} too", "other": 5}}, subscribe("{ caller }"))
        assert (await receive(socket))["type"] == "connection_ack"
        assert (await receive(socket))["payload"] == {"data": {"caller": f"caller of {TOKEN} too"}}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        *((payload, 'Put {"Authorization": "Bearer …"} into the payload of connection_init.') for payload in ({}, {"token": TOKEN})),
        *(({"Authorization": given}, "This token is unknown, expired or revoked.") for given in ("Bearer bad", "")),
        ({"Authorization": 5}, 'Put {"Authorization": "Bearer …"} into the payload of connection_init.'),
    ],
)
async def test_without_a_valid_token_the_socket_closes_with_4403_and_says_why(toy: Toy, payload: dict[str, Any], reason: str) -> None:
    async with toy.socket() as socket:
        await send(socket, {"type": "connection_init", "payload": payload}, subscribe("mutation { write }"))
        assert await closed(socket) == ([], 4403, reason)
    assert toy.written == []


async def test_an_outage_at_the_initialisation_closes_with_1013_so_that_clients_try_again(toy: Toy) -> None:
    toy.failure = ConnectionRefusedError("port 5432")
    async with toy.socket() as socket:
        await send(socket, INIT)
        came, code, reason = await closed(socket)
    assert (came, code) == ([], 1013)
    assert "5432" not in reason


async def test_a_page_of_any_origin_may_connect(toy: Toy) -> None:
    async with toy.socket({"Origin": "https://shop.example"}) as socket:
        await initialised(socket)


async def test_a_ping_is_answered_with_its_payload_and_a_pong_is_taken(toy: Toy) -> None:
    async with toy.socket() as socket:
        await send(socket, {"type": "ping"}, {"type": "pong"}, {"type": "ping", "payload": {"a": [1]}}, {"type": "ping", "payload": None})
        assert [await receive(socket) for _ in range(3)] == [{"type": "pong"}, {"type": "pong", "payload": {"a": [1]}}, {"type": "pong"}]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (subscribe("{", id="bad"), "GRAPHQL_PARSE_FAILED"),
        (subscribe("", id="bad"), "OPERATION_RESOLUTION_FAILURE"),
        (subscribe("{ nothing }", id="bad"), "GRAPHQL_VALIDATION_FAILED"),
        (subscribe("query A { hello } query B { hello }", id="bad"), "OPERATION_RESOLUTION_FAILURE"),
        (subscribe("query A { hello }", id="bad", operationName="B"), "OPERATION_RESOLUTION_FAILURE"),
        (subscribe("query($n: String!) { hello(name: $n) }", id="bad"), "BAD_USER_INPUT"),
        (subscribe("{" + "a{" * 20 + "a" + "}" * 21, id="bad"), "COST_LIMIT_EXCEEDED"),
        (subscribe("{ hello }".ljust(MAX_CHARACTERS + 1), id="bad"), "COST_LIMIT_EXCEEDED"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_mistake_of_one_operation_is_answered_to_it_and_the_others_live_on(toy: Toy, frame: Any, code: str) -> None:
    async with toy.socket() as socket:
        await initialised(socket, TICKS)
        assert (await receive(socket))["payload"] == {"data": {"ticks": 0}}
        await send(socket, frame)
        first, *rest = await answers(socket, "bad")
        errors = first["payload"] if first["type"] == "error" else first["payload"]["errors"]
        assert [error["extensions"]["code"] for error in errors] == [code]
        assert [frame["type"] for frame in rest] in ([], ["complete"])
        assert toy.listeners == 1


async def test_a_failing_source_is_an_answer_without_data_and_the_end(toy: Toy) -> None:
    async with toy.socket() as socket:
        await initialised(socket, subscribe('subscription { attempts(appId: "theirs") }'))
        *before, last = await answers(socket)
    errors = last["payload"] if last["type"] == "error" else before[0]["payload"]["errors"]
    assert [error["extensions"]["code"] for error in errors] == ["NOT_FOUND"]
    assert not any(frame["payload"].get("data") for frame in before)


async def test_a_fault_of_ours_is_masked(toy: Toy) -> None:
    async with toy.socket() as socket:
        await initialised(socket, subscribe("subscription { breaks }"))
        frames = await answers(socket)
    assert "hunter2" not in json.dumps(frames)
    assert frames[0]["payload"] == {"data": {"breaks": 0}}
    assert frames[1]["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


async def test_a_query_that_takes_too_long_is_ended(toy: Toy) -> None:
    async with toy.socket() as socket:
        await initialised(socket, subscribe("{ slow }"))
        assert "TIMEOUT" in json.dumps(await answers(socket))


async def test_a_socket_has_a_limited_number_of_operations_and_room_again_when_one_ends(toy: Toy) -> None:
    async with toy.socket() as socket:
        await initialised(socket, *(subscribe("subscription { ticks }", id=str(number)) for number in range(MAX_OPERATIONS + 1)))
        (refusal,) = await answers(socket, str(MAX_OPERATIONS))
        assert refusal["type"] == "error"
        assert refusal["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        await until(lambda: toy.listeners == MAX_OPERATIONS, lambda: f"{toy.listeners} subscriptions")
        await send(socket, {"type": "complete", "id": "0"}, subscribe("{ hello }", id="more"))
        assert (await answers(socket, "more"))[0]["payload"] == {"data": {"hello": "hello you"}}


async def test_a_subscription_ends_when_its_client_says_so_or_goes(toy: Toy) -> None:
    async with toy.socket() as socket:
        await initialised(socket, TICKS, subscribe("subscription { ticks }", id="2"))
        await until(lambda: toy.listeners == 2, "the subscriptions to be taken up")
        await send(socket, {"type": "complete", "id": "1"}, {"type": "complete", "id": "unknown"})
        await until(lambda: toy.listeners == 1, "one to end")
    await until(lambda: toy.listeners == 0, "the other to end")
    async with toy.socket() as socket:
        await initialised(socket, TICKS)
        await until(lambda: toy.listeners == 1, "the subscription to be taken up")
        socket.transport.abort()
    await until(lambda: toy.listeners == 0, "the subscription to end with its connection")


async def test_a_client_that_goes_amid_its_answers_leaves_no_trace_in_the_log(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        async with toy.socket() as socket:
            await initialised(socket, subscribe("subscription { count(to: 1000) }"), "[1]")
            await closed(socket)
        async with toy.socket() as socket:
            await initialised(socket, subscribe("subscription { count(to: 1000) }"))
            socket.transport.abort()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_revoked_token_ends_the_socket_with_4403_and_its_operations_first(toy: Toy) -> None:
    mine = f"{TOKEN} of mine"
    async with toy.socket() as socket, toy.socket() as other:
        await initialised(other, TICKS)
        await send(socket, {"type": "connection_init", "payload": {"Authorization": mine}}, TICKS)
        await until(lambda: toy.listeners == 2, "the subscriptions to be taken up")
        toy.revoked.add(mine)
        assert (await closed(socket))[1:] == (4403, "This token is no longer valid.")
        await until(lambda: toy.listeners == 1, "the subscription to end")
        await send(other, subscribe("{ hello }", id="2"))
        assert (await answers(other, "2"))[0]["payload"] == {"data": {"hello": "hello you"}}


async def test_an_outage_while_the_token_is_looked_at_ends_nothing(toy: Toy) -> None:
    async with toy.socket() as socket:
        await initialised(socket, TICKS)
        await until(lambda: toy.listeners == 1, "the subscription to be taken up")
        toy.failure = ConnectionRefusedError("port 5432")
        await until(lambda: toy.looks >= 2, "the token to be looked at")
        await send(socket, subscribe("{ hello }", id="2"))
        assert (await answers(socket, "2"))[0]["payload"] == {"data": {"hello": "hello you"}}
        assert toy.listeners == 1


async def test_a_flood_of_pings_holds_nobody_else_up(toy: Toy, http: httpx.AsyncClient) -> None:
    async with toy.socket() as socket:
        await initialised(socket)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            tasks.create_task(send(socket, *({"type": "ping"} for _ in range(5_000))))
            assert (await http.post("/graphql", json={"query": "{ hello }"})).json() == {"data": {"hello": "hello you"}}
        for _ in range(5_000):
            assert await receive(socket) == {"type": "pong"}


async def test_a_connection_too_many_is_closed_with_4429_until_another_one_ends(toy: Toy) -> None:
    init = {"type": "connection_init", "payload": {"Authorization": CROWDED}}
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(toy.socket()) for _ in range(MAX_CROWDED)]
        for socket in sockets:
            await send(socket, init)
            assert (await receive(socket))["type"] == "connection_ack"
        async with toy.socket() as one_more:
            await send(one_more, init)
            assert await closed(one_more) == ([], 4429, f"An organisation has at most {MAX_CROWDED} connections at once in a process.")
        async with toy.socket() as somebody_else:
            await initialised(somebody_else)
        await sockets[0].close()

        async def admitted() -> bool:
            async with toy.socket() as again:
                await send(again, init)
                try:
                    return bool((await receive(again))["type"] == "connection_ack")
                except ConnectionClosed:
                    return False

        await until(admitted, "the place of the connection that ended")


async def test_a_socket_that_is_cancelled_while_it_ends_gives_its_seat_back() -> None:
    seats = Seats(1, "connections")
    looking, ending, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def authenticate(authorization: str | None) -> str:
        if seats.taken:  # the token is looked at again, and that does not end at once
            looking.set()
            try:
                await over.wait()
            finally:
                ending.set()
                await over.wait()
        return "a caller"

    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def answer(message: Any) -> None:
        """Nobody reads it."""

    view = GraphQLView(schema, authenticate, Context, admit=seats.held, recheck_seconds=0)
    scope = {"type": "websocket", "path": "/graphql", "query_string": b"", "headers": [], "subprotocols": ["graphql-transport-ws"]}
    socket = asyncio.create_task(WebSocketRoute("/graphql", view).handle(scope, incoming.get, answer))
    for message in ({"type": "websocket.connect"}, {"type": "websocket.receive", "text": json.dumps(INIT)}):
        incoming.put_nowait(message)
    async with asyncio.timeout(PATIENCE):
        await looking.wait()
        assert seats.taken == 1
        incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await ending.wait()
        socket.cancel()
        await asyncio.wait((socket,))

    assert socket.cancelled()
    assert seats.taken == 0
    over.set()
