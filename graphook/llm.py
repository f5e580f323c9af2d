"""Asks a model for an answer over the chat-completions API that OpenAI-compatible servers speak: streamed, bounded, each failure typed.

Nothing that the server says about a failure reaches a tenant: it is logged, without the key, for the operator.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from graphook import metrics
from graphook.errors import GraphookError
from graphook.settings import Settings
from graphook.sse import BadStream, data_of

log = logging.getLogger(__name__)

Messages = Sequence[Mapping[str, str]]

CONNECT_SECONDS = 10.0
# Pauses before the same is asked again, in seconds; a server that wants a longer one is not asked again.
PAUSES = (0.5, 2.0)
LONGEST_PAUSE = 20.0
MAX_ANSWER = 128 * 1024
MAX_CHOICES = 8
_SAID = 2000


class Failure(StrEnum):
    """Why there is no answer."""

    NOT_CONFIGURED = "NOT_CONFIGURED"
    MODEL_UNREACHABLE = "MODEL_UNREACHABLE"
    MODEL_UNAUTHORIZED = "MODEL_UNAUTHORIZED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    MODEL_RATE_LIMITED = "MODEL_RATE_LIMITED"
    MODEL_REFUSED = "MODEL_REFUSED"
    MODEL_FAILED = "MODEL_FAILED"
    MODEL_REDIRECTED = "MODEL_REDIRECTED"
    MODEL_MALFORMED = "MODEL_MALFORMED"
    MODEL_CUT = "MODEL_CUT"
    MODEL_TIMEOUT = "MODEL_TIMEOUT"
    ANSWER_EMPTY = "ANSWER_EMPTY"
    ANSWER_TOO_LONG = "ANSWER_TOO_LONG"
    ANSWER_INVALID = "ANSWER_INVALID"
    INPUT_GONE = "INPUT_GONE"
    INPUT_TOO_LARGE = "INPUT_TOO_LARGE"
    INTERRUPTED = "INTERRUPTED"
    CANCELED = "CANCELED"


# What may go away by itself.
_PASSING = {Failure.MODEL_UNREACHABLE, Failure.MODEL_RATE_LIMITED, Failure.MODEL_FAILED, Failure.MODEL_CUT}


class GenerationFailed(GraphookError):
    """There is no answer. `retry_after` is in seconds, where the server named a time."""

    def __init__(self, failure: Failure, message: str, retry_after: float | None = None) -> None:
        super().__init__(message, code=failure.value)
        self.failure = failure
        self.retry_after = retry_after


@dataclass(slots=True)
class Choice:
    """One answer of a completion."""

    index: int
    role: str = "assistant"
    parts: list[str] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def content(self) -> str:
        return "".join(self.parts)


@dataclass(slots=True)
class Completion:
    """A whole completion as the server sent it, `created` in Unix seconds; counts of tokens where the server tells them."""

    id: str = ""
    model: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    choices: dict[int, Choice] = field(default_factory=dict)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def text(self) -> str:
        """The first answer."""
        return self.choices[0].content if 0 in self.choices else ""


def missing_settings(settings: Settings) -> list[str]:
    """The settings that must be set before a model can be asked."""
    named = {"GRAPHOOK_LLM_BASE_URL": settings.llm_base_url, "GRAPHOOK_LLM_MODEL": settings.llm_model}
    return [name for name, value in named.items() if not value]


class Model:
    """The operator's model; one per process. The server may be on a private network: the operator named it, not a tenant."""

    def __init__(self, settings: Settings, *, pauses: Sequence[float] = PAUSES) -> None:
        self._settings = settings
        self._pauses = pauses
        self._url = f"{(settings.llm_base_url or '').rstrip('/')}/chat/completions"
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "User-Agent": settings.user_agent}
        if settings.llm_api_key:
            headers["Authorization"] = f"Bearer {settings.llm_api_key}"
        # Silence is measured below, by what counts as progress; a redirect could carry the prompt and the key elsewhere.
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=64),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def ask(self, messages: Messages, heard: Callable[[str], None]) -> Completion:
        """The whole completion; `heard` gets each piece of the first answer as it comes. Raises `GenerationFailed`.

        What may pass is asked again a few times, but only until the first piece has come. To stop, cancel: the connection is closed at once.
        """
        missing = missing_settings(self._settings)
        if missing:
            raise GenerationFailed(Failure.NOT_CONFIGURED, f"No model is configured: {' and '.join(missing)} must be set.")
        begun = False

        def hear(text: str) -> None:
            nonlocal begun
            begun = True
            heard(text)

        try:
            async with asyncio.timeout(self._settings.llm_timeout) as limit:
                for pause in (*self._pauses, None):
                    try:
                        return await self._ask_once(messages, hear, limit)
                    except GenerationFailed as failure:
                        if pause is None or begun or failure.failure not in _PASSING or (failure.retry_after or 0) > LONGEST_PAUSE:
                            raise
                        wait = max(pause * random.uniform(0.8, 1.2), failure.retry_after or 0)
                        log.info("the model is asked again in %.1f s: %s", wait, failure.code)
                    await asyncio.sleep(wait)
                raise AssertionError("the last try returns or raises")
        except TimeoutError:
            raise GenerationFailed(
                Failure.MODEL_TIMEOUT, f"The model was not done within {self._settings.llm_timeout:g} seconds."
            ) from None

    async def _ask_once(self, messages: Messages, heard: Callable[[str], None], limit: asyncio.Timeout) -> Completion:
        outcome, answer = "fault", _Answer(heard)
        began = time.perf_counter()
        try:
            await self._read(messages, answer)
            outcome = "ok"
        except GenerationFailed as failure:
            outcome = failure.code.lower()
            raise
        except asyncio.CancelledError:
            outcome = Failure.MODEL_TIMEOUT.value.lower() if limit.expired() else "canceled"
            raise
        finally:
            found = answer.completion
            metrics.model_asked(outcome, time.perf_counter() - began, found.prompt_tokens or 0, found.completion_tokens or 0)
        return found

    async def _read(self, messages: Messages, answer: _Answer) -> None:
        settings = self._settings
        body = {
            "model": settings.llm_model,
            "messages": list(messages),
            "max_tokens": settings.llm_max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        silence = settings.llm_silence
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(silence) as limit, self._stream(body) as response:
                await self._require_stream(response)
                async with aclosing(data_of(response.aiter_raw())) as events:
                    async for data in events:
                        limit.reschedule(loop.time() + silence)
                        if not answer.take(data):
                            break
        except TimeoutError:
            # Also that of the whole time, which ends what is around this.
            if not limit.expired():
                raise
            if not answer.finished:
                raise GenerationFailed(Failure.MODEL_TIMEOUT, f"The model sent nothing for {silence:g} seconds.") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            self._tell("cannot be reached", str(error))
            raise GenerationFailed(Failure.MODEL_UNREACHABLE, "The model's server cannot be reached.") from None
        except httpx.HTTPError as error:
            if not answer.finished:
                self._tell("broke off", str(error))
                raise GenerationFailed(Failure.MODEL_CUT, "The connection to the model's server broke off.") from None
        except BadStream as error:
            raise GenerationFailed(Failure.MODEL_MALFORMED, f"The model's server sent a stream that cannot be read: {error}.") from None
        answer.require_whole()

    @asynccontextmanager
    async def _stream(self, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        content = orjson.dumps(body)
        async with self._http.stream("POST", self._url, content=content, headers={"Content-Type": "application/json"}) as response:
            yield response

    async def _require_stream(self, response: httpx.Response) -> None:
        """Raise for an answer that is no event stream."""
        status = response.status_code
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        coding = response.headers.get("content-encoding", "identity").lower()
        if status == HTTPStatus.OK and kind == "text/event-stream" and coding == "identity":
            return
        said = bytearray()
        async for chunk in response.aiter_raw():
            said += chunk
            if len(said) >= _SAID:
                break
        self._tell(f"answered {status} ({kind or 'no content type'})", bytes(said[:_SAID]).decode(errors="replace"))
        if status == HTTPStatus.OK:
            raise GenerationFailed(Failure.MODEL_MALFORMED, "The model's server answered with something other than an event stream.")
        raise _refusal(status, response.headers.get("retry-after"))

    def _tell(self, what: str, said: str) -> None:
        """Log what went wrong for the operator, in one line and without the key."""
        key = self._settings.llm_api_key
        shown = said.replace(key, "[redacted]") if key else said
        log.warning("the model's server %s: %s", what, " ".join(shown.split())[:300])


class _Answer:
    """Puts a completion together from the chunks of its stream."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self.completion = Completion()
        self.finished = False
        self._heard = heard
        self._size = 0

    def take(self, data: bytes) -> bool:
        """Add a chunk; False when it says that it was the last. Raises `GenerationFailed`."""
        if data.strip() == b"[DONE]":
            self.finished = True
            return False
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise _malformed("an event is not JSON") from None
        if not isinstance(chunk, dict):
            raise _malformed("an event is no object")
        if chunk.get("error"):
            log.warning("the model's server failed while it answered")
            raise GenerationFailed(Failure.MODEL_FAILED, "The model's server failed while it answered.")
        self._take_head(chunk)
        choices = chunk.get("choices") or []
        if not isinstance(choices, list):
            raise _malformed("choices is no list")
        for choice in choices:
            self._take_choice(choice)
        return True

    def _take_head(self, chunk: Mapping[str, Any]) -> None:
        found = self.completion
        for name in ("id", "model"):
            if isinstance(chunk.get(name), str) and not getattr(found, name):
                setattr(found, name, _storable(chunk[name][:200]))
        created = chunk.get("created")
        if isinstance(created, int) and 0 < created < 2**53:
            found.created = created
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            found.prompt_tokens = _count(usage.get("prompt_tokens"))
            found.completion_tokens = _count(usage.get("completion_tokens"))

    def _take_choice(self, choice: Any) -> None:
        if not isinstance(choice, dict):
            raise _malformed("a choice is no object")
        index, delta, reason = choice.get("index", 0), choice.get("delta") or {}, choice.get("finish_reason")
        if not isinstance(index, int) or not 0 <= index < MAX_CHOICES or not isinstance(delta, dict):
            raise _malformed("a choice has no index or no delta")
        found = self.completion.choices.setdefault(index, Choice(index))
        text = delta.get("content") or ""
        if not isinstance(text, str):
            raise _malformed("the content of a choice is no text")
        if isinstance(delta.get("role"), str) and delta["role"]:
            found.role = _storable(delta["role"][:50])
        if text:
            text = _storable(text)
            self._size += len(text.encode())
            if self._size > MAX_ANSWER:
                raise GenerationFailed(Failure.ANSWER_TOO_LONG, f"The answer has more than {MAX_ANSWER} bytes.")
            found.parts.append(text)
            if index == 0:
                self._heard(text)
        if isinstance(reason, str) and reason:
            found.finish_reason = _storable(reason[:50])
            self.finished = True

    def require_whole(self) -> None:
        """Raise unless the server said that it was done, and said something."""
        if not self.finished:
            raise GenerationFailed(Failure.MODEL_CUT, "The model's server ended its answer in the middle.")
        if not self.completion.text.strip():
            raise GenerationFailed(Failure.ANSWER_EMPTY, "The model's answer is empty.")


def _refusal(status: int, retry_after: str | None) -> GenerationFailed:
    """What a status says."""
    if 300 <= status < 400:
        return GenerationFailed(Failure.MODEL_REDIRECTED, "The model's server answered with a redirect, which is not followed.")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return GenerationFailed(Failure.MODEL_UNAUTHORIZED, "The model's server does not accept the key of the service.")
    if status == HTTPStatus.NOT_FOUND:
        return GenerationFailed(Failure.MODEL_NOT_FOUND, "The model's server does not have the model, or is not at that address.")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return GenerationFailed(Failure.MODEL_RATE_LIMITED, "The model's server has had enough requests for now.", _seconds(retry_after))
    if status >= 500:
        return GenerationFailed(Failure.MODEL_FAILED, f"The model's server failed: it answered {status}.", _seconds(retry_after))
    return GenerationFailed(Failure.MODEL_REFUSED, f"The model's server refused the request: it answered {status}.")


def _seconds(retry_after: str | None) -> float | None:
    """The seconds of a Retry-After; None for the form with a date, which needs two clocks that agree."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 7 else None


def _malformed(what: str) -> GenerationFailed:
    return GenerationFailed(Failure.MODEL_MALFORMED, f"The model's server sent a stream that cannot be read: {what}.")


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL."""
    return text.replace("\0", "\ufffd")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**31 else None
