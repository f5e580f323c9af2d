"""Rules for the custom headers a tenant gives an endpoint, checked when they are saved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from graphook.errors import InvalidInput

MAX_NAME, MAX_VALUE, MAX_HEADERS, MAX_TOTAL = 128, 4096, 50, 32 * 1024

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?|")
_SENSITIVE = re.compile(r"auth|token|secret|key|signature|session|cookie|passw|passphrase|pwd|credential|jwt|bearer", re.IGNORECASE)

# What the sender sets itself, what frames the message or is for the next hop only, and what proxies, frameworks or clouds trust.
FORBIDDEN_NAMES = frozenset(
    """accept-encoding age cache-control clear-site-data connection content-encoding content-language content-length content-location
    content-type date expect expires forwarded host http2-settings keep-alive metadata metadata-flavor pragma proxy-authenticate
    proxy-authorization proxy-connection te trailer trailers transfer-encoding upgrade user-agent via warning x-http-method
    x-http-method-override x-method-override x-original-url x-real-ip x-rewrite-url""".split()
)
FORBIDDEN_PREFIXES = (
    "graphook-", "svix-", "webhook-", "x-amz-", "x-amzn-", "x-aws-", "x-azure-", "x-fd-", "x-forwarded-", "x-gfe", "x-goog-", "x-google",
    "x-graphook-", "x-svix-",
)  # fmt: skip


@lru_cache(4096)
def is_sensitive(name: str) -> bool:
    """Whether a header's value is withheld from lists and never stored with an attempt."""
    lowered = name.lower()
    # Our own signature headers prove nothing to anybody without the secret, and people debug with them.
    if lowered.startswith(("webhook-", "svix-")):
        return False
    return _SENSITIVE.search(lowered) is not None


def check_headers(headers: Mapping[str, str], path: tuple[str, ...]) -> Iterator[InvalidInput]:
    """What is wrong with custom headers, each fault at the path of its name and those of the whole at `path`."""
    if len(headers) > MAX_HEADERS:
        yield InvalidInput(f"An endpoint has at most {MAX_HEADERS} headers, not {len(headers)}.", path)
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_TOTAL:
        yield InvalidInput(f"An endpoint's headers have at most {MAX_TOTAL} bytes in all.", path)
    seen: set[str] = set()
    for name, value in headers.items():
        lowered = name.lower()
        fault = _fault(lowered, value)
        if fault is None and lowered in seen:
            fault = "is given twice; header names do not distinguish case"
        if fault is not None:
            yield InvalidInput(f"The header {name[:40]!r} {fault}.", (*path, name))
        seen.add(lowered)


def _fault(name: str, value: str) -> str | None:
    if len(name) > MAX_NAME or _TOKEN.fullmatch(name) is None:
        return f"needs a name of 1 to {MAX_NAME} letters, digits or -_.!#$%&'*+^`|~"
    if name in FORBIDDEN_NAMES or name.startswith(FORBIDDEN_PREFIXES):
        return "is set by the service or trusted by infrastructure, and cannot be customised"
    if len(value) > MAX_VALUE or _VALUE.fullmatch(value) is None:
        return f"needs a value of at most {MAX_VALUE} printable ASCII characters, without blanks at its ends"
    return None
