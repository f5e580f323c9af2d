"""A transformation: what its handler is given of a webhook, what it may make of it, and how it fails.

function handler(webhook) {
  webhook.payload = {text: `${webhook.payload.name} has signed up`};
  return webhook;
}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import orjson

from graphook import strict_json
from graphook.errors import InvalidInput
from graphook.headers import check_headers
from graphook.rules import counted
from graphook.ssrf import Policy, check_url

METHODS = ("POST", "PUT")
MIN_CODE, MAX_CODE = 10, 51_200
# Of a payload, before and after; below what the memory of a process holds as objects.
MAX_PAYLOAD = 1024 * 1024

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


def check_sizes(code: str, payload: bytes) -> None:
    """Raise `TransformationError` for code or a payload that is too large to be run."""
    if not MIN_CODE <= len(code) <= MAX_CODE:
        raise TransformationError("TOO_LARGE", f"The code has {counted(len(code), 'character')}; {MIN_CODE} to {MAX_CODE} are allowed.")
    if len(payload) > MAX_PAYLOAD:
        raise TransformationError("TOO_LARGE", f"The payload has {len(payload)} bytes; {MAX_PAYLOAD} can be transformed.")


def given(webhook: Webhook, variables: Mapping[str, str], params: str | None) -> bytes:
    """What a handler is given, as JSON text, but for the payload, which goes beside it. `params` is JSON text."""
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


def taken(given: Webhook, text: str, payload: str, policy: Policy) -> Webhook:
    """The webhook that a handler returned, held to what can be sent: `text` is JSON without the payload, or anything else that code may write.

    A URL that the handler changed keeps to the policy. Raises `TransformationError`.
    """
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
        url=_url(found.get("url", given.url), given.url, policy),
        headers=_headers(found.get("headers", {})),
        payload=_payload(payload),
    )


def failure(state: str, sentence: str = "", stack: str = "", *, lines: int = 0) -> TransformationError:
    """The error of code that has so many lines, by what its process answered: a code of ours, a sentence and a stack, any of which may be any text."""
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


def _url(url: Any, given: str, policy: Policy) -> str:
    if not isinstance(url, str):
        raise TransformationError("BAD_OUTPUT", "url is a text.")
    if url != given:
        try:
            check_url(url, policy)
        except InvalidInput as error:
            raise TransformationError("BAD_OUTPUT", f"url: {error.message}") from error
    return url


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
