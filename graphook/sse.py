"""Reads a text/event-stream: the data of each event, bounded in every direction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

MAX_EVENT = 256 * 1024
MAX_STREAM = 16 * 1024 * 1024


class BadStream(Exception):
    """The stream breaks a bound; the message says which."""


async def data_of(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The data of each event, as it is complete; comments and other fields are left out. Raises `BadStream`."""
    total = size = 0
    line = bytearray()
    data: list[bytes] = []
    async for chunk in chunks:
        total += len(chunk)
        if total > MAX_STREAM:
            raise BadStream(f"it has more than {MAX_STREAM} bytes")
        # Joined once per line, so that a long line in small pieces costs no more than its length.
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            line += part
            text = bytes(line.removesuffix(b"\r"))
            line.clear()
            if text.startswith(b"data:"):
                data.append(text[5:].removeprefix(b" "))
                size += len(text)
                if size > MAX_EVENT:
                    raise BadStream(f"an event has more than {MAX_EVENT} bytes")
            elif not text and data:
                yield b"\n".join(data)
                data, size = [], 0
        line += rest
        if len(line) > MAX_EVENT:
            raise BadStream(f"a line has more than {MAX_EVENT} bytes")
