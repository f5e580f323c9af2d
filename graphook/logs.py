"""Log lines for people or machines, with every secret taken out before it is written."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from graphook.access import current_request_id

HIDDEN = "[redacted]"
# What was said within the last second, and when.
_said: dict[str, float] = {}

# Names of headers, parameters and settings whose value nobody should read in a log. Repetitions are bounded: a hostile text must cost no more
# than its length.
_NAMED = (
    r"(?:proxy-|x-)?auth(?:orization)?|(?:set-)?cookie"
    r"|[\w-]{0,40}(?:api[_-]?key|secret(?:[_-]?key)?|token|password|passwd|pwd|credentials?)"
)
# A name and its value, however they are quoted: `name=value`, `name: value`, `"name": "value"`, `('name', 'value')`. A header's value goes on
# to the end of its line or quote, as schemes differ in what they put there.
_NAMED_VALUES = re.compile(
    rf"""(?P<keep> \b(?:{_NAMED}) (?: [\\"']*\s*[:=]\s*b?[\\"']* | [\\"']+\s*,\s*b?[\\"']+ )) [^\n"'\\]+""",
    re.VERBOSE | re.IGNORECASE,
)
_SECRETS = re.compile(
    r"""
      # The password in a URL, up to the last @: it may hold a slash that nobody escaped. What follows a web address is its port, not that.
      (?P<before_at> (?: https?://[^\s/:@"']*:(?!\d{1,5}(?:[/?\#\s]|$)) | (?<!http)(?<!https)://[^\s/:@"']*: )) [^\s"'<>]{1,2000} (?=@)
    | (?P<keep>
          (?:org|app|integ|once|inbound)sk_ | whs(?:ec|k)_   # our tokens and the secrets of endpoints
        | \b(?:bearer|basic)\s+                              # credentials, wherever they stand
        | [?&;][^\s=&\#"']{0,40}(?:auth|token|secret|key|sig|session|pass|pwd|credential|code)[^\s=&\#"']{0,40}=
      ) [^\s&\#"'\\,;)}\]<>]+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NAME = re.compile(_NAMED, re.IGNORECASE)
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


def redact(text: str) -> str:
    """The text without tokens, webhook secrets, credentials in headers, passwords in URLs and secrets in query strings."""
    return _NAMED_VALUES.sub(lambda match: match["keep"] + HIDDEN, _SECRETS.sub(_hide, text))


def _hide(match: re.Match[str]) -> str:
    return str(match["keep"] or match["before_at"]) + HIDDEN


def _clean(value: Any, name: str = "") -> Any:
    """The value with the secrets in its texts redacted, before quoting can hide where they end."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if name and _NAME.fullmatch(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {redact(str(key)): _clean(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    return redact(str(value))


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in ("message", "asctime")}
        entry |= _clean(extra)
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(entry).decode()


class _OnBehalf(logging.Filter):
    """Adds the id of the request that a line is written on behalf of."""

    def filter(self, record: logging.LogRecord) -> bool:
        name = current_request_id.get()
        if name is not None and not hasattr(record, "request_id"):
            record.request_id = name
        return True


def configure_logging(level: str, form: str) -> None:
    """Write log lines of at least that level to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONFormatter() if form == "json" else _TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler.addFilter(_OnBehalf())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # These repeat what the service says itself.
    for name in ("tortoise", "asyncio", "aiosqlite", "dramatiq", "uvicorn.error", "opentelemetry", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def once_a_second(write: Callable[[str], None], text: str) -> None:
    """Write a line unless the same was written within a second: there may be thousands with the same to say."""
    now = time.monotonic()
    for said in [said for said, at in _said.items() if now - at >= 1.0]:
        del _said[said]
    if text not in _said:
        _said[text] = now
        write(text)
