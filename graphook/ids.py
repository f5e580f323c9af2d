"""Ids: a prefix that names the kind and a KSUID, so that byte order is creation order (to four milliseconds).

A KSUID here is 160 bits in base 62: 32 bits of seconds since 2014-05-13T16:53:20Z, 8 bits counting four-millisecond steps, 120 random bits. They are
drawn as a number and nine digits behind it, because to write a number of 160 bits costs more than everything else that makes an id.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta

from graphook.clock import now_us, to_us

PREFIXES = ("org_", "app_", "ep_", "msg_", "atmpt_", "evtype_", "qtask_", "integ_", "trtmpl_", "tok_")

LENGTH = 27
_EPOCH_SECONDS = 1_400_000_000
_EPOCH = datetime.fromtimestamp(_EPOCH_SECONDS, UTC)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_TRIPLES = [a + b + c for a in _ALPHABET for b in _ALPHABET for c in _ALPHABET]
_FORM = re.compile(r"[0-9A-Za-z]{27}")
_RANDOM_BITS = 120
_MAX_PAYLOAD = 2**160 - 1
# The digits drawn by themselves: a byte makes one, some of them a quarter likelier than others.
_TAIL = 9
_TAIL_VALUES = 62**_TAIL
_DIGIT_OF_BYTE = bytes(ord(_ALPHABET[byte % 62]) for byte in range(256))
# Of each kind, the four-millisecond step of the latest id and the number that its first digits are.
_latest: dict[str, tuple[int, int]] = {}
_pool, _used = b"", 0


def new_id(prefix: str, at: datetime | int | None = None) -> str:
    """A fresh id of the kind that `prefix` names, made at `at` (a moment, or microseconds since the epoch; now, when not given).

    Ids of a kind that one process makes for the same moment follow each other in the order they were made.
    """
    step = _step(now_us() if at is None else at if isinstance(at, int) else to_us(at))
    of, number = _latest.get(prefix, (-1, 0))
    if step == of:
        number = min(number + 1 + int.from_bytes(_random(2)), (step + 1 << _RANDOM_BITS) // _TAIL_VALUES - 1)
    else:
        number = (step << _RANDOM_BITS) // _TAIL_VALUES + 1 + int.from_bytes(_random(8))
    _latest[prefix] = step, number
    return prefix + _encode(number, 6) + _random(_TAIL).translate(_DIGIT_OF_BYTE).decode()


def _random(size: int) -> bytes:
    """So many random bytes, which the system is asked for by the thousand."""
    global _pool, _used
    start, _used = _used, _used + size
    if _used > len(_pool):
        _pool, start, _used = os.urandom(4096), 0, size
    return _pool[start:_used]


def _forget() -> None:
    global _pool
    _pool = b""


# Two processes must not hand out the same random bytes.
os.register_at_fork(after_in_child=_forget)


def start_id(prefix: str, at: datetime) -> str:
    """The lowest id of that moment: ids made at `at` or later are not below it."""
    return prefix + _encode(_step(to_us(at)) << _RANDOM_BITS)


def end_id(prefix: str, at: datetime) -> str:
    """The highest id of that moment: ids made before `at` are not above it."""
    return prefix + _encode((_step(to_us(at)) + 1 << _RANDOM_BITS) - 1)


def id_time(identifier: str) -> datetime:
    """When an id was made, to four milliseconds. Raises ValueError on what is no id."""
    bits = _decode(identifier[-LENGTH:]) >> _RANDOM_BITS
    return _EPOCH + timedelta(seconds=bits >> 8, milliseconds=(bits & 0xFF) * 4)


def is_id(text: str, prefix: str) -> bool:
    """Whether the text is a well-formed id of that kind."""
    if not text.startswith(prefix) or len(text) != len(prefix) + LENGTH:
        return False
    try:
        _decode(text[-LENGTH:])
    except ValueError:
        return False
    return True


def starts_with_prefix(text: str) -> bool:
    """Whether the text begins like an id of ours; a uid must not, or references would be ambiguous."""
    return text.startswith(PREFIXES)


def _step(at_us: int) -> int:
    microseconds = min(max(at_us - _EPOCH_SECONDS * 1_000_000, 0), 2**32 * 1_000_000 - 1)
    seconds, rest = divmod(microseconds, 1_000_000)
    return seconds << 8 | rest // 4000


def _encode(value: int, triples: int = 9) -> str:
    groups = []
    for _ in range(triples):
        value, group = divmod(value, 238_328)
        groups.append(_TRIPLES[group])
    return "".join(reversed(groups))


def _decode(text: str) -> int:
    if _FORM.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a KSUID")
    value = 0
    for character in text:
        value = value * 62 + _DIGITS[character]
    if value > _MAX_PAYLOAD:
        raise ValueError(f"{text!r} is beyond 160 bits")
    return value
