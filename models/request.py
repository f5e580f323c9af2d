"""The headers of a delivery's request, as they are sent and as a dry run shows them."""

from __future__ import annotations

from typing import Protocol

from graphook.clock import from_us
from graphook.settings import Settings
from graphook.signing import signed_headers
from models.endpoint import open_headers, signing_keys


class Sealed(Protocol):
    """What the headers need of an endpoint; headers and secrets are sealed."""

    @property
    def id(self) -> str: ...
    @property
    def headers(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def old_secrets(self) -> str: ...


def request_headers(endpoint: Sealed, message_id: str, body: bytes, at_us: int, settings: Settings) -> list[tuple[str, str]]:
    """The headers in order: what the service says of the body, the signature at that moment, and the endpoint's own."""
    keys = signing_keys(endpoint.id, endpoint.secret, endpoint.old_secrets, from_us(at_us))
    custom = open_headers(endpoint.id, endpoint.headers)
    signed = signed_headers(keys, message_id, at_us // 1_000_000, body, style=settings.signature_headers)
    return [("Content-Type", "application/json"), ("User-Agent", settings.user_agent), *signed, *custom.items()]
