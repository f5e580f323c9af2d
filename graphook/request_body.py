"""A request's body, read whole: bounded in bytes and in time."""

from __future__ import annotations

from cross_web import HTTPException
from starlette.types import Receive

from graphook.shared_timeout import SharedTimeout


async def read_body(receive: Receive, most: int, time: SharedTimeout) -> bytes:
    """The body. Raises `HTTPException` when it has more than `most` bytes (413), does not arrive in time (408), or ends before its end (400)."""
    body = bytearray()
    try:
        async with time():
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise HTTPException(400, "The request ended before its body did.")
                body += message.get("body", b"")
                if len(body) > most:
                    raise HTTPException(413, f"The request body has more than {most} bytes.")
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise HTTPException(408, f"The request body did not arrive within {time.seconds:g} seconds.") from None
