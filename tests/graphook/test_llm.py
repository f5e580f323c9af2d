"""The client of the model: what a stream becomes, and every way in which there is no answer, each of them typed and none without an end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from graphook.completion import Completion, Failure, GenerationFailed
from graphook.llm import Model
from graphook.metrics import REGISTRY
from graphook.settings import Settings
from tests.llm_server import Answer, Gate, LLMServer, chunk, event
from tests.waiting import until

KEY = "sk-a-key-that-nobody-may-see"
ASK = [{"role": "user", "content": "a question"}]


@asynccontextmanager
async def model(url: str, **settings: Any) -> AsyncIterator[Model]:
    given = {"llm_base_url": url, "llm_model": "small-1", "llm_api_key": KEY, "llm_silence": 15.0, "llm_timeout": 30.0, **settings}
    found = Model(Settings.load(**given), pauses=(0.01, 0.02))
    try:
        yield found
    finally:
        await found.close()


async def ask(llm: LLMServer, *answers: Answer, **settings: Any) -> tuple[Completion, list[str]]:
    llm.answers("a question", *answers)
    heard: list[str] = []
    async with model(llm.url, **settings) as asked:
        return await asked.ask(ASK, heard.append), heard


async def failure(llm: LLMServer, *answers: Answer, **settings: Any) -> GenerationFailed:
    with pytest.raises(GenerationFailed) as failed:
        await ask(llm, *answers, **settings)
    return failed.value


async def test_a_stream_becomes_a_completion_and_is_heard_piece_by_piece(llm: LLMServer) -> None:
    completion, heard = await ask(llm, Answer(["Hel", "lo", " é\0"]))

    assert heard == ["Hel", "lo", " é\ufffd"]
    assert (completion.id, completion.model, completion.created) == ("chatcmpl-1", "small-1", 1_790_000_000)
    assert [(c.index, c.role, c.content, c.finish_reason) for c in completion.choices.values()] == [
        (0, "assistant", "Hello é\ufffd", "stop")
    ]
    assert (completion.prompt_tokens, completion.completion_tokens) == (30, 12)
    (asked,) = llm.asked
    assert (asked.path, asked.headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert asked.body["messages"] == ASK
    assert (asked.body["stream"], asked.body["model"], asked.body["max_tokens"]) == (True, "small-1", 2048)


async def test_what_servers_do_differently_is_read_alike(llm: LLMServer) -> None:
    """Carriage returns, comments, other fields, several choices, pieces cut anywhere, null contents, and no [DONE]."""
    raw = (
        b": ping\r\nid: 1\r\nevent: x\r\n"
        + event(chunk({"role": "assistant", "content": None})).replace(b"\n", b"\r\n")
        + event(chunk({"content": "other"}, index=1))
        + event(chunk({"reasoning_content": "hm"}))
        + event(chunk({"content": "one"}))
        + event(chunk({}, "length"))
    )

    completion, heard = await ask(llm, Answer([raw[:7], raw[7:100], raw[100:]], finish=False))

    assert (completion.text, heard, completion.choices[0].finish_reason) == ("one", ["one"], "length")
    assert (completion.choices[1].content, completion.choices[1].finish_reason) == ("other", None)


BROKEN = [
    (Answer(status=401), Failure.MODEL_UNAUTHORIZED, 1),
    (Answer(status=403), Failure.MODEL_UNAUTHORIZED, 1),
    (Answer(status=404), Failure.MODEL_NOT_FOUND, 1),
    (Answer(status=400), Failure.MODEL_REFUSED, 1),
    (Answer(status=302, headers={"Location": "/v2/chat/completions"}), Failure.MODEL_REDIRECTED, 1),
    (Answer(status=429, headers={"Retry-After": "3600"}), Failure.MODEL_RATE_LIMITED, 1),
    (Answer(status=500), Failure.MODEL_FAILED, 3),
    (Answer([event({"error": {"message": "overloaded"}})], finish=False), Failure.MODEL_FAILED, 3),
    (Answer([b": hello\n\n"], cut=True), Failure.MODEL_CUT, 3),
    (Answer(["half"], cut=True), Failure.MODEL_CUT, 1),
    (Answer(["half"], finish=False), Failure.MODEL_CUT, 1),
    (Answer([b'{"choices": []}'], content_type="application/json", finish=False), Failure.MODEL_MALFORMED, 1),
    (Answer([b"<html>"], content_type="text/html", finish=False), Failure.MODEL_MALFORMED, 1),
    (Answer(["zipped"], headers={"Content-Encoding": "gzip"}), Failure.MODEL_MALFORMED, 1),
    (Answer([b"data: {\n\n"]), Failure.MODEL_MALFORMED, 1),
    (Answer([b"data: [1]\n\n"]), Failure.MODEL_MALFORMED, 1),
    (Answer([b'data: {"choices": 5}\n\n']), Failure.MODEL_MALFORMED, 1),
    (Answer([b'data: {"choices": [{"index": -1}]}\n\n']), Failure.MODEL_MALFORMED, 1),
    (Answer([event(chunk({"content": ["a"]}))]), Failure.MODEL_MALFORMED, 1),
    (Answer([b'data: {"choices": [{"delta": {"content": "\\ud800"}}]}\n\n']), Failure.MODEL_MALFORMED, 1),
    (Answer([b"data: " + b"x" * 300_000]), Failure.MODEL_MALFORMED, 1),
    (Answer([b"data: " + b"x" * 100_000 + b"\n"] * 3), Failure.MODEL_MALFORMED, 1),
    (Answer([b": " + b"x" * 100_000 + b"\n"] * 180), Failure.MODEL_MALFORMED, 1),
    (Answer(["x" * 100_000] * 2), Failure.ANSWER_TOO_LONG, 1),
    (Answer([]), Failure.ANSWER_EMPTY, 1),
    (Answer([" \n"]), Failure.ANSWER_EMPTY, 1),
]


@pytest.mark.parametrize(("answer", "expected", "requests"), BROKEN)
async def test_an_answer_that_is_none_ends_typed_after_as_many_requests(
    llm: LLMServer, answer: Answer, expected: Failure, requests: int
) -> None:
    assert (await failure(llm, answer)).failure is expected
    assert len(llm.asked) == requests


async def test_what_passes_is_asked_again_until_the_first_piece_has_come(llm: LLMServer) -> None:
    completion, heard = await ask(llm, Answer(status=503), Answer(status=429, headers={"Retry-After": "1"}), Answer(["here"]))

    assert (completion.text, heard, len(llm.asked)) == ("here", ["here"], 3)


@pytest.mark.parametrize(("told", "seconds"), [("3600", 3600), ("soon", None), ("", None), ("9" * 400, None)])
async def test_the_time_that_a_server_asks_for_is_told(llm: LLMServer, told: str, seconds: float | None) -> None:
    assert (await failure(llm, Answer(status=429, headers={"Retry-After": told}))).retry_after == seconds


async def test_a_redirect_is_not_followed(llm: LLMServer) -> None:
    with LLMServer() as other:
        await failure(llm, Answer(status=307, headers={"Location": f"{other.url}/chat/completions"}))

        assert other.asked == []


@pytest.mark.parametrize("steps", [[Gate()], ["first", Gate()], [b": comment\n\n", Gate()]])
async def test_silence_has_an_end_before_the_answer_and_within(llm: LLMServer, steps: list[Any]) -> None:
    began = time.monotonic()

    failed = await failure(llm, Answer(steps), llm_silence=1.0)

    assert failed.failure is Failure.MODEL_TIMEOUT
    assert time.monotonic() - began < 15, "well before the limit of the whole answer"
    assert len(llm.asked) == 1


async def test_silence_after_the_end_of_the_answer_is_no_failure(llm: LLMServer) -> None:
    completion, _ = await ask(llm, Answer([event(chunk({"content": "all"}, "stop")), Gate()]), llm_silence=1.0)

    assert completion.text == "all"


async def test_an_answer_that_never_ends_is_ended(llm: LLMServer) -> None:
    failed = await failure(llm, Answer([event(chunk({"content": ""})), *(["."] * 10), Gate()]), llm_timeout=0.5)

    assert failed.failure is Failure.MODEL_TIMEOUT


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    with LLMServer() as gone:
        url = gone.url
    async with model(url) as asked:
        with pytest.raises(GenerationFailed) as failed:
            await asked.ask(ASK, lambda _: None)

    assert failed.value.failure is Failure.MODEL_UNREACHABLE


async def test_cancelling_closes_the_connection_at_once(llm: LLMServer) -> None:
    llm.answers("a question", Answer(["first", Gate()]))
    heard = asyncio.Event()
    async with model(llm.url) as asked:
        asking = asyncio.create_task(asked.ask(ASK, lambda _: heard.set()))
        await heard.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: llm.asked[0].hung_up, "the connection to be closed", patience=10)


async def test_the_key_is_in_no_message_and_no_log(llm: LLMServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'.encode()

    failed = await failure(llm, Answer([said], status=401, content_type="application/json"))

    assert KEY not in failed.message
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("graphook")]
    assert any("Incorrect API key" in line for line in ours), "the operator is told what the server said"
    assert not any(KEY in line for line in ours)


async def test_requests_and_tokens_are_counted_by_outcome(llm: LLMServer) -> None:
    def counted(outcome: str) -> float:
        return REGISTRY.get_sample_value("graphook_model_requests_total", {"outcome": outcome}) or 0.0

    def tokens() -> float:
        return REGISTRY.get_sample_value("graphook_model_tokens_total", {"kind": "completion"}) or 0.0

    outcomes = ("ok", "model_failed", "model_timeout", "canceled")
    before, spent = [counted(outcome) for outcome in outcomes], tokens()
    await ask(llm, Answer(status=500), Answer(["here"]), Answer(["late", Gate()]))
    await failure(llm, Answer(["late", Gate()]), llm_timeout=0.3)
    async with model(llm.url) as asked:
        asking = asyncio.create_task(asked.ask(ASK, lambda _: None))
        await until(lambda: len(llm.asked) == 4, "the request")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    assert [counted(outcome) - was for outcome, was in zip(outcomes, before, strict=True)] == [1, 1, 1, 1]
    assert tokens() - spent == 12


async def test_without_configuration_nothing_is_asked() -> None:
    found = Model(Settings.load())
    with pytest.raises(GenerationFailed, match="GRAPHOOK_LLM_BASE_URL and GRAPHOOK_LLM_MODEL"):
        await found.ask(ASK, lambda _: None)
    await found.close()
