"""The vocabulary of input constraints: each rule says in a sentence what it wants and finds what breaks it, with the path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import orjson

from graphook.errors import InvalidInput
from graphook.ids import starts_with_prefix
from graphook.signing import SECRET_PATTERN
from graphook.tokens import ONE_TIME_PATTERN

Path = tuple[str, ...]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\ud800-\udfff]")


class Rule(Protocol):
    """A constraint on one value."""

    def check(self, value: Any, path: Path) -> Iterator[InvalidInput]:
        """What is wrong with the value."""

    def describe(self) -> str:
        """The constraint as a sentence for the schema."""


_OWN_PREFIX = "must not begin like one of our ids."


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.removeprefix("^").removesuffix("$"))


@dataclass(frozen=True, slots=True)
class Text:
    """A text: its length in characters and the pattern the whole of it matches. A secret one is never repeated in a message."""

    min_length: int = 0
    max_length: int | None = None
    pattern: str | None = None
    controls: bool = True
    own_prefixes: bool = True
    blank: bool = True
    secret: bool = False

    def check(self, value: str, path: Path) -> Iterator[InvalidInput]:
        fault = self._fault(value)
        if fault is not None:
            code = {"code": "INVALID_UID_PREFIX"} if fault == _OWN_PREFIX else {}
            shown = "" if self.secret else f" {short(value)}"
            of = f" of {named(path)}" if path else ""
            yield InvalidInput(f"The value{shown}{of} {fault}", path, **code)

    def _fault(self, value: str) -> str | None:
        if (_UNSTORABLE if self.controls else _CONTROLS).search(value):
            return "holds characters that cannot be stored."
        if len(value) < self.min_length or (self.max_length is not None and len(value) > self.max_length):
            return f"has {counted(len(value), 'character')}; {self._length()} are allowed."
        if self.pattern is not None and _compiled(self.pattern).fullmatch(value) is None:
            return f"must match {self.pattern}"
        if not self.blank and not value.strip():
            return "is nothing but blanks."
        if not self.own_prefixes and starts_with_prefix(value):
            return _OWN_PREFIX
        return None

    def describe(self) -> str:
        parts = []
        if self.min_length or self.max_length is not None:
            parts.append(f"{self._length()} characters")
        if self.pattern is not None:
            parts.append(f"matching `{self.pattern}`")
        if not self.blank:
            parts.append("not only blanks")
        if not self.own_prefixes:
            parts.append("not beginning like one of our ids")
        return ", ".join(parts)

    def _length(self) -> str:
        if self.max_length is None:
            return f"at least {self.min_length}"
        return f"{self.min_length} to {self.max_length}" if self.min_length else f"at most {self.max_length}"


@dataclass(frozen=True, slots=True)
class Items:
    """A list: how many items, each by its own rule, none twice unless `repeats`."""

    item: Rule
    min_items: int = 0
    max_items: int | None = None
    repeats: bool = False

    def check(self, value: list[Any], path: Path) -> Iterator[InvalidInput]:
        if len(value) < self.min_items or (self.max_items is not None and len(value) > self.max_items):
            yield InvalidInput(f"{path[-1]} has {counted(len(value), 'item')}; {self._count()} are allowed.", path)
            return
        seen = set()
        for index, item in enumerate(value):
            where = (*path, str(index))
            if item in seen and not self.repeats:
                yield InvalidInput(f"{path[-1]} holds {short(item)} twice.", where)
            seen.add(item)
            yield from self.item.check(item, where)

    def describe(self) -> str:
        return ", ".join(
            filter(None, (f"{self._count()} {'items' if self.repeats else 'different items'}", f"each {self.item.describe()}"))
        )

    def _count(self) -> str:
        if self.max_items is None:
            return f"at least {self.min_items}" if self.min_items else "any number of"
        return f"{self.min_items} to {self.max_items}"


@dataclass(frozen=True, slots=True)
class Range:
    """A number between two others, both allowed."""

    minimum: int
    maximum: int

    def check(self, value: float, path: Path) -> Iterator[InvalidInput]:
        if not self.minimum <= value <= self.maximum:
            verb = "are" if self.minimum < self.maximum else "is"
            yield InvalidInput(f"{named(path)} is {value}; {self.describe()} {verb} allowed.", path)

    def describe(self) -> str:
        return f"{self.minimum} to {self.maximum}" if self.minimum < self.maximum else f"only {self.minimum}"


@dataclass(frozen=True, slots=True)
class TextMap:
    """A map of strings to strings of at most so many bytes as JSON."""

    max_bytes: int = 4096

    def check(self, value: dict[str, str], path: Path) -> Iterator[InvalidInput]:
        for key, text in value.items():
            if _UNSTORABLE.search(key) or _UNSTORABLE.search(text):
                yield InvalidInput(f"{path[-1]} holds characters that cannot be stored.", (*path, key[:40]))
                return
        if len(orjson.dumps(value)) > self.max_bytes:
            yield InvalidInput(f"{path[-1]} has more than {self.max_bytes} bytes as JSON.", path)

    def describe(self) -> str:
        return f"at most {self.max_bytes} bytes as JSON"


def named(path: Path) -> str:
    """What a message calls the place, of which the path has the whole: `uid`, or `list item 1 of channels`."""
    if len(path) > 1 and path[-1].isdecimal():
        return f"list item {int(path[-1]) + 1} of {path[-2]}"
    return path[-1][:40] if path else "value"


def is_storable(value: Any) -> bool:
    """Whether every text and every name in a JSON value can be stored."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and _UNSTORABLE.search(item):
            return False
        if isinstance(item, dict):
            waiting += (*item, *item.values())
        elif isinstance(item, list):
            waiting += item
    return True


