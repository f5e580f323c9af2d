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
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from graphook import metrics
from graphook.completion import Answer, Completion, Failure, GenerationFailed, malformed
from graphook.settings import Settings
from graphook.sse import BadStream, data_of

log = logging.getLogger(__name__)

Messages = Sequence[Mapping[str, str]]

CONNECT_SECONDS = 10.0
# Pauses before the same is asked again, in seconds; a server that wants a longer one is not asked again.
PAUSES = (0.5, 2.0)
LONGEST_PAUSE = 20.0
_SAID = 2000
# What may go away by itself.
_PASSING = {Failure.MODEL_UNREACHABLE, Failure.MODEL_RATE_LIMITED, Failure.MODEL_FAILED, Failure.MODEL_CUT}


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
        outcome, answer = "fault", Answer(heard)
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

    async def _read(self, messages: Messages, answer: Answer) -> None:
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
            raise malformed(str(error)) from None
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
