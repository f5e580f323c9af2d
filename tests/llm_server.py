"""A real HTTP server that speaks the chat-completions API as a stream, and fails in every way that it is told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tests.listening import Listener

CODE = "function handler(webhook) {\n  webhook.payload = { text: `Paid: ${webhook.payload.number}` };\n  return webhook;\n}"
ANSWER = ["Here ", "it is:\n```js\n", *(f"{line}\n" for line in CODE.split("\n")), "```\n"]


class Gate:
    """A place in an answer at which the server waits until it is opened."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()


@dataclass(frozen=True)
class Answer:
    """What one request gets: texts become chunks of the stream, bytes are sent as they are, and at a gate the server waits.

    Without `finish` the stream ends after the steps; with `cut` the connection does.
    """

    steps: Sequence[str | bytes | Gate] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream; charset=utf-8"
    reason: str = "stop"
    finish: bool = True
    cut: bool = False


@dataclass
class Asked:
    """One request as it came in, and whether the client hung up before it was answered."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    hung_up: bool = False

    @property
    def text(self) -> str:
        """Everything that the model was told."""
        return "\n".join(message["content"] for message in self.body["messages"])


def event(value: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: Mapping[str, Any], reason: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """A chunk of a completion."""
    choices = [{"index": index, "delta": delta, "finish_reason": reason}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "small-1", "choices": choices, **more}


class LLMServer(Listener):
    """Listens on a free port of this machine, in a thread of its own, so that it serves deployments that outlive a test.

    Which answers a request gets is decided by a mark in what the model is told: tests of one run keep out of each other's way.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._plans: dict[str, list[Answer]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="llm-server", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answers(self, mark: str, *answers: Answer) -> None:
        """Answer the next requests that hold the mark with these; the last one again and again."""
        self._plans.setdefault(mark, []).extend(answers)

    def of(self, mark: str) -> list[Asked]:
        """The requests that held the mark."""
        return [asked for asked in list(self.asked) if mark in asked.text]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.__aenter__(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.__aexit__(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self.closing:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
            asked = Asked(first.split(" ")[1], headers, body)
            answer = self._next(asked.text)
            self.asked.append(asked)
            await self._answer(asked, answer, reader, writer)
            if answer.cut:
                return

    def _next(self, text: str) -> Answer:
        plan = next((plan for mark, plan in self._plans.items() if mark in text), [Answer(ANSWER)])
        return plan.pop(0) if len(plan) > 1 else plan[0]

    async def _answer(self, asked: Asked, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listed = {"Content-Type": answer.content_type, "Transfer-Encoding": "chunked", **answer.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in listed.items())
        writer.write(f"HTTP/1.1 {answer.status} Said\r\n{head}\r\n".encode())
        for step in answer.steps:
            if isinstance(step, Gate):
                await self._wait(step, asked, reader)
            else:
                await _send(writer, event(chunk({"content": step})) if isinstance(step, str) else step)
        if answer.cut:
            return
        if answer.finish and answer.status == 200:
            await _send(writer, event(chunk({}, answer.reason)))
            await _send(writer, event(chunk({}, usage={"prompt_tokens": 30, "completion_tokens": 12}) | {"choices": []}))
            await _send(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _wait(self, gate: Gate, asked: Asked, reader: asyncio.StreamReader) -> None:
        """Until the gate is open. A client that hangs up meanwhile is noted."""
        while not gate.is_open:
            if reader.at_eof():
                asked.hung_up = True
                raise ConnectionError("the client hung up")
            await asyncio.sleep(0.01)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