def short(value: object) -> str:
    """A value as an error shows it: at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}…{text[-1]}"


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


SLUG_PATTERN = r"^[a-zA-Z0-9\-_.]+$"
_SLUG = re.compile(r"[a-zA-Z0-9\-_.]{1,256}")


def could_be_reference(text: str) -> bool:
    """Whether anything can have this id, uid or name. What cannot is not looked up: PostgreSQL fails at a NUL instead of finding nothing."""
    return _SLUG.fullmatch(text) is not None


REFERENCE = Text(1, 256, SLUG_PATTERN)
UID = Text(1, 256, SLUG_PATTERN, own_prefixes=False)
EVENT_TYPE = Text(1, 256, SLUG_PATTERN)
FEATURE_FLAG = Text(1, 256, SLUG_PATTERN)
GROUP_NAME = Text(1, 256, SLUG_PATTERN)
CHANNEL = Text(1, 128, SLUG_PATTERN)
TAG = Text(1, 128, SLUG_PATTERN)
COLOR = Text(pattern=r"^#([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})$")
FONT_FAMILY = Text(1, 256, r"^[a-zA-Z0-9\-_ ]+$")
FONT_SIZE = Range(0, 65_535)
LINK = Text(1, 65_536, r"^https?://[a-zA-Z0-9\-._~:/?#\[\]@!$&()*+,;=%]+$")
NAME = Text(1, 4096, controls=False, blank=False)
# It is listed in a terminal, which control characters would command.
TOKEN_NAME = Text(1, 4096, r"^[^\x00-\x1f\x7f-\x9f]+$", controls=False, blank=False)
OPTIONAL_NAME = Text(0, 4096, controls=False)
DESCRIPTION = Text(0, 65_536, controls=False)
SECRET = Text(pattern=SECRET_PATTERN, secret=True)
ONE_TIME_TOKEN = Text(pattern=ONE_TIME_PATTERN, secret=True)
REDIRECT_URI = Text(1, 2048)
OAUTH_CODE = Text(1, 2048, r"^[\x21-\x7e]+$", secret=True)
OAUTH_STATE = Text(pattern=r"^[a-zA-Z0-9\-_]{43}$", secret=True)
SESSION_ID = Text(1, 64, r"^[a-zA-Z0-9@_-]+$")
IDEMPOTENCY_KEY = Text(1, 256)
RATE_LIMIT = Range(1, 65_535)
VERSION = Range(1, 65_535)
RETENTION_DAYS = Range(5, 90)
GRACE_SECONDS = Range(0, 604_800)
PORTAL_EXPIRY = Range(3600, 604_800)
EXPIRE_SECONDS = Range(0, 259_200)
METADATA = TextMap()
MESSAGE_CHANNELS = Items(CHANNEL, 1, 5)
ENDPOINT_CHANNELS = Items(CHANNEL, 1, 10)
TAGS = Items(TAG, 1, 5)
FILTER_TYPES = Items(EVENT_TYPE, 1)
RETRY_SCHEDULE = Items(Range(0, 604_800), 0, 32, repeats=True)
MAX_IN_FLIGHT = Range(1, 1000)
NO_RETRY_ON = Items(Text(pattern=r"^[345](xx|[0-9][0-9])$"), 0, 32)
FEATURE_FLAGS = Items(FEATURE_FLAG, 0, 25)
SESSION_IDS = Items(SESSION_ID, 1, 1000)
EVENT_TYPES = Items(EVENT_TYPE)
CHANNELS = Items(CHANNEL)
CONSUMER = Text(1, 256, SLUG_PATTERN)
LEASE_SECONDS = Range(1, 3600)
APPLICATIONS = Items(Text(1, 256, SLUG_PATTERN), 0, 1000)
