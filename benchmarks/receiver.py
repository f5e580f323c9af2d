"""A receiver on uvloop and httptools that answers every POST with 200 and remembers how long after its payload's `sent` it began to arrive.

A program of its own: `receiver.py PORT`. GET of anything answers with those seconds as a JSON list, and forgets them.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from typing import cast

import httptools
import orjson
import uvloop

_SENT = re.compile(rb'"sent":(\d+)')
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class _Receiver(asyncio.Protocol):
    """One connection of our own receiver."""

    arrivals: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not say that it is one
        self._parser = httptools.HttpRequestParser(self)
        self._body = bytearray()
        self._first: int | None = None

    def data_received(self, data: bytes) -> None:
        if self._first is None:
            self._first = time.monotonic_ns()
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            answer = orjson.dumps(_Receiver.arrivals)
            _Receiver.arrivals.clear()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        else:
            sent = _SENT.search(self._body)
            if sent is not None and self._first is not None:
                _Receiver.arrivals.append((self._first - int(sent[1])) / 1e9)
            self._transport.write(_OK)
        self._first = None
        self._body.clear()


async def _listen(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Receiver, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_listen(int(sys.argv[1])))
