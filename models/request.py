"""The headers of a delivery's request, as they are sent and as a dry run shows them."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from graphook.headers import is_sensitive
from graphook.settings import Settings
from graphook.signing import signed_headers
from graphook.transformation import Webhook
from models.endpoint import open_headers, signing_keys


class Sealed(Protocol):
    """What the headers need of an endpoint; headers and secrets are sealed."""

    @property
    def id(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def headers(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def old_secrets(self) -> str: ...


def request_headers(
    endpoint: Sealed, message_id: str, body: bytes, at_us: int, settings: Settings, made: Webhook | None = None
) -> list[tuple[str, str]]:
    """The headers in order: what the service says of the body, the signature at that moment, and the endpoint's own.

    `made` is what a transformation made of the body. Its headers take the place of the endpoint's own of the same name, and where it goes to another
    host than the endpoint's, the sensitive ones of the endpoint are left out.
    """
    if made is not None:
        body = made.payload
    keys = signing_keys(endpoint.id, endpoint.secret, endpoint.old_secrets, at_us)
    custom = open_headers(endpoint.id, endpoint.headers)
    signed = signed_headers(keys, message_id, at_us // 1_000_000, body, style=settings.signature_headers)
    if made is not None:
        replaced = {name.lower() for name in made.headers}
        elsewhere = urlsplit(made.url)[:2] != urlsplit(endpoint.url)[:2]
        kept = {name: text for name, text in custom.items() if name.lower() not in replaced and not (elsewhere and is_sensitive(name))}
        custom = {**kept, **made.headers}
    return [("Content-Type", "application/json"), ("User-Agent", settings.user_agent), *signed, *custom.items()]
