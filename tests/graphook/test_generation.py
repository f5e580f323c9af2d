"""What is taken out of a model's answer, and how a stream of events is read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from graphook.generation import BadAnswer, code_of, schema_of
from graphook.sse import BadStream, data_of

HANDLER = "function handler(webhook) {\n  return webhook;\n}"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (HANDLER, HANDLER),
        (f"Here:\n```js\n{HANDLER}\n```\nIt returns the webhook.", HANDLER),
        (f"```sh\nnpm i\n```\n\n  ```JavaScript copy\n{HANDLER}\n  ```", HANDLER),
        (f"```\n{HANDLER}", HANDLER),
        (f"```js\r\n{HANDLER}\r\n```\r\n", HANDLER),
        ("```js\nlet a = 1\n```\nwith a handler in words", None),
        ("no code", None),
        ("", None),
        ("```", None),
    ],
)
def test_the_code_of_an_answer_is_found(answer: str, code: str | None) -> None:
    assert code_of(answer) == code


@pytest.mark.parametrize("piece", ["```a\n", "```\n", "`", " \n", "```handler\n"])
def test_an_answer_made_to_take_long_takes_no_longer_than_its_length(piece: str) -> None:
    began = time.process_time()
    code_of(piece * (131_072 // len(piece)))
    assert time.process_time() - began < 1


def test_a_schema_that_names_no_draft_is_of_the_newest() -> None:
    assert schema_of("{}", [1, "a"]) == {"$schema": "https://json-schema.org/draft/2020-12/schema"}


@pytest.mark.parametrize("answer", ['{"$schema": 5}', '{"type": "string"}', '{"a": 1e999}', '{"a": "\\ud800"}', "null", "```"])
def test_an_answer_that_is_no_usable_schema_says_why(answer: str) -> None:
    with pytest.raises(BadAnswer) as bad:
        schema_of(answer, [1])
    assert str(bad.value).endswith(".")


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_events_are_read_however_they_are_cut(size: int) -> None:
    stream = b"data: a\n\n: comment\n\nevent: x\ndata:b\ndata: \xc3\xa9\n\r\n\n\ndata: c\r\n\r\nid: 1\n\ndata: never ended"

    assert [data async for data in data_of(pieces(stream, size))] == [b"a", b"b\n\xc3\xa9", b"c"]


async def test_a_long_line_in_small_pieces_takes_no_longer_than_its_length() -> None:
    began = time.process_time()
    with pytest.raises(BadStream):
        async for _ in data_of(pieces(b"data: " + b"x" * 300_000, 1)):
            pass
    assert time.process_time() - began < 3
