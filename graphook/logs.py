"""Log lines for people or machines, with every secret taken out before it is written."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime

import orjson

_SECRETS = re.compile(
    r"""(?P<keep>(?:org|app|integ|once)sk_|whsec_|whsk_|[Bb]earer\s+|://[^:/@\s]*:)  # what may be shown
        [A-Za-z0-9+/=_.~%-]+  # what must not""",
    re.VERBOSE,
)
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


def redact(text: str) -> str:
    """The text without tokens, webhook secrets and passwords in URLs."""
    return _SECRETS.sub(lambda match: match["keep"] + "[redacted]", text)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD and name != "message"}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return redact(orjson.dumps(entry, default=str).decode())


def configure_logging(level: str, form: str) -> None:
    """Write log lines of at least that level to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONFormatter() if form == "json" else _TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # These repeat what the service says itself.
    for name in ("tortoise", "asyncio", "aiosqlite", "dramatiq", "uvicorn.error"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
