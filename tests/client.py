"""The HTTP client of the tests: of servers on this machine, which speak plain HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tests.waiting import PATIENCE


def http_client(**options: Any) -> httpx.AsyncClient:
    """A client with the tests' patience and without the certificates of the world, which take longer to read than most tests."""
    return httpx.AsyncClient(**{"verify": False, "timeout": PATIENCE, **options})
