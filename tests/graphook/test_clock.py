"""Instants as they are written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from graphook.clock import format_rfc3339, parse_rfc3339


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31 12:00:00.5+23:59", "2026-01-30T12:01:00.500000Z"),
        ("2026-01-31t12:00:00.123456789123z", "2026-01-31T12:00:00.123456Z"),
    ],
)
def test_an_rfc_3339_date_time_is_read_with_any_digits_of_a_second(text: str, instant: str) -> None:
    assert format_rfc3339(parse_rfc3339(text)) == instant


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00:00", "2026-01-31T12:00:00+24:00", "2026-01-31T12:00:00+23:60", "２０２６-01-31T12:00:00Z", "2026-01-31T12:00:00.Z"],
)
def test_what_is_none_is_refused_in_our_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 date-time with an offset"):
        parse_rfc3339(text)


def test_instants_are_in_utc() -> None:
    assert parse_rfc3339("2026-01-31T12:00:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)
