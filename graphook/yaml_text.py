"""YAML texts as JSON values, built from the parser's events: no tags, no anchors, no aliases, and nothing but what JSON can hold."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

MAX_DEPTH = 160

_INTEGER = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NO_NUMBERS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class BadYAML(ValueError):
    """The text is not YAML that JSON can say; the message says why, and where, in one line."""


def loads(text: str) -> Any:
    """The value of a text of one YAML document, by the core schema of YAML 1.2: `no` is a text. Raises `BadYAML`."""
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        what = str(getattr(error, "problem", None) or "it holds characters that YAML does not allow")
        raise BadYAML(f"The text is not valid YAML: {what}{_place(getattr(error, 'problem_mark', None))}.") from None
    except UnicodeEncodeError:
        raise BadYAML("The text is not valid YAML: it holds half of a surrogate pair.") from None
    if builder.documents != 1:
        raise BadYAML("The text is not one YAML document.")
    return builder.root


class _Builder:
    """Puts a value together, without recursion."""

    def __init__(self) -> None:
        self.root: Any = None
        self.documents = 0
        self._open: list[dict[str, Any] | list[Any]] = []
        # Per open mapping the name that waits for its value; None for a sequence, or where a name comes next.
        self._names: list[str | None] = []

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise BadYAML(f"The text is not one YAML document{_place(event.start_mark)}.")
        elif isinstance(event, yaml.AliasEvent):
            raise BadYAML(f"Aliases are not allowed in YAML{_place(event.start_mark)}.")
        elif isinstance(event, yaml.NodeEvent):
            self._check(event)
            if isinstance(event, yaml.ScalarEvent):
                self._add(event)
            else:
                self._begin({} if isinstance(event, yaml.MappingStartEvent) else [], event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._names.pop()

    def _check(self, event: Any) -> None:
        if event.anchor is not None:
            raise BadYAML(f"Anchors are not allowed in YAML{_place(event.start_mark)}.")
        if event.tag is not None:
            raise BadYAML(f"Tags are not allowed in YAML{_place(event.start_mark)}.")

    def _begin(self, container: dict[str, Any] | list[Any], event: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise BadYAML(f"The YAML is nested more than {MAX_DEPTH} levels deep{_place(event.start_mark)}.")
        if self._wants_name():
            raise BadYAML(f"A name in YAML is a text{_place(event.start_mark)}.")
        self._put(container)
        self._open.append(container)
        self._names.append(None)

    def _add(self, event: Any) -> None:
        if not self._wants_name():
            self._put(event.value if event.style else _plain(event.value, event.start_mark))
        elif event.value in self._open[-1]:
            raise BadYAML(f"A name comes twice in YAML{_place(event.start_mark)}.")
        else:
            self._names[-1] = event.value

    def _wants_name(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1], dict) and self._names[-1] is None

    def _put(self, value: Any) -> None:
        if not self._open:
            self.root = value
            return
        inner, name = self._open[-1], self._names[-1]
        if isinstance(inner, list):
            inner.append(value)
        else:
            assert name is not None
            inner[name] = value
            self._names[-1] = None


def _plain(text: str, mark: Any) -> Any:
    """What a scalar without quotes means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        number = int(text, 0) if text[:2] in ("0x", "0o") and len(text) < 30 else int(text) if len(text) < 30 else 2**64
        if not -(2**63) <= number < 2**64:
            raise BadYAML(f"An integer in YAML is beyond 64 bits{_place(mark)}.")
        return number
    if _FLOAT.fullmatch(text):
        real = float(text)
        if not math.isfinite(real):
            raise BadYAML(f"A number in YAML is too large{_place(mark)}.")
        return real
    if _NO_NUMBERS.fullmatch(text):
        raise BadYAML(f"JSON holds no NaN and no infinity{_place(mark)}.")
    return text


def _place(mark: Any) -> str:
    return "" if mark is None else f", at line {mark.line + 1}, column {mark.column + 1}"
