"""The guard against requests into networks of our own: which URLs may be saved, and which addresses may be dialled.

`check_url` needs no network and runs when a URL is saved and before each request. `address_allowed` runs on every address at the moment it is
dialled, so a name that resolves differently later gains nothing. Everything that a tenant can influence passes through both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface

from graphook.errors import InvalidInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 65_536

_V4_DENIED = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 "
        "198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 "
        # A public address that answers for a cloud's inside.
        "168.63.129.16/32"
    ).split()
)
# IPv6 is an allow-list: global unicast less the ranges that embed or document other addresses.
_V6_ALLOWED = IPv6Network("2000::/3")
_V6_DENIED = tuple(IPv6Network(text) for text in "2001::/23 2001:db8::/32 2002::/16 3fff::/20".split())
_V4_MAPPED = IPv6Network("::ffff:0:0/96")
# Where it is allowed, a translator leads on to the IPv4 address in the last bits, inside addresses included.
_V4_TRANSLATED = IPv6Network("64:ff9b::/96")

# The Fetch standard's bad ports, then data stores and control planes that speak something like HTTP or ignore what they do not understand.
_BAD_PORTS = frozenset(
    int(port)
    for port in """0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 135 137 139
    143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045
    4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
    2375 2376 2379 2380 3306 5432 6379 6443 9042 9200 9300 10250 10255 11211 26379 27017 27018""".split()
)
_INSIDE_SUFFIXES = (
    ".localhost", ".local", ".internal", ".lan", ".intranet", ".corp", ".home", ".localdomain", ".svc", ".test", ".invalid", ".onion", ".arpa",
)  # fmt: skip

_URL = re.compile(r"(https?)://([^/?#]+)([/?][^#]*)?", re.IGNORECASE)
_NAME = re.compile(r"(?=.{1,253}$)(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+")
_NAME_AND_PORT = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")
_V6_AND_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::([0-9]{1,5}))?")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_BAD = re.compile(r"[\\^`{|}<>\"]")
_LIKE_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")


class BlockedURL(InvalidInput):
    """A URL that is not requested; `rule` names the rule it breaks."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows beyond the public internet, and denies within it."""

    https_only: bool = False
    allow_subnets: tuple[Network, ...] = ()
    deny_subnets: tuple[Network, ...] = ()
    allow_hosts: frozenset[str] = frozenset()
    allow_ports: frozenset[int] = frozenset()
    max_addresses: int = 16
    dns_timeout: float = 3.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where a checked URL leads. `address` is set when the host is a literal one; `request_target` is the path and query as written."""

    scheme: str
    host: str
    port: int
    address: Address | None
    request_target: str


def address_allowed(address: Address | str, policy: Policy) -> bool:
    """Whether an address may be dialled."""
    ip = ip_address(address) if isinstance(address, str) else address
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip in _V4_TRANSLATED and not address_allowed(IPv4Address(int(ip) % 2**32), policy):
            return False
    if any(ip.version == net.version and ip in net for net in policy.deny_subnets):
        return False
    if any(ip.version == net.version and ip in net for net in policy.allow_subnets):
        return True
    if isinstance(ip, IPv4Address):
        return not any(ip in net for net in _V4_DENIED)
    return ip in _V6_ALLOWED and not any(ip in net for net in _V6_DENIED)


def port_allowed(port: int, policy: Policy) -> bool:
    """Whether a port may be dialled."""
    return port in policy.allow_ports or port not in _BAD_PORTS


def check_url(url: str, policy: Policy) -> Target:
    """Where the URL leads. Raises `BlockedURL` with the first rule it breaks; resolves nothing."""
    if not 1 <= len(url) <= MAX_URL:
        raise BlockedURL("url_length", f"A URL has 1 to {MAX_URL} characters.")
    if _CONTROL.search(url):
        raise BlockedURL("url_control_char", "A URL holds no blanks or control characters.")
    if _NOT_ASCII.search(url):
        raise BlockedURL("url_non_ascii", "A URL is ASCII: write international names as punycode and other characters percent-encoded.")
    if _BAD.search(url):
        raise BlockedURL("url_bad_char", 'A URL holds none of \\ ^ ` { | } < > ".')
    match = _URL.fullmatch(url)
    if match is None:
        raise BlockedURL("url_form", "A URL begins with http:// or https:// and a host, and has no fragment.")
    scheme, authority = match[1].lower(), match[2]
    if scheme == "http" and policy.https_only:
        raise BlockedURL("https_only", "The URL must use https.")
    if "@" in authority:
        raise BlockedURL("url_userinfo", "A URL holds no user name or password; use a header.")
    if "%" in authority:
        raise BlockedURL("host_percent", "A host name is not percent-encoded.")
    host, port_text, address = _split_authority(authority, policy)
    port = int(port_text) if port_text else 443 if scheme == "https" else 80
    if port_text and (port_text != str(port) or not 1 <= port <= 65_535):
        raise BlockedURL("port_form", "A port is a number from 1 to 65535.")
    if not port_allowed(port, policy):
        raise BlockedURL("port_blocked", f"The port {port} is not open to webhooks; the operator may open it with GRAPHOOK_ALLOW_PORTS.")
    if address is not None and not address_allowed(address, policy):
        raise BlockedURL(
            "ip_blocked",
            "The URL leads to an address that is not open to webhooks; the operator may open it with GRAPHOOK_ALLOW_SUBNETS.",
        )
    request_target = match[3] or "/"
    return Target(scheme, host, port, address, request_target if request_target.startswith("/") else f"/{request_target}")


def _split_authority(authority: str, policy: Policy) -> tuple[str, str | None, Address | None]:
    if authority.startswith("["):
        match = _V6_AND_PORT.fullmatch(authority)
        try:
            address = IPv6Address(match[1]) if match else None
        except ValueError:
            address = None
        if match is None or address is None:
            raise BlockedURL("host_form", "The host is not a valid IPv6 address.")
        if address in _V4_MAPPED:
            raise BlockedURL("host_noncanonical", "Write an IPv4 address with four decimal numbers.")
        return match[1], match[2], address
    match = _NAME_AND_PORT.fullmatch(authority)
    if match is None:
        raise BlockedURL("host_form", "The host is not a valid name or address.")
    host = match[1].lower().removesuffix(".")
    if _LIKE_NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            # As written, so that a final dot, which resolvers read in different ways, is refused.
            return host, match[2], IPv4Address(match[1])
        except ValueError as error:
            raise BlockedURL("host_noncanonical", "Write an IPv4 address with four decimal numbers.") from error
    if host not in policy.allow_hosts:
        if _NAME.fullmatch(host) is None:
            raise BlockedURL("host_form", "The host is not a full domain name; the operator may allow it with GRAPHOOK_ALLOW_HOSTS.")
        if host.endswith(_INSIDE_SUFFIXES):
            raise BlockedURL(
                "host_internal_name", "The host name belongs to an inside network; the operator may allow it with GRAPHOOK_ALLOW_HOSTS."
            )
    return host, match[2], None


def parse_network(text: str) -> Network:
    """A network in CIDR notation, or a single address. Raises ValueError, also for one that no address is ever held against."""
    text = text.strip()
    try:
        interface = ip_interface(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network: write one as 10.0.0.0/8 or 2001:db8::/32") from error
    network = interface.network
    if isinstance(network, IPv6Network) and network.subnet_of(_V4_MAPPED):
        raise ValueError(f"{text!r} is a network of IPv4: write it with four decimal numbers")
    if interface.ip != network.network_address:
        raise ValueError(f"{text!r} is an address in a network: write the network, {network}")
    return network
