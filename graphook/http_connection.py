"""One HTTP/1.1 connection to a receiver: it writes a request, reads the response within limits, and takes no byte of one for another's."""

from __future__ import annotations

import asyncio
from typing import cast

from httptools import HttpParserError, HttpResponseParser

MAX_HEADERS = 128
MAX_HEADER = 16 * 1024
MAX_HEAD = 64 * 1024
# Above any body that is read, chunked byte by byte, and any head: what one turn of the loop can bring is below it.
_WIRE_BUDGET = 1024 * 1024
# A body is handed over in parts of so many bytes, each when the transport has room: a receiver that is slow holds one part, not a copy of the body.
_PART = 64 * 1024
_WITHOUT_BODY = frozenset({204, 304})


class ConnectionClosed(Exception):
    """The connection ended before the head of a response was complete."""


class Malformed(Exception):
    """What came is not an HTTP response, or broke off in its body."""


class TooMuch(Exception):
    """A connection brought more bytes than any acceptable response has."""


class _Enough(Exception):
    """Stops the parser where the response has ended for us."""


class Answer:
    """As much of a response as came, kept when it breaks off."""

    __slots__ = ("body", "headers", "status_code", "truncated")

    def __init__(self) -> None:
        self.status_code = 0
        self.headers: tuple[tuple[str, str], ...] = ()
        self.body = bytearray()
        self.truncated = False


class Connection(asyncio.Protocol):
    """Carries one request at a time. It may carry another while `reusable`: the response ended well, wants it so, and nothing followed.

    `received` is how many bytes came back for the latest request, `made_at` a time of the loop's. The response's body is
    read up to `response_limit` bytes, then the connection is closed.
    """

    def __init__(self, origin: tuple[str, str, int], response_limit: int) -> None:
        self.origin = origin
        self.reusable = False
        self.received = 0
        self._limit = response_limit
        self._budget = _WIRE_BUDGET + 8 * response_limit
        self._loop = asyncio.get_running_loop()
        self.made_at = self._loop.time()
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[None] | None = None
        self._answer = Answer()
        self._full = False
        self._unsent: memoryview | None = None

    def request(self, head: bytes, body: bytes, answer: Answer) -> asyncio.Future[None]:
        """Write a request, its head up to the empty line and its body; what comes back is put in `answer`.

        The future is done when the response has ended, or raises `ConnectionClosed`, `Malformed` or `TooMuch`.
        """
        self._done = done = self._loop.create_future()
        self.reusable = self._keep_alive = self._framed = False
        self.received = self._head_size = self._status_line = 0
        self._headers: list[tuple[str, str]] = []
        self._header_count = 0
        self._answer = answer
        # A parser of its own for each response: nothing that it holds back of one can show up in the next.
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        if self._transport is None:
            done.set_exception(ConnectionClosed())
        else:
            # In one write as far as it goes: two would be two system calls.
            self._transport.write(head + body[:_PART])
            if len(body) > _PART:
                self._unsent = memoryview(body)[_PART:]
                self._write_on()
        return done

    def close(self) -> None:
        """End the connection at once; a request that is out fails."""
        self._end(clean=False)
        # With its error it would know who waited for it, and so this connection.
        self._done = self._parser = self._unsent = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not say that it is one
        self._transport.set_write_buffer_limits(_PART)  # TLS would take half a megabyte

    def pause_writing(self) -> None:
        """Hand over no more."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on with what there is of a body."""
        self._full = False
        self._write_on()

    def data_received(self, data: bytes) -> None:
        """Read on, within the limits. Bytes that nobody asked for end the connection."""
        if self._done is None or self._done.done() or self._parser is None:
            self.close()
            return
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            # An error of its own: what was raised below knows this frame and what it was given, for as long as somebody knows it.
            self._fail(TooMuch() if isinstance(error.__context__, TooMuch) else Malformed())
            return
        if self.received > (self._budget if self._answer.status_code else MAX_HEAD):
            self._fail(TooMuch())

    def eof_received(self) -> None:
        """End a body that ends with the connection; for everything else this is too early."""
        self._end(clean=True)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what is out."""
        self._end(clean=error is None)
        self._transport = self._parser = self._unsent = None

    # What the parser tells

    def on_message_begin(self) -> None:
        """Refuse a response behind the one that was asked for."""
        if self._has_ended():
            self.reusable = False
            raise _Enough

    def on_status(self, reason: bytes) -> None:
        """Limit the status line."""
        self._status_line += len(reason)
        if self._status_line > MAX_HEADER:
            raise TooMuch

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, also of interim responses and trailers: the limits are for all together, and an interim response counts as a header."""
        size = len(name) + len(value) + 4
        self._head_size += size
        self._header_count += 1
        if size > MAX_HEADER or self._head_size > MAX_HEAD:
            raise TooMuch
        if self._header_count > MAX_HEADERS:
            raise Malformed
        if self._answer.status_code:
            return
        lowered = name.lower()
        if lowered == b"content-length" or (lowered == b"transfer-encoding" and b"chunked" in value.lower()):
            self._framed = True
        self._headers.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        """Pass over an interim response; of any other the status and the headers are now known."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200:
            # No upgrade was asked for, and an interim response has no body.
            self._header_count += 1
            if status < 100 or status == 101 or self._framed or self._header_count > MAX_HEADERS:
                raise Malformed
            self._headers.clear()
            self._status_line = 0
            return
        self._answer.status_code = status
        self._answer.headers = tuple(self._headers)
        self._keep_alive = self._parser.should_keep_alive()
        if status in _WITHOUT_BODY:
            # Whatever length is said, there is no body; the parser would wait for it, so the connection ends here.
            self._keep_alive = self._keep_alive and not self._framed
            self._complete()

    def on_body(self, chunk: bytes) -> None:
        """Keep the body up to the limit; the rest is never read, so the connection cannot be used again."""
        if self._has_ended():
            raise _Enough
        room = self._limit - len(self._answer.body)
        self._answer.body += chunk[:room]
        if len(chunk) > room:
            self._answer.truncated = True
            self._keep_alive = False
            self._complete()
            raise _Enough

    def on_message_complete(self) -> None:
        """End the response, unless it was an interim one."""
        if self._answer.status_code and not self._has_ended():
            self._complete()

    def _write_on(self) -> None:
        while self._unsent is not None and not self._full and self._transport is not None:
            part, rest = self._unsent[:_PART], self._unsent[_PART:]
            self._unsent = rest or None  # one without bytes would keep the body, too
            self._transport.write(part)

    def _complete(self) -> None:
        assert self._done is not None
        # A response that came before the request was written leaves the rest of it to be written.
        self.reusable = self._keep_alive and self._unsent is None and self._transport is not None
        self._done.set_result(None)

    def _has_ended(self) -> bool:
        return self._done is None or self._done.done()

    def _end(self, *, clean: bool) -> None:
        self.reusable = False
        if self._done is None or self._done.done():
            return
        if not self._answer.status_code:
            self._done.set_exception(ConnectionClosed())
        elif clean and not self._framed:
            self._done.set_result(None)
        else:
            self._done.set_exception(Malformed())

    def _fail(self, error: Exception) -> None:
        self.reusable = False
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
        self.close()
