"""The requests of the loads: GraphQL documents as a lean client sends them, with a payload of about one kilobyte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from benchmarks.load import Make

CREATE = """mutation Create($appId: ID!, $input: MessageIn!) {
  messageCreate(appId: $appId, input: $input) { message { id } errors { code message path } } }"""
CREATE_BATCH = """mutation CreateBatch($appId: ID!, $inputs: [MessageIn!]!) {
  messageCreateBatch(appId: $appId, inputs: $inputs) {
    results { message { id } errors { code message path } } errors { code message path } } }"""
EVENT_TYPE = "invoice.paid"

_LINES = [
    {"sku": f"SKU-{n:05}", "text": f"Position {n} of the invoice, as the customer reads it", "quantity": n, "amount": f"{n}9.90"}
    for n in range(1, 10)
]
_REST = orjson.dumps({"customer": "cus_4QzF8wq3", "currency": "EUR", "lines": _LINES})[1:]


def payload(number: int, due: int) -> bytes:
    """A payload of about a kilobyte; `sent` says when it was due."""
    return b'{"number":%d,"sent":%d,' % (number, due) + _REST


def post(path: str, token: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def graphql(token: str, document: str, variables: dict[str, Any]) -> Make:
    """The same operation again and again."""
    request = post("/graphql", token, orjson.dumps({"query": document, "variables": variables}))
    return lambda number, due: request


def creates(token: str, app_ids: Sequence[str]) -> Make:
    """`messageCreate` with one message, for each application in turn."""
    head = b'{"query":' + orjson.dumps(CREATE) + b',"variables":{"appId":"'

    def make(number: int, due: int) -> bytes:
        app = app_ids[number % len(app_ids)].encode()
        message = b'","input":{"eventType":"' + EVENT_TYPE.encode() + b'","payload":' + payload(number, due) + b"}}}"
        return post("/graphql", token, head + app + message)

    return make


def create_batches(token: str, app_ids: Sequence[str], size: int = 100) -> Make:
    """`messageCreateBatch` with `size` messages, for each application in turn."""
    head = b'{"query":' + orjson.dumps(CREATE_BATCH) + b',"variables":{"appId":"'

    def make(number: int, due: int) -> bytes:
        app = app_ids[number % len(app_ids)].encode()
        start = number * size
        inputs = b",".join(
            b'{"eventType":"' + EVENT_TYPE.encode() + b'","payload":' + payload(n, due) + b"}" for n in range(start, start + size)
        )
        return post("/graphql", token, head + app + b'","inputs":[' + inputs + b"]}}")

    return make
