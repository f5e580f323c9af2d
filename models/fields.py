"""Column types that mean the same on PostgreSQL and SQLite."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from tortoise import Model, fields
from tortoise.fields.base import Field

from graphook.clock import from_us, to_us


class IdField(Field[str], str):  # type: ignore[misc]
    """An id or another key that is compared byte by byte, so that id order is creation order whatever the database's locale."""

    SQL_TYPE = "TEXT"

    class _db_postgres:
        SQL_TYPE = 'TEXT COLLATE "C"'


class TimestampField(Field[datetime], datetime):
    """An instant as microseconds since the epoch (BIGINT), an aware UTC `datetime` in Python: both databases compare it alike."""

    SQL_TYPE = "BIGINT"

    def to_db_value(self, value: Any, instance: type[Model] | Model) -> int | None:
        return to_us(value) if isinstance(value, datetime) else value

    def to_python_value(self, value: Any) -> datetime | None:
        return from_us(value) if isinstance(value, int) else value


def dump_json(value: Any) -> str:
    """A value as the text of a JSON column."""
    return orjson.dumps(value).decode()


def dump_nullable(value: Any) -> str | None:
    """The same of a column that may be null."""
    return None if value is None else dump_json(value)


def json_field(**kwargs: Any) -> Any:
    """A JSON column (JSONB on PostgreSQL) through orjson."""
    return fields.JSONField(encoder=dump_json, decoder=orjson.loads, **kwargs)
