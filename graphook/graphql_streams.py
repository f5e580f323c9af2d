"""GraphQL as a stream over HTTP: Strawberry's transports, with their departures from what clients read mended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from strawberry.http.streaming import HTTPStreamTransport, MultipartSubscriptionTransport, SSETransport, merge_stream_with_heartbeat
from strawberry.types.graphql import OperationType

from graphook import strict_json
from graphook.http_answers import answer_of
from graphook.negotiation import wants_event_stream


class EventStream(SSETransport):
    """Server-sent events with plain line feeds, which clients split on, and only where the client wants them first."""

    def accepts(self, accept: str) -> bool:
        return wants_event_stream(accept)

    def encode_event(self, event: str, data: str | None = None) -> str:
        return super().encode_event(event, data).replace("\r\n", "\n")

    def encode_comment(self, comment: str) -> str:
        return f": {comment}\n\n"


class MultipartStream(MultipartSubscriptionTransport):
    """Multipart that ends with the delimiter behind its last part, not with one more part that is empty."""

    def encode_complete(self) -> str:
        return "--\r\n"


_KINDS = set(OperationType)
_STREAMS: tuple[HTTPStreamTransport, ...] = (EventStream(), MultipartStream())


def stream_of(accept: str, kind: OperationType | None) -> HTTPStreamTransport | None:
    """The kind of stream that an operation of that kind is answered in, by what the client accepts; None for an answer in one piece.

    Multipart is for subscriptions alone.
    """
    wanted = _first_of([accept], kind)
    if wanted is None and kind is OperationType.SUBSCRIPTION:
        # JSON may be wanted first and cannot be had, so it is what is accepted beside it: each range as if it stood alone.
        wanted = _first_of(accept.split(","), kind)
    return wanted


def text_of(results: AsyncGenerator[Any, None], stream: HTTPStreamTransport) -> AsyncGenerator[str, None]:
    """The results as the text of a stream, kept alive while none comes."""

    async def pieces() -> AsyncGenerator[str, None]:
        async for result in results:
            yield stream.encode_next(answer_of(result), _encoded)
        yield stream.encode_complete()

    return merge_stream_with_heartbeat(
        pieces,
        lambda: stream.heartbeat_message(_encoded),
        stream.heartbeat_interval,
        send_initial_heartbeat=stream.send_initial_heartbeat,
    )()


def _first_of(accepted: list[str], kind: OperationType | None) -> HTTPStreamTransport | None:
    fit = [stream for stream in _STREAMS if kind is None or kind in stream.allowed_operation_types(_KINDS)]
    return next((stream for one in accepted for stream in fit if stream.accepts(one)), None)


def _encoded(data: object) -> str:
    return strict_json.dumps(data).decode()
