"""A completion, put together from the chunks of its stream, which may hold anything; and the reasons why there may be none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from graphook.errors import GraphookError

log = logging.getLogger(__name__)

MAX_ANSWER = 128 * 1024
MAX_CHOICES = 8


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


class Answer:
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
            raise malformed("an event is not JSON") from None
        if not isinstance(chunk, dict):
            raise malformed("an event is no object")
        if chunk.get("error"):
            log.warning("the model's server failed while it answered")
            raise GenerationFailed(Failure.MODEL_FAILED, "The model's server failed while it answered.")
        self._take_head(chunk)
        choices = chunk.get("choices") or []
        if not isinstance(choices, list):
            raise malformed("choices is no list")
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
            raise malformed("a choice is no object")
        index, delta, reason = choice.get("index", 0), choice.get("delta") or {}, choice.get("finish_reason")
        if not isinstance(index, int) or not 0 <= index < MAX_CHOICES or not isinstance(delta, dict):
            raise malformed("a choice has no index or no delta")
        found = self.completion.choices.setdefault(index, Choice(index))
        text = delta.get("content") or ""
        if not isinstance(text, str):
            raise malformed("the content of a choice is no text")
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


def malformed(what: str) -> GenerationFailed:
    return GenerationFailed(Failure.MODEL_MALFORMED, f"The model's server sent a stream that cannot be read: {what}.")


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL."""
    return text.replace("\0", "\ufffd")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**31 else None
