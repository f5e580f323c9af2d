"""Statements that are written once: what SQLite gets of the PostgreSQL text."""

from __future__ import annotations

import pytest

from graphook.database import Statement


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("postgresql", "sqlite"),
    [
        ("SELECT $1, $12 WHERE a = $1", "SELECT ?1, ?12 WHERE a = ?1"),
        ("WHERE id = ANY($2::text[]) AND n < $1", "WHERE id IN (SELECT value FROM json_each(?2)) AND n < ?1"),
        ("SELECT a::text AS a WHERE ($1::text[] IS NULL OR n = $2::bigint)", "SELECT a AS a WHERE (?1 IS NULL OR n = ?2)"),
        ("LIMIT $1 FOR UPDATE", "LIMIT ?1"),
        ("ORDER BY a.id FOR SHARE OF a", "ORDER BY a.id"),
        ("IN (SELECT id FROM t LIMIT $1 FOR UPDATE OF t SKIP LOCKED) RETURNING id", "IN (SELECT id FROM t LIMIT ?1) RETURNING id"),
    ],
)
def test_sqlite_gets_the_same_in_its_own_words(postgresql: str, sqlite: str) -> None:
    found = Statement.same(postgresql)
    assert (found.text("postgresql"), found.text("sqlite")) == (postgresql, sqlite)
