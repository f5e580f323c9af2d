"""GraphQL over server-sent events and multipart: framing, who gets a stream, and how streams end."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.graphook.test_graphql_http import URQL, code
from tests.graphook.toy import TOKEN, Toy
from tests.waiting import until

EVENTS = "text/event-stream"
# What Apollo's HttpLink sends for subscriptions.
MULTIPART = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9"


async def ask(http: httpx.AsyncClient, query: str, accept: str) -> httpx.Response:
    return await http.post("/graphql", json={"query": query}, headers={"Accept": accept})


def events(text: str) -> list[tuple[str, Any]]:
    """Name and data of each server-sent event, as a client that splits on line feeds reads them."""
    assert "\r" not in text
    assert text.endswith("\n\n")
    found = []
    for block in text[:-2].split("\n\n"):
        name, data = block.split("\n")
        content = data.removeprefix("data: ")
        found.append((name.removeprefix("event: "), json.loads(content) if content else None))
    return found


def parts(text: str) -> list[Any]:
    """The content of each part, the first of which says nothing: strict readers drop what stands before the first delimiter."""
    assert text.endswith("\r\n--graphql--\r\n")
    found = []
    for part in text.removesuffix("\r\n--graphql--\r\n").split("\r\n--graphql"):
        head, content = part.removeprefix("\r\n").split("\r\n\r\n")
        assert "Content-Type: application/json" in head
        assert f"Content-Length: {len(content.encode())}" in head
        found.append(json.loads(content))
    assert found[0] == {}
    return found[1:]


@pytest.mark.parametrize(
    "accept", [EVENTS, f"{EVENTS}, application/json", f"{EVENTS};q=0.9, application/json;q=0.8", f"{EVENTS}, multipart/mixed"]
)
async def test_events_are_framed_by_line_feeds_and_end_with_complete(http: httpx.AsyncClient, accept: str) -> None:
    response = await ask(http, "subscription { count(to: 2) }", accept)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(EVENTS)
    assert "no-cache" in response.headers["cache-control"]
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["access-control-allow-origin"] == "*"
    assert events(response.text) == [("next", {"data": {"count": 0}}), ("next", {"data": {"count": 1}}), ("complete", None)]


@pytest.mark.parametrize("accept", [URQL, f"application/json, {EVENTS}", f"{EVENTS};q=0.5, application/json", f"*/*, {EVENTS};q=0.1"])
async def test_a_client_that_wants_json_first_gets_json(http: httpx.AsyncClient, accept: str) -> None:
    assert (await ask(http, "{ hello }", accept)).json() == {"data": {"hello": "hello you"}}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (URQL, EVENTS),
        (f"*/*, {EVENTS};q=0.1", EVENTS),
        ("application/json, multipart/mixed;subscriptionSpec=1.0", "multipart/mixed"),
        ("multipart/mixed;subscriptionSpec=1.0;boundary=graphql, application/json", "multipart/mixed"),
    ],
)
async def test_a_subscription_is_a_stream_wherever_the_client_lists_one(http: httpx.AsyncClient, accept: str, kind: str) -> None:
    response = await ask(http, "subscription { count(to: 1) }", accept)
    assert response.headers["content-type"].startswith(kind)
    found = [event[1] for event in events(response.text)[:-1]] if kind == EVENTS else [part["payload"] for part in parts(response.text)]
    assert found == [{"data": {"count": 0}}]


async def test_a_query_and_a_mutation_in_events_are_one_event(http: httpx.AsyncClient, toy: Toy) -> None:
    assert events((await ask(http, "{ hello }", EVENTS)).text) == [("next", {"data": {"hello": "hello you"}}), ("complete", None)]
    assert events((await ask(http, 'mutation { write(text: "x") }', EVENTS)).text)[0] == ("next", {"data": {"write": "x"}})
    assert toy.written == ["x"]


async def test_get_may_subscribe_and_still_not_mutate(http: httpx.AsyncClient, toy: Toy) -> None:
    response = await http.get("/graphql", params={"query": "subscription { count(to: 1) }"}, headers={"Accept": EVENTS})
    assert events(response.text)[0] == ("next", {"data": {"count": 0}})
    for accept in (EVENTS, MULTIPART, URQL):
        response = await http.get("/graphql", params={"query": "mutation { write }"}, headers={"Accept": accept})
        assert (response.status_code, response.headers["allow"], code(response)) == (405, "POST", "HTTP_405")
    assert toy.written == []


@pytest.mark.parametrize("accept", [MULTIPART, 'multipart/mixed; boundary="graphql"; subscriptionSpec="1.0", application/json'])
async def test_a_multipart_subscription_is_framed_and_ends(http: httpx.AsyncClient, accept: str) -> None:
    response = await ask(http, "subscription { count(to: 2) }", accept)
    assert response.headers["content-type"].startswith("multipart/mixed;boundary=graphql;")
    assert parts(response.text) == [{"payload": {"data": {"count": 0}}}, {"payload": {"data": {"count": 1}}}]


@pytest.mark.parametrize("query", ["{ hello }", 'mutation { write(text: "x") }'])
async def test_what_is_no_subscription_is_answered_in_one_piece_where_multipart_is_wanted(http: httpx.AsyncClient, query: str) -> None:
    response = await ask(http, query, MULTIPART)
    assert response.headers["content-type"].startswith("application/graphql-response+json")
    assert response.json() in ({"data": {"hello": "hello you"}}, {"data": {"write": "x"}})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription A { count } subscription B { ticks }", "OPERATION_RESOLUTION_FAILURE"),
        ('subscription { attempts(appId: "theirs") }', "NOT_FOUND"),
    ],
)
async def test_a_mistake_is_one_answer_without_data_and_the_end(http: httpx.AsyncClient, query: str, code: str) -> None:
    (name, answer), *rest = events((await ask(http, query, EVENTS)).text)
    assert (name, rest) == ("next", [("complete", None)])
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
    assert not answer.get("data")
    (part,) = parts((await ask(http, query, MULTIPART)).text)
    assert part["payload"] == answer


async def test_a_fault_in_a_stream_is_masked(http: httpx.AsyncClient) -> None:
    response = await ask(http, "subscription { breaks }", EVENTS)
    assert "hunter2" not in response.text
    first, second, last = events(response.text)
    assert first == ("next", {"data": {"breaks": 0}})
    assert second[1]["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert second[1]["errors"][0]["extensions"]["requestId"]
    assert last == ("complete", None)


@pytest.mark.parametrize("accept", [EVENTS, MULTIPART])
async def test_a_stream_needs_a_token_and_ends_with_an_error_once_that_is_revoked(http: httpx.AsyncClient, toy: Toy, accept: str) -> None:
    mine = f"{TOKEN} of mine"
    headers = {"Accept": accept, "Authorization": mine}
    async with http.stream("POST", "/graphql", json={"query": "subscription { ticks }"}, headers=headers) as response:
        await until(lambda: toy.listeners == 1, "the subscription to be taken up")
        toy.revoked.add(mine)
        text = "".join([piece async for piece in response.aiter_text()])
    last = events(text)[-2][1] if accept == EVENTS else parts(text)[-1]["payload"]
    assert last == {"errors": [{"message": "This token is no longer valid.", "extensions": {"code": "UNAUTHENTICATED"}}]}
    response = await http.post("/graphql", json={"query": "subscription { ticks }"}, headers=headers)
    assert response.status_code == 401
    assert response.headers["content-type"].startswith("application/")


async def test_a_stream_survives_an_outage_while_its_token_is_looked_at(http: httpx.AsyncClient, toy: Toy) -> None:
    mine = f"{TOKEN} of mine"
    headers = {"Accept": EVENTS, "Authorization": mine}
    async with http.stream("POST", "/graphql", json={"query": "subscription { ticks }"}, headers=headers) as response:
        await until(lambda: toy.listeners == 1, "the subscription to be taken up")
        toy.failure = ConnectionRefusedError("port 5432")
        await until(lambda: toy.looks >= 2, "the token to be looked at")
        assert toy.listeners == 1
        toy.failure = None
        toy.revoked.add(mine)
        text = "".join([piece async for piece in response.aiter_text()])
    assert "no longer valid" in text


@pytest.mark.parametrize("accept", [EVENTS, MULTIPART])
async def test_a_stream_that_nobody_reads_any_more_is_ended(http: httpx.AsyncClient, toy: Toy, accept: str) -> None:
    headers = {"Accept": accept}
    async with http.stream("POST", "/graphql", json={"query": "subscription { ticks }"}, headers=headers):
        await until(lambda: toy.listeners == 1, "the subscription to be taken up")
    await until(lambda: toy.listeners == 0, "the subscription to end")
