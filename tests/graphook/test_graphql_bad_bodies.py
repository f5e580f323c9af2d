"""Bodies made to break the server: each is refused in JSON, quickly, and the next client is served."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

BOMB = bytes.fromhex("1f8b08000000000002ffab562a2c4d2daa54b252aa8e8f2fa92c48cd4bcc")
NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "blank": b"   ",
    "NaN": b'{"query":"{ hello }","variables":{"p":NaN}}',
    "infinity": b'{"query":"{ hello }","variables":{"p":-Infinity}}',
    "a float beyond all": b'{"query":"{ hello }","variables":{"p":1e999}}',
    "an integer beyond 64 bits": b'{"query":"{ hello }","variables":{"p":{"big":18446744073709551617}}}',
    "100,000 open lists": b"[" * 100_000,
    "100,000 nested lists": b"[" * 100_000 + b"]" * 100_000,
    "5,000 nested objects": b'{"query":"{ hello }","variables":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
    "invalid UTF-8": b'{"query":"{ hello } #\xff\xfe"}',
    "UTF-16": '{"query":"{ hello }"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"query":"{ hello }"}',
    "a lone surrogate": b'{"query":"{ hello }","variables":{"s":"\\ud800"}}',
    "a comment": b'{"query":"{ hello }"/*c*/}',
    "single quotes": b"{'query':'{ hello }'}",
    "two texts": b'{"query":"{ hello }"}{"query":"{ hello }"}',
    "a compressed body": BOMB,
}
NO_REQUEST: dict[str, Any] = {
    "null": None,
    "a number": 5,
    "a string": "x",
    "true": True,
    "an empty list": [],
    "a batch of one": [{"query": "{ hello }"}],
    "a batch of a thousand": [{"query": "{ hello }"}] * 1_000,
    "a query that is a number": {"query": 5},
    "a query that is a list": {"query": ["{ hello }"]},
    "a query that is an object": {"query": {"a": 1}},
    "variables in a list": {"query": "{ hello }", "variables": []},
    "variables in a string": {"query": "{ hello }", "variables": "{}"},
    "an operation name that is a number": {"query": "{ hello }", "operationName": 1},
    "extensions in a list": {"query": "{ hello }", "extensions": []},
}
HOSTILE: dict[str, str] = {
    "5,000 digits": "{ hello(name: " + "9" * 5_000 + ") }",
    "selections 400 deep": "{ things { nodes " + "{ things { nodes " * 400 + "{ id }" + " } }" * 400 + "} }",
    "inline fragments 400 deep": "{" + "... {" * 400 + "hello" + "}" * 401,
    "a value 3,000 deep": "{ hello(name: " + "{a: " * 3_000 + "1" + "}" * 3_000 + ") }",
    "a list 3,000 deep": "{ hello(name: " + "[" * 3_000 + "]" * 3_000 + ") }",
    "a type 5,000 deep": "query($s: " + "[" * 5_000 + "Int" + "]" * 5_000 + ") { hello }",
    "5,000 directives": "{ hello " + "@include(if: true) " * 5_000 + "}",
    "5,000 fields": "{" + " hello" * 5_000 + " }",
    "1,000 aliases": "{" + "".join(f" a{number}: hello" for number in range(1_000)) + " }",
    "1,000 operations": "".join(f"query Q{number} {{ hello }} " for number in range(1_000)),
    "1,000 variables": "query(" + "".join(f"$v{number}: Int " for number in range(1_000)) + ") { hello }",
    "a fragment in itself": "{ ...A } fragment A on Query { ...A }",
    "fragments in each other": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "fragments that double fifty times": "{ ...F0 } "
    + " ".join(f"fragment F{number} on Query {{ ...F{number + 1} ...F{number + 1} }}" for number in range(50))
    + " fragment F50 on Query { hello }",
    "equal fields in many fragments": "{ ...F0 } "
    + " ".join(f"fragment F{number} on Query {{ {'hello ' * 40} ...F{number + 1} }}" for number in range(50))
    + " fragment F50 on Query { hello }",
    "pages in pages": "{ things(first: 250) { nodes { things(first: 250) { nodes { id } } } } }",
    "an unknown type": "query($x: Nope) { hello }",
    "a block string of 250 kB": '{ hello(nam: """' + "a" * 250_000 + '""") }',
    "a null character": "{ hello \0 }",
}


async def refused(http: httpx.AsyncClient, body: bytes, within: float = 2.0) -> httpx.Response:
    """The refusal of a body, after which the server, a thread of this process, has answered somebody else too; `within` seconds on the processor."""
    began = time.process_time()
    headers = {"Content-Type": "application/json", "Accept": "application/graphql-response+json"}
    response = await http.post("/graphql", content=body, headers=headers)
    assert (await http.post("/graphql", json={"query": "{ hello }"})).json() == {"data": {"hello": "hello you"}}
    assert time.process_time() - began < within
    assert response.status_code == 400, response.text[:500]
    assert set(response.json()) == {"errors"}
    assert len(response.content) < 20_000
    return response


@pytest.mark.parametrize("name", NO_JSON)
async def test_what_is_no_strict_json_is_a_bad_request(http: httpx.AsyncClient, name: str) -> None:
    (error,) = (await refused(http, NO_JSON[name])).json()["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert "JSON" in error["message"]


@pytest.mark.parametrize("name", NO_REQUEST)
async def test_json_that_is_no_request_is_a_bad_request(http: httpx.AsyncClient, name: str) -> None:
    (error,) = (await refused(http, json.dumps(NO_REQUEST[name]).encode())).json()["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert "object" in error["message"] or "string" in error["message"]


async def test_who_sends_several_requests_in_a_list_is_told_to_send_each_by_itself(http: httpx.AsyncClient) -> None:
    batch = [{"query": "{ hello }"}, {"query": "{ hello }"}]
    (error,) = (await refused(http, json.dumps(batch).encode())).json()["errors"]
    assert "send each by itself" in error["message"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_document_is_refused_in_little_time(http: httpx.AsyncClient, name: str) -> None:
    for error in (await refused(http, json.dumps({"query": HOSTILE[name]}).encode())).json()["errors"]:
        assert error["extensions"]["code"] in ("GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "COST_LIMIT_EXCEEDED")


async def test_many_ranges_are_ignored(http: httpx.AsyncClient) -> None:
    ranges = "bytes=" + ",".join(f"{number}-" for number in range(1_000))
    response = await http.get("/graphql", params={"query": "{ hello }"}, headers={"Range": ranges})
    assert response.json() == {"data": {"hello": "hello you"}}


async def test_headers_without_measure_are_refused(http: httpx.AsyncClient) -> None:
    response = await http.post("/graphql", json={"query": "{ hello }"}, headers={"Authorization": "Bearer " + "a" * 100_000})
    assert 400 <= response.status_code < 500


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate"])
async def test_a_compressed_body_is_refused_as_such(http: httpx.AsyncClient, coding: str) -> None:
    response = await http.post("/graphql", content=BOMB, headers={"Content-Type": "application/json", "Content-Encoding": coding})
    (error,) = response.json()["errors"]
    assert (response.status_code, error["message"]) == (415, "The request body must not be compressed.")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("variables", "[]", "variables must be an object or null."),
        ("variables", "x", "In variables: The text is not valid JSON"),
        ("extensions", "{", "In extensions: The text is not valid JSON"),
    ],
)
async def test_what_is_wrong_in_an_address_is_named(http: httpx.AsyncClient, name: str, value: str, said: str) -> None:
    response = await http.get("/graphql", params={"query": "{ hello }", name: value})
    (error,) = response.json()["errors"]
    assert response.status_code == 400
    assert error["message"].startswith(said)
