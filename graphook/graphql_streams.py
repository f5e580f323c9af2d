"""GraphQL as a stream over HTTP: Strawberry's transports, with their departures from what clients read mended."""

from __future__ import annotations

from strawberry.http.streaming import MultipartSubscriptionTransport, SSETransport

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
