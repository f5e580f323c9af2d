"""The sandbox: runs a tenant's JavaScript on a webhook, in processes that have nothing else, and holds what comes out to what is sent.

function handler(webhook) {
  webhook.payload = {text: `${webhook.payload.name} has signed up`};
  return webhook;
}
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal, cast, get_args

import orjson

from graphook import metrics, strict_json
from graphook.errors import InvalidInput, Overloaded
from graphook.headers import check_headers
from graphook.rules import counted
from graphook.sandbox_process import START_SECONDS, Child, ChildFailed
from graphook.settings import Settings
from graphook.shared_timeout import SharedTimeout
from graphook.ssrf import Policy, check_url
from graphook.turns import Turns

log = logging.getLogger(__name__)

METHODS = ("POST", "PUT")
MIN_CODE, MAX_CODE = 10, 51_200
# Of a payload, before and after; below what the memory of a process holds as objects.
MAX_PAYLOAD = 1024 * 1024
# Seconds that a call waits for a process.
PATIENCE = 5.0
# Calls that wait beside deliveries: of one organisation, whose own limit keeps others' calls from being refused, and of all.
WAITING_PER_TENANT = 200
MAX_WAITING = 4000
# The clock may run so many times as long as the processor, before the process is killed.
CLOCK = 2.0

Code = Literal["SYNTAX", "NO_HANDLER", "THREW", "TIMEOUT", "MEMORY", "BAD_OUTPUT", "TOO_LARGE", "CRASHED", "UNAVAILABLE"]
_SENTENCES = {
    "TIMEOUT": "The code ran for too long.",
    "MEMORY": "The code used too much memory, or threw null, which looks the same.",
    "CRASHED": "The process that ran the code ended unexpectedly.",
    "UNAVAILABLE": "The code could not be run now.",
}
_FRAME = re.compile(r"at (?!sandboxed )\S+ \(<input>:(\d+):\d+\)")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_SYNTAX_FRAME = re.compile(r"at <input>:(\d+):\d+")


@dataclass(frozen=True, slots=True)
class Webhook:
    """What a handler is given, and what it made of it. `payload` is JSON text in UTF-8; of `headers`, a handler says what is to be added."""

    method: str
    url: str
    payload: bytes
    event_type: str
    headers: Mapping[str, str]
    cancel: bool = False
    channels: Sequence[str] | None = None


class TransformationError(Exception):
    """A handler made nothing that can be sent. `message` is a sentence or two for its author, `line` of the code where it is known.

    CRASHED and UNAVAILABLE say nothing of the code: it may do well the next time.
    """

    def __init__(self, code: Code, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line


class Sandbox:
    """One per process and event loop. Its processes are started when they are needed: `processes` for one tenant, and one more for the others.

    `seconds` is the time on the processor that a call may use, and half of what it may take on the clock; `memory_mib` is what its objects may have.
    As many `deliveries` may wait, all of one tenant, besides what else waits.
    """

    def __init__(
        self, *, processes: int = 2, seconds: float = 0.5, memory_mib: int = 32, deliveries: int = 0, policy: Policy | None = None
    ) -> None:
        self._seconds = seconds
        self._limit_time = SharedTimeout(CLOCK * seconds)
        self._memory = memory_mib * 1024 * 1024
        self._policy = policy or Policy()
        self._turns = Turns(processes + 1, processes, MAX_WAITING + deliveries, WAITING_PER_TENANT + deliveries)
        self._idle: list[Child] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._warned = self._closed = False

    @classmethod
    def of(cls, settings: Settings) -> Sandbox:
        """As the settings have it."""
        return cls(
            processes=settings.transformation_processes,
            seconds=settings.transformation_timeout,
            memory_mib=settings.transformation_memory,
            deliveries=settings.worker_slots,
            policy=settings.ssrf_policy(),
        )

    async def transform(
        self,
        code: str,
        webhook: Webhook,
        *,
        tenant: str,
        line: str = "",
        variables: Mapping[str, str] | None = None,
        params: str | None = None,
    ) -> Webhook:
        """What the code's `handler` makes of a webhook. `params` is JSON text. Raises `TransformationError`.

        `tenant`, an organisation, is whose turn it is, and within it that of `line`, an application.

        The handler is given `method`, `url`, `payload`, `eventType`, `headers`, `channels`, `env` (the variables), `transformationsParams` and `cancel`.
        """
        began, outcome = perf_counter(), "OK"
        try:
            _check_sizes(code, webhook.payload)
            given = _given(webhook, variables or {}, params)
            state, first, second = await self._run(tenant, line, [code.encode("utf-8", "replace"), given, webhook.payload])
            if state != "OK":
                raise _failure(state, first, second, lines=code.count("\n") + 1)
            return self._taken(webhook, first, second)
        except TransformationError as error:
            outcome = error.code
            raise
        except Exception as error:
            # A fault of ours is told like one of a process: whoever asked knows what to do with a call that ran nothing.
            log.exception("the sandbox stumbled")
            outcome = "CRASHED"
            raise _failure("CRASHED") from error
        finally:
            metrics.transformed(outcome, perf_counter() - began)

    async def lacking(self) -> str:
        """What of the processes' confinement the system refuses, empty for nothing. Raises `TransformationError` when none can be started."""
        async with self._turn("", ""):
            child = await self._ready()
            async with self._kept(child):
                return child.lacking

    @property
    def longest(self) -> float:
        """Seconds that a call may take at most: its turn, a process that fails, one that is started and one that runs to the end."""
        return PATIENCE + START_SECONDS + 2 * CLOCK * self._seconds

    async def close(self) -> None:
        """End every process. What is still running fails as UNAVAILABLE."""
        self._closed = True
        for child in self._idle:
            self._end(child)
        self._idle.clear()
        while self._ending:
            await asyncio.wait(self._ending)

    async def _run(self, tenant: str, line: str, parts: Sequence[bytes]) -> tuple[str, str, str]:
        async with self._turn(tenant, line):
            child = await self._ready()
            if child.calls:
                try:
                    return await self._ask(child, parts)
                except TransformationError as error:
                    # What was kept may have come to its end by what it had done before.
                    if error.code != "CRASHED":
                        raise
                child = await self._start()
            return await self._ask(child, parts)

    async def _ask(self, child: Child, parts: Sequence[bytes]) -> tuple[str, str, str]:
        async with self._kept(child):
            try:
                async with self._limit_time():
                    answer = await child.ask(parts)
            except TimeoutError:
                metrics.sandbox_killed()
                raise _failure("TIMEOUT") from None
            except ChildFailed as error:
                log.warning("process %d of the sandbox: %s", child.pid, error)
                raise _failure("CRASHED") from error
            if answer[0] in ("TIMEOUT", "MEMORY"):  # what it has grown to is given back
                raise _failure(answer[0])
            return answer

    @asynccontextmanager
    async def _turn(self, tenant: str, line: str) -> AsyncIterator[None]:
        try:
            async with self._turns.turn(tenant, line, PATIENCE):
                yield
        except Overloaded as error:
            raise TransformationError("UNAVAILABLE", f"The code could not be run now: {error.message}") from error

    @asynccontextmanager
    async def _kept(self, child: Child) -> AsyncIterator[None]:
        """Keep a process for the next call; it is killed unless this one ends well."""
        well = False
        try:
            yield
            well = not child.worn and not self._closed
        finally:
            if well:
                self._idle.append(child)
            else:
                self._end(child)

    async def _ready(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if not child.ended:
                return child
            self._end(child)
        return await self._start()

    async def _start(self) -> Child:
        if self._closed:
            raise _failure("UNAVAILABLE")
        try:
            child = await Child.start(self._memory, self._seconds)
        except ChildFailed as error:
            log.error("a process of the sandbox failed: %s", error)
            raise _failure("UNAVAILABLE") from error
        if child.lacking and not self._warned:
            self._warned = True
            log.warning("the sandbox does without what this system refuses: %s", child.lacking)
        return child

    def _end(self, child: Child) -> None:
        task = asyncio.get_running_loop().create_task(child.kill())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _taken(self, given: Webhook, text: str, payload: str) -> Webhook:
        """What a handler returned, held to what is sent. It is any text: a handler may write what it likes."""
        try:
            found = strict_json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise TransformationError("BAD_OUTPUT", "What handler returned is not a webhook.")
        cancel = found.get("cancel")
        if cancel not in (None, False, True):
            raise TransformationError("BAD_OUTPUT", "cancel is true or false.")
        if cancel:
            return replace(given, cancel=True)
        return replace(
            given,
            method=_method(found.get("method", given.method)),
            url=self._url(found.get("url", given.url), given.url),
            headers=_headers(found.get("headers", {})),
            payload=_payload(payload),
        )

    def _url(self, url: Any, given: str) -> str:
        if not isinstance(url, str):
            raise TransformationError("BAD_OUTPUT", "url is a text.")
        if url != given:
            try:
                check_url(url, self._policy)
            except InvalidInput as error:
                raise TransformationError("BAD_OUTPUT", f"url: {error.message}") from error
        return url


def _check_sizes(code: str, payload: bytes) -> None:
    if not MIN_CODE <= len(code) <= MAX_CODE:
        raise TransformationError("TOO_LARGE", f"The code has {counted(len(code), 'character')}; {MIN_CODE} to {MAX_CODE} are allowed.")
    if len(payload) > MAX_PAYLOAD:
        raise TransformationError("TOO_LARGE", f"The payload has {len(payload)} bytes; {MAX_PAYLOAD} can be transformed.")


def _given(webhook: Webhook, variables: Mapping[str, str], params: str | None) -> bytes:
    return orjson.dumps(
        {
            "method": webhook.method,
            "url": webhook.url,
            "payload": None,
            "eventType": webhook.event_type,
            "headers": dict(webhook.headers),
            "channels": None if webhook.channels is None else list(webhook.channels),
            "env": dict(variables),
            "transformationsParams": {} if params is None else orjson.Fragment(params),
            "cancel": False,
        }
    )


def _failure(state: str, sentence: str = "", stack: str = "", *, lines: int = 0) -> TransformationError:
    """The error of an answer of three parts, which is any text as well, to code of so many lines."""
    kind = cast(Code, state if state in get_args(Code) else "CRASHED")
    line: int | None = None
    if kind == "SYNTAX" and (found := _SYNTAX_FRAME.search(stack)) is not None:
        line = int(found[1])
        if line > lines:  # what is missing at the end is missed in the line after it
            line, sentence = lines, "SyntaxError: unexpected end of the code"
    elif kind == "THREW":
        # Code that the code makes has lines of its own.
        line = next((number for found in _FRAME.finditer(stack) if (number := int(found[1])) <= lines), None)
    text = _SENTENCES.get(kind) or " ".join(_CONTROLS.sub(" ", sentence)[:300].split()).removesuffix(".") + "."
    return TransformationError(kind, text if line is None else f"{text.removesuffix('.')} (line {line}).", line)


def _method(method: Any) -> str:
    if method not in METHODS:
        raise TransformationError("BAD_OUTPUT", f"method is {' or '.join(METHODS)}.")
    return str(method)


def _headers(headers: Any) -> Mapping[str, str]:
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise TransformationError("BAD_OUTPUT", "headers is an object of texts.")
    for fault in check_headers(headers, ("headers",)):
        raise TransformationError("BAD_OUTPUT", fault.message)
    return headers


def _payload(payload: str) -> bytes:
    encoded = payload.encode()
    if len(encoded) > MAX_PAYLOAD:
        raise TransformationError("TOO_LARGE", f"The payload that handler returned has {len(encoded)} bytes; {MAX_PAYLOAD} are allowed.")
    try:
        found = strict_json.loads(encoded)
    except ValueError as error:
        raise TransformationError("BAD_OUTPUT", f"The payload that handler returned cannot be sent. {error}") from error
    if not isinstance(found, dict | list):
        raise TransformationError("BAD_OUTPUT", "The payload that handler returns is an object or a list.")
    return encoded
