"""HTTP as the server speaks it: uvicorn's protocol, with limits on the head of a request, which may else be of any size and take any time."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Bytes of the path and the headers together, or of trailers: a stranger may send them, and they are kept until the request is dealt with.
MAX_HEAD = 64 * 1024
# What a head has beside them.
_BESIDE = 1024
HEAD_SECONDS = 30.0

_BODY = b'{"errors":[{"message":"The head of the request has more than %d bytes.","extensions":{"code":"HTTP_431"}}]}' % MAX_HEAD
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s"
) % (len(_BODY), _BODY)


class _TooLarge(Exception):
    """Stops the parser."""


class HttpProtocol(HttpToolsProtocol):
    """A connection that is closed when the head of a request has more than `MAX_HEAD` bytes, after 431, or does not come within `head_seconds`."""

    head_seconds = HEAD_SECONDS
    # Bytes since the last head or part of a body: of a head, of trailers, or of what the parser passes over.
    _unparsed = 0
    _is_too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head."""
        super().connection_made(transport)
        self._free_since = self.loop.time()
        self._watch = self.loop.call_later(self.head_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._watch.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to another protocol."""
        self._watch.cancel()
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        self._free_since = self.loop.time()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Read on, within the limit."""
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD + _BESIDE:
            self._refuse()

    def on_headers_complete(self) -> None:
        """Take the head, if it is not too large: what came in one piece may be."""
        if self._unparsed > MAX_HEAD:
            self._is_too_large = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD
            if self._is_too_large:
                raise _TooLarge
        self._unparsed = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """What came is a body, whose size is the application's to limit."""
        self._unparsed = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, or one that is too large."""
        if self._is_too_large:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _look(self) -> None:
        # One timer for a connection, not one for each request.
        left = self.head_seconds
        if self._is_free():
            left -= self.loop.time() - self._free_since
        if left <= 0:
            self.transport.close()
        else:
            self._watch = self.loop.call_later(left, self._look)

    def _is_free(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        if self._is_free():
            self.transport.write(_REFUSAL)
        self.transport.close()
