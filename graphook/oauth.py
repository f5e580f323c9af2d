"""The OAuth dance that leads to an incoming webhook: where it begins, and the exchange of its code."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from graphook.errors import InvalidInput
from graphook.guarded_http import TIMEOUT, NoAnswer, post_form
from graphook.settings import PREFIX, Settings
from graphook.ssrf import Policy, check_url

_logger = logging.getLogger(__name__)

_ERROR = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_MAX_CHANNEL = 256


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that makes incoming webhooks, as the operator registered this one there. `webhook` and `channel` are names in its answer."""

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    authorize_url: str
    token_url: str
    scope: str
    webhook: str
    channel: str
    pkce: bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a code was exchanged for: the URL of an incoming webhook, which is a secret, and its channel; or a word for what went wrong."""

    url: str | None = field(default=None, repr=False)
    channel: str | None = None
    error: str | None = None


def missing_settings(settings: Settings, provider: str) -> list[str]:
    """The settings that must be set before channels of the provider, `slack` or `discord`, can be connected."""
    names = (f"{provider}_client_id", f"{provider}_client_secret", "oauth_redirect_uris")
    return [f"{PREFIX}{name.upper()}" for name in names if not getattr(settings, name)]


def new_verifier() -> str:
    """A fresh PKCE verifier (RFC 7636), 256 bits."""
    return secrets.token_urlsafe(32)


def authorization_url(provider: Provider, redirect_uri: str, state: str, verifier: str | None) -> str:
    """Where a person agrees. The provider sends them back to `redirect_uri` with a code and the state."""
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "scope": provider.scope,
        "redirect_uri": redirect_uri,
        "state": state,
    }
    if verifier is not None:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    return f"{provider.authorize_url}{'&' if '?' in provider.authorize_url else '?'}{urlencode(asked)}"


async def exchange(
    client: httpx.AsyncClient,
    provider: Provider,
    policy: Policy,
    endpoints: Policy,
    *,
    code: str,
    redirect_uri: str,
    verifier: str | None = None,
    timeout_seconds: float = TIMEOUT,
) -> Exchange:
    """Exchange the code, once: whatever goes wrong is the `error`. The tokens that come with the webhook are not kept.

    `policy` is what the token URL keeps to, `endpoints` what the URL of the webhook does.
    """
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if verifier is not None:
        form["code_verifier"] = verifier
    credentials = (provider.client_id, provider.client_secret)
    try:
        check_url(provider.token_url, policy)
        status, answer = await post_form(client, provider.token_url, form, credentials=credentials, timeout_seconds=timeout_seconds)
    except (NoAnswer, InvalidInput) as failure:
        fault = failure.fault if isinstance(failure, NoAnswer) else "blocked"
        _logger.warning("%s could not be asked to exchange a code: %s", provider.name, fault)
        return Exchange(error=fault)
    if status >= 300 or answer.get("ok", True) is not True or "error" in answer:
        return Exchange(error=_error(status, answer))
    webhook = answer.get(provider.webhook)
    url = webhook.get("url") if isinstance(webhook, dict) else None
    if not isinstance(webhook, dict) or not isinstance(url, str):
        return Exchange(error="no_incoming_webhook")
    try:
        check_url(url, endpoints)
    except InvalidInput:
        return Exchange(error="bad_incoming_webhook")
    channel = webhook.get(provider.channel)
    return Exchange(url=url, channel=_text(channel) if isinstance(channel, str) else None)


def _error(status: int, answer: dict[str, Any]) -> str:
    """The provider's word for what is wrong; its sentences are not passed on."""
    word = answer.get("error")
    if isinstance(word, str) and _ERROR.fullmatch(word):
        return word
    return f"http_{status}" if status >= 300 else "refused"


def _text(channel: str) -> str | None:
    shown = "".join(character for character in channel if character.isprintable())[:_MAX_CHANNEL]
    return shown or None
