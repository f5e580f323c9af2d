"""The exchange of a code, against a provider that answers as Slack and Discord do and goes wrong in every way."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from graphook import oauth
from graphook.guarded_http import guarded_client
from graphook.oauth import Exchange
from graphook.ssrf import Policy
from tests.graphook.test_ssrf import SAVED
from tests.provider import ACCESS_TOKEN, CHANNEL, CLIENT_ID, CLIENT_SECRET, Provider, providing
from tests.waiting import PATIENCE

HERE = Policy(allow_subnets=(ip_network("127.0.0.0/8"),))
NAMES = ["slack", "discord"]
REDIRECT = "https://portal.example.com/oauth"


@pytest.fixture(scope="module")
def there() -> Iterator[Provider]:
    """The provider."""
    with providing() as running:
        yield running


def registered(there: Provider, name: str, **values: str) -> oauth.Provider:
    """The provider as an operator would set it up."""
    known = (
        {"scope": "incoming-webhook", "webhook": "incoming_webhook", "channel": "channel"}
        if name == "slack"
        else {"scope": "webhook.incoming", "webhook": "webhook", "channel": "channel_id"}
    )
    given = {
        "name": name,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "authorize_url": "https://provider.example.com/authorize",
        "token_url": there.url(name),
    }
    return oauth.Provider(**{**given, **known, **values}, pkce=True)


async def exchange(there: Provider, name: str, code: str, policy: Policy = HERE, seconds: float = PATIENCE, **values: str) -> Exchange:
    """What comes of a code."""
    async with guarded_client(policy) as client:
        return await oauth.exchange(
            client,
            registered(there, name, **values),
            policy,
            HERE,
            code=code,
            redirect_uri=REDIRECT,
            verifier="v" * 43,
            timeout_seconds=seconds,
        )


@pytest.mark.parametrize("name", NAMES)
async def test_a_code_becomes_the_url_of_a_webhook_and_its_channel(there: Provider, name: str) -> None:
    found = await exchange(there, name, f"good-{name}")

    assert (found.url, found.channel, found.error) == (there.webhook, CHANNEL[name], None)
    assert there.asked[-1] == {
        "grant_type": "authorization_code",
        "code": f"good-{name}",
        "redirect_uri": REDIRECT,
        "code_verifier": "v" * 43,
    }
    assert there.webhook not in repr(found)
    assert CLIENT_SECRET not in repr(registered(there, name))


FAULTS: dict[str, Any] = {
    "denied": "access_denied",
    "unknown": {"slack": "invalid_code", "discord": "invalid_grant"},
    "markup": {"slack": "refused", "discord": "http_400"},
    "nohook": "no_incoming_webhook",
    "textual": "no_incoming_webhook",
    "inside-1": "bad_incoming_webhook",
    "inside-2": "bad_incoming_webhook",
    "inside-3": "bad_incoming_webhook",
    "unwell": "not_json",
    "unwell_json": "http_503",
    "moved": "redirect",
    "html": "not_json",
    "list": "not_json",
    "broken": "not_json",
    "deep": "not_json",
    "huge": "too_large",
    "zipped": "not_json",
    "gone": "protocol",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("code", FAULTS)
async def test_what_goes_wrong_is_one_word_and_nothing_of_it_is_a_secret(
    there: Provider, name: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = FAULTS[code]
    asked = len(there.asked)
    with caplog.at_level(logging.DEBUG):
        found = await exchange(there, name, code)

    assert found == Exchange(error=wanted[name] if isinstance(wanted, dict) else wanted)
    assert len(there.asked) == asked + 1, "a code is sent once, and no redirect is followed"
    for secret in (CLIENT_SECRET, ACCESS_TOKEN, base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()):
        assert secret not in caplog.text


async def test_a_provider_that_does_not_answer_is_not_waited_for(there: Provider) -> None:
    assert (await exchange(there, "slack", "slow", seconds=0.3)).error == "timeout"


async def test_an_expiry_that_is_no_number_does_no_harm(there: Provider) -> None:
    assert (await exchange(there, "discord", "expiry")).url == there.webhook


async def test_an_unknown_client_is_told_so(there: Provider) -> None:
    assert (await exchange(there, "discord", "good-b", client_secret="another")).error == "invalid_client"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://169.254.169.254/latest/", "blocked"),
        ("http://127.0.0.1:{port}/slack", "blocked"),
        ("http://[::ffff:127.0.0.1]:{port}/slack", "blocked"),
        ("http://localhost:{port}/slack", "blocked"),
        ("ftp://example.com/", "blocked"),
    ],
)
async def test_a_token_url_within_our_networks_is_not_asked(there: Provider, url: str, fault: str) -> None:
    asked = len(there.asked)
    found = await exchange(there, "slack", "good-c", Policy(), token_url=url.format(port=there.port))

    assert (found.error, len(there.asked)) == (fault, asked)


async def test_no_token_url_of_the_corpus_is_looked_up_or_dialled(there: Provider) -> None:
    looked_up: list[str] = []

    async def lookup(host: str) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    async with guarded_client(HERE, lookup=lookup) as client:
        for case in SAVED:
            asked = registered(there, "slack", token_url=case["url"])
            found = await oauth.exchange(client, asked, Policy(), HERE, code="good-d", redirect_uri=REDIRECT)
            assert found.error == "blocked", case
    assert looked_up == []


def test_a_dance_begins_with_a_challenge_for_its_verifier() -> None:
    verifier = oauth.new_verifier()
    url = oauth.authorization_url(registered(Provider(), "discord"), REDIRECT, "a-state", verifier)

    asked = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith("https://provider.example.com/authorize?")
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "scope": "webhook.incoming",
        "redirect_uri": REDIRECT,
        "state": "a-state",
        "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    assert len(verifier) == 43
    assert "code_challenge" not in oauth.authorization_url(registered(Provider(), "slack"), REDIRECT, "a-state", None)
