"""GraphQL over HTTP: what an answer's status, media type and body are, and how a request is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from graphook.errors import Unavailable
from graphook.graphql_limits import MAX_CHARACTERS
from graphook.graphql_view import MAX_BODY
from graphql import get_introspection_query
from tests.client import http_client
from tests.graphook.toy import IMPATIENT, TOKEN, Toy
from tests.waiting import PATIENCE

JSON, RESPONSE_JSON = "application/json", "application/graphql-response+json"
EVENTS = "text/event-stream"
# urql names every type on every request; Apollo's HttpLink and graphql-http name two.
URQL = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
APOLLO = "application/graphql-response+json,application/json;q=0.9"

SYNTAX = {"query": "{"}
UNKNOWN_FIELD = {"query": "{ nothing }"}
WRONG_VARIABLE = {"query": "query($n: String!) { hello(name: $n) }", "variables": {"n": [1]}}
TWO_OPERATIONS = {"query": 'mutation A { write(text: "a") } mutation B { write(text: "b") }'}


async def post(http: httpx.AsyncClient, body: Any, accept: str = JSON, **headers: str) -> httpx.Response:
    return await http.post("/graphql", json=body, headers={"Accept": accept, **headers})


def code(response: httpx.Response) -> str:
    """The code of the one error of an answer that has nothing else."""
    assert set(response.json()) == {"errors"}, response.text
    (error,) = response.json()["errors"]
    return str(error["extensions"]["code"])


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        ("APPLICATION/JSON", JSON),
        (RESPONSE_JSON, RESPONSE_JSON),
        (APOLLO, RESPONSE_JSON),
        (URQL, RESPONSE_JSON),
        ("application/json, application/graphql-response+json;q=0.5", JSON),
        ("application/json;q=0.5, application/graphql-response+json", RESPONSE_JSON),
        ("application/graphql-response+json;q=0, application/json", JSON),
        ("text/html, */*;q=0.1", JSON),
        ("application/json; charset=utf-8", JSON),
    ],
)
async def test_an_answer_has_the_media_type_that_the_client_wants_most(
    http: httpx.AsyncClient, accept: str | None, media_type: str
) -> None:
    if accept is None:
        del http.headers["accept"]
    response = await http.post("/graphql", json={"query": "{ hello }"}, headers={} if accept is None else {"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.json() == {"data": {"hello": "hello you"}}


@pytest.mark.parametrize(
    ("lines", "query", "media_type"),
    [
        (["text/html", JSON], "{ hello }", f"{JSON}; charset=utf-8"),
        ([f"{JSON};q=0.5", RESPONSE_JSON], "{ hello }", f"{RESPONSE_JSON}; charset=utf-8"),
        ([JSON, EVENTS], "subscription { count(to: 2) }", EVENTS),
    ],
)
async def test_several_accept_lines_are_one_list(http: httpx.AsyncClient, lines: list[str], query: str, media_type: str) -> None:
    del http.headers["accept"]
    headers = [("Accept", line) for line in lines]
    async with http.stream("POST", "/graphql", json={"query": query}, headers=headers) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, media_type)


@pytest.mark.parametrize("accept", ["image/png", "text/html", "application/json;q=0", "application/json;q=x", "text/*"])
async def test_a_client_that_takes_no_json_is_told_so_in_json(http: httpx.AsyncClient, accept: str) -> None:
    response = await post(http, {"query": "{ hello }"}, accept)
    assert (response.status_code, code(response)) == (406, "HTTP_406")
    assert response.headers["content-type"] == "application/json; charset=utf-8"


async def test_who_asks_for_a_page_is_told_where_graphiql_is(http: httpx.AsyncClient) -> None:
    response = await http.get("/graphql", headers={"Accept": "text/html,application/xhtml+xml"})
    assert response.json()["errors"][0]["message"].endswith("GraphiQL is at /graphiql.")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (SYNTAX, "GRAPHQL_PARSE_FAILED"),
        (UNKNOWN_FIELD, "GRAPHQL_VALIDATION_FAILED"),
        (WRONG_VARIABLE, "BAD_USER_INPUT"),
        ({"query": "query($n: String!) { hello(name: $n) }"}, "BAD_USER_INPUT"),
        (TWO_OPERATIONS, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "{" + "a{" * 20 + "a" + "}" * 21}, "COST_LIMIT_EXCEEDED"),
    ],
)
async def test_a_request_error_has_a_code_and_no_data_and_is_400_in_the_new_media_type(
    http: httpx.AsyncClient, toy: Toy, body: Any, expected: str
) -> None:
    for accept, status in ((JSON, 200), (RESPONSE_JSON, 400)):
        response = await post(http, body, accept)
        assert (response.status_code, code(response)) == (status, expected)
    assert toy.written == []


@pytest.mark.parametrize("body", [{}, {"query": ""}, {"query": None}, {"documentId": "x"}])
async def test_a_request_without_a_document_is_a_bad_request_in_either_media_type(http: httpx.AsyncClient, body: Any) -> None:
    for accept in (JSON, RESPONSE_JSON):
        response = await post(http, body, accept)
        assert response.status_code == 400
        assert code(response) == "BAD_REQUEST"


async def test_a_client_that_sends_the_hash_of_a_document_is_told_to_send_documents(http: httpx.AsyncClient) -> None:
    hashed = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
    for answer in (
        await http.post("/graphql", json={"extensions": hashed}),
        await http.get("/graphql", params={"extensions": json.dumps(hashed)}),
    ):
        assert answer.status_code == 400
        (error,) = answer.json()["errors"]
        assert (error["message"], error["extensions"]["code"]) == ("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
    answer = await http.post("/graphql", json={"query": "{ hello }", "extensions": hashed})
    assert "errors" not in answer.json()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**TWO_OPERATIONS, "operationName": "C"}, 'Unknown operation named "C".'),
        ({"query": "fragment F on Query { hello }"}, "The document has no operation."),
    ],
)
async def test_a_document_without_the_operation_that_is_asked_for_is_refused(
    http: httpx.AsyncClient, toy: Toy, body: Any, said: str
) -> None:
    for accept in (JSON, RESPONSE_JSON):
        response = await post(http, body, accept)
        assert (response.status_code, code(response)) == (400, "OPERATION_RESOLUTION_FAILURE")
        assert response.json()["errors"][0]["message"] == said
    assert toy.written == []


async def test_the_named_one_of_several_operations_runs(http: httpx.AsyncClient, toy: Toy) -> None:
    response = await post(http, {**TWO_OPERATIONS, "operationName": "B"})
    assert response.json() == {"data": {"write": "b"}}
    assert toy.written == ["b"]


async def test_an_error_of_a_field_leaves_the_status_at_200_and_the_other_fields_there(http: httpx.AsyncClient) -> None:
    for accept in (JSON, RESPONSE_JSON):
        response = await post(http, {"query": "{ hello refused }"}, accept)
        assert response.status_code == 200
        assert response.json()["data"] == {"hello": "hello you", "refused": None}
        (error,) = response.json()["errors"]
        assert error["path"] == ["refused"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["first"]}


async def test_a_fault_of_ours_is_masked_and_found_in_the_log_by_its_request_id(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = await post(http, {"query": "{ hello broken }"})
    assert "hunter2" not in response.text
    (error,) = response.json()["errors"]
    assert error["message"] == "Internal server error"
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert error["extensions"]["requestId"] in record.getMessage()
    assert "hunter2" in caplog.text


async def test_a_mistake_of_a_client_is_not_logged(http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    for body in (SYNTAX, UNKNOWN_FIELD, WRONG_VARIABLE, {"query": "{ refused }"}, {"query": '{ hello(name: "a secret", x: 1) }'}):
        await post(http, body)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "a secret" not in caplog.text


async def test_an_answer_lists_at_most_nine_errors(http: httpx.AsyncClient) -> None:
    for field, accept in (("refused", JSON), ("nothing", RESPONSE_JSON)):
        document = "{" + "".join(f"a{number}: {field} " for number in range(12)) + "}"
        assert len((await post(http, {"query": document}, accept)).json()["errors"]) == 9


@pytest.mark.parametrize("failure", [Unavailable("Away.", retry_after=7), ConnectionRefusedError("port 5432")])
async def test_an_outage_while_authenticating_is_503_with_a_time_to_try_again(
    http: httpx.AsyncClient, toy: Toy, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    toy.failure = failure
    response = await post(http, {"query": "{ hello }"})
    assert (response.status_code, code(response)) == (503, "UNAVAILABLE")
    assert ("the database is not available: port 5432" in caplog.text) is isinstance(failure, ConnectionError)
    assert response.headers["retry-after"] == ("7" if isinstance(failure, Unavailable) else "1")
    assert "5432" not in response.text


async def test_an_outage_in_a_resolver_is_503_with_a_time_to_try_again(http: httpx.AsyncClient) -> None:
    response = await post(http, {"query": "{ away }"}, RESPONSE_JSON)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_a_fault_while_authenticating_is_a_masked_500(http: httpx.AsyncClient, toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    toy.failure = RuntimeError("the password is hunter2")
    response = await post(http, {"query": "{ hello }"})
    assert (response.status_code, code(response)) == (500, "INTERNAL_SERVER_ERROR")
    assert "hunter2" not in response.text
    assert response.json()["errors"][0]["extensions"]["requestId"] in caplog.text


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic Z29vZDo=", "Bearer " + "a" * 8000])
async def test_a_request_without_a_valid_token_is_401_before_its_body_is_looked_at(toy: Toy, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with http_client(headers=headers) as client:
        response = await client.post(toy.url, content=b"not JSON at all")
    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_get_runs_queries(http: httpx.AsyncClient) -> None:
    query = {"query": "query Q($n: String) { hello(name: $n) } query R { hello }", "operationName": "Q", "variables": '{"n": "Ann"}'}
    for accept in (JSON, RESPONSE_JSON):
        response = await http.get("/graphql", params=query, headers={"Accept": accept})
        assert response.json() == {"data": {"hello": "hello Ann"}}


async def test_an_empty_parameter_of_get_is_one_that_is_left_out(http: httpx.AsyncClient) -> None:
    for name in ("operationName", "variables", "extensions"):
        response = await http.get("/graphql", params={"query": "query Q { hello }", name: ""})
        assert (response.status_code, response.json()) == (200, {"data": {"hello": "hello you"}})
    several = {"query": "query Q { hello } query R { hello }", "operationName": ""}
    assert code(await http.get("/graphql", params=several)) == "OPERATION_RESOLUTION_FAILURE"


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 400),
        ({"query": ""}, 400),
        ({"query": "{ hello }", "variables": "{"}, 400),
        ({"query": "{ hello }", "variables": "[1]"}, 400),
        ({"query": "{ hello }", "extensions": "1"}, 400),
        ({"query": "{ hello }", "variables": '{"n": NaN}'}, 400),
        ({"query": "mutation { write }"}, 405),
        ({"query": "subscription { count }"}, 406),
    ],
)
async def test_get_refuses_everything_else(http: httpx.AsyncClient, toy: Toy, params: dict[str, str], status: int) -> None:
    for accept in ("*/*", "text/html, */*", RESPONSE_JSON):
        response = await http.get("/graphql", params=params, headers={"Accept": accept})
        assert response.status_code == status
        assert response.headers.get("allow") == ("POST" if status == 405 else None)
        code(response)
    assert toy.written == []


@pytest.mark.parametrize("name", ["%FF", "%ED%A0%80"], ids=["no UTF-8", "half of a surrogate pair"])
async def test_get_reads_utf_8_and_nothing_else(http: httpx.AsyncClient, name: str) -> None:
    query = "/graphql?query=query($n:String){hello(name:$n)}&variables="
    assert (await http.get(f'{query}{{"n":"%C3%A9"}}')).json() == {"data": {"hello": "hello é"}}
    response = await http.get(f'{query}{{"n":"{name}"}}')
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
    assert response.json()["errors"][0]["message"] == "The query string is not UTF-8."


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
async def test_other_methods_are_405_and_name_those_allowed(http: httpx.AsyncClient, method: str) -> None:
    response = await http.request(method, "/graphql", json={"query": "{ hello }"})
    assert (response.status_code, response.headers["allow"], code(response)) == (405, "GET, POST", "HTTP_405")


async def test_a_subscription_without_a_stream_is_406(http: httpx.AsyncClient, toy: Toy) -> None:
    for accept in (JSON, RESPONSE_JSON, "*/*", "multipart/mixed"):
        response = await post(http, {"query": "subscription { ticks }"}, accept)
        assert (response.status_code, code(response)) == (406, "HTTP_406")
        assert "multipart/mixed;subscriptionSpec=1.0" in response.text
    assert toy.listeners == 0


@pytest.mark.parametrize("content_type", [JSON, "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'])
async def test_json_is_read_whatever_the_case_of_its_name(http: httpx.AsyncClient, content_type: str) -> None:
    response = await http.post("/graphql", content=b'{"query":"{ hello }"}', headers={"Content-Type": content_type})
    assert response.json() == {"data": {"hello": "hello you"}}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "*/*",
        "text/plain",
        "text/plain;application/json",
        "text/plain application/json",
        "application/json, text/plain",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/xml",
    ],
)
async def test_what_a_page_may_send_without_asking_and_what_is_no_json_is_415(
    http: httpx.AsyncClient, toy: Toy, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await http.post("/graphql", content=b'{"query":"mutation { write }"}', headers=headers)
    assert (response.status_code, code(response)) == (415, "HTTP_415")
    assert toy.written == []


@pytest.mark.parametrize("accept", [JSON, EVENTS])
async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(http: httpx.AsyncClient, accept: str) -> None:
    def body(size: int) -> bytes:
        before, after = b'{"query":"{ hello }","variables":{"s":"', b'"}}'
        return before + b"a" * (size - len(before) - len(after)) + after

    headers = {"Content-Type": JSON, "Accept": accept}
    assert '{"data":{"hello":"hello you"}}' in (await http.post("/graphql", content=body(MAX_BODY), headers=headers)).text
    response = await http.post("/graphql", content=body(MAX_BODY + 1), headers=headers)
    assert (response.status_code, code(response), response.headers["connection"]) == (413, "HTTP_413", "close")


async def test_a_body_without_end_is_refused_at_the_limit_and_the_connection_closed(toy: Toy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", toy.port)
    writer.write(f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: {TOKEN}\r\nContent-Type: {JSON}\r\n".encode())
    writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
    answer = asyncio.create_task(reader.read())
    sent = 0
    with contextlib.suppress(ConnectionError):
        while not answer.done():
            writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            sent += 65536
            await writer.drain()
    assert MAX_BODY < sent < 10 * MAX_BODY
    with contextlib.suppress(ConnectionError):  # the answer is lost where the connection is closed while more is sent
        assert (await answer).startswith(b"HTTP/1.1 413 ")
    writer.close()


@pytest.mark.parametrize("accept", [JSON, EVENTS])
async def test_a_body_that_does_not_arrive_in_time_is_408(toy: Toy, accept: str) -> None:
    host, port = "127.0.0.1", toy.port
    head = (
        f"POST {IMPATIENT} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {TOKEN}\r\nAccept: {accept}\r\n"
        f"Content-Type: {JSON}\r\nContent-Length: 1000000\r\n\r\n{{}}"
    )
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head.encode())
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()  # to the end of the connection
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"HTTP_408"' in answer


async def test_a_query_that_takes_too_long_is_ended(http: httpx.AsyncClient) -> None:
    for accept in (JSON, RESPONSE_JSON):
        began = time.monotonic()
        response = await post(http, {"query": "{ slow }"}, accept)
        assert response.json()["errors"][0]["extensions"]["code"] == "TIMEOUT"
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert time.monotonic() - began < 5


async def test_any_page_may_call_and_none_with_cookies(http: httpx.AsyncClient, toy: Toy) -> None:
    origin = {"Origin": "https://shop.example"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    async with http_client() as browser:  # which sends no token with a preflight
        preflight = await browser.options(toy.url, headers=origin | asked)
        refused = await browser.post(toy.url, json={}, headers=origin)
    assert (preflight.status_code, preflight.content) == (204, b"")
    allowed = {name.strip().lower() for name in preflight.headers["access-control-allow-headers"].split(",")}
    # Clients and tracing add headers of their own, such as traceparent; the asterisk does not cover Authorization.
    assert {"authorization", "content-type", "*"} <= allowed
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for response in (preflight, refused, await http.post("/graphql", json={"query": "{ hello }"}, headers=origin)):
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers
        assert "set-cookie" not in response.headers


async def test_a_document_may_be_as_long_as_the_limit_and_no_longer(http: httpx.AsyncClient) -> None:
    assert (await post(http, {"query": "{ hello }".ljust(MAX_CHARACTERS)})).json() == {"data": {"hello": "hello you"}}
    response = await post(http, {"query": "{ hello }".ljust(MAX_CHARACTERS + 1)})
    assert (response.status_code, code(response)) == (413, "HTTP_413")
    assert "variables" in response.json()["errors"][0]["message"]


async def test_the_standard_introspection_passes_the_limits(http: httpx.AsyncClient) -> None:
    response = await post(http, {"query": get_introspection_query(descriptions=True, input_value_deprecation=True)}, RESPONSE_JSON)
    assert "errors" not in response.json()


@pytest.mark.parametrize(
    ("document", "refused"),
    [
        ('{ __type(name: "Query") { fields { type { fields { name } } } } }', None),
        ('{ __type(name: "Query") { fields { type { fields { type { interfaces { name } } } } } } }', "GRAPHQL_VALIDATION_FAILED"),
        ("{ a" * 13 + "}" * 13, "COST_LIMIT_EXCEEDED"),
        ("{ a" * 1000 + "}" * 1000, "GRAPHQL_PARSE_FAILED"),
    ],
    ids=["introspection", "deep introspection", "depth", "depth that is not read"],
)
async def test_what_goes_too_deep_is_refused_with_the_code_of_the_table_of_limits(
    http: httpx.AsyncClient, document: str, refused: str | None
) -> None:
    response = await post(http, {"query": document})
    assert ("errors" in response.json()) == (refused is not None)
    assert refused is None or code(response) == refused


def test_the_library_is_installed_without_its_command_line() -> None:
    # That extra holds the WebSocket library back at an old version.
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    (strawberry,) = [wanted for wanted in project["dependencies"] if wanted.startswith("strawberry-graphql")]
    assert "[" not in strawberry
