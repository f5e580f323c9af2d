"""Which media types a GraphQL request and its answer have, from the headers Content-Type and Accept."""

from __future__ import annotations

from functools import lru_cache

# Clients send the same few headers with every request.
_remembered = lru_cache(256)

RESPONSE_JSON = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
_STREAMS = (EVENT_STREAM, "multipart/mixed")


@_remembered
def is_json(header: str) -> bool:
    """Whether a Content-Type is that of JSON in UTF-8. Anything near it is not: a browser may send that without asking first."""
    media_type, *parameters = (piece.strip().lower() for piece in header.split(";"))
    charsets = (parameter.partition("=")[2].strip('"') for parameter in parameters if parameter.startswith("charset="))
    return media_type == JSON and all(charset in ("utf-8", "utf8") for charset in charsets)


def accepted(header: str) -> list[str]:
    """The media types of an Accept header, most wanted first; those with q=0 are left out."""
    weighed: list[tuple[float, str]] = []
    for part in header.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if media_type and quality > 0:
            weighed.append((quality, media_type))
    weighed.sort(key=lambda pair: -pair[0])
    return [media_type for _, media_type in weighed]


@_remembered
def single_answer(header: str | None) -> str | None:
    """The media type of an answer in one piece; None when the client accepts none."""
    if not header:
        return JSON
    types = accepted(header)
    for media_type in types:
        if media_type == RESPONSE_JSON:
            return RESPONSE_JSON
        if media_type in (JSON, "application/*", "*/*"):
            return JSON
    # A client that only wants a stream still gets request errors in one piece.
    return RESPONSE_JSON if any(media_type in _STREAMS for media_type in types) else None


def wants_event_stream(header: str) -> bool:
    """Whether events come before JSON: urql lists every type on every request, JSON first."""
    for media_type in accepted(header):
        if media_type == EVENT_STREAM:
            return True
        if media_type in (RESPONSE_JSON, JSON, "*/*"):
            return False
    return False


def wants_a_stream(header: str) -> bool:
    """Whether any kind of stream is among what the client accepts, however little it wants it."""
    return any(media_type in header.lower() for media_type in _STREAMS)
