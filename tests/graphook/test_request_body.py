"""A request's body is read whole, within its limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cross_web import HTTPException
from starlette.types import Message, Receive

from graphook.request_body import read_body
from graphook.shared_timeout import SharedTimeout


def arriving(*parts: bytes | None, complete: bool = True) -> Receive:
    """What receives these parts, None for a client that goes; if they are not the whole body, the rest never comes."""
    messages: list[dict[str, Any]] = [
        {"type": "http.disconnect"} if part is None else {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    if complete:
        messages.append({"type": "http.request"})

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    return receive


async def test_a_body_is_put_together_up_to_its_limit() -> None:
    assert await read_body(arriving(b"one", b"", b" two"), 7, SharedTimeout(10)) == b"one two"


@pytest.mark.parametrize(
    ("receive", "seconds", "status", "reason"),
    [
        (arriving(b"one", b" two.", complete=False), 10, 413, "The request body has more than 7 bytes."),
        (arriving(b"one", complete=False), 0.05, 408, "The request body did not arrive within 0.05 seconds."),
        (arriving(b"one", None, complete=False), 10, 400, "The request ended before its body did."),
    ],
    ids=["too large", "too late", "broken off"],
)
async def test_a_body_that_cannot_be_had_is_refused_as_soon_as_that_is_known(
    receive: Receive, seconds: float, status: int, reason: str
) -> None:
    with pytest.raises(HTTPException) as refusal:
        await read_body(receive, 7, SharedTimeout(seconds))
    assert (refusal.value.status_code, refusal.value.reason) == (status, reason)
