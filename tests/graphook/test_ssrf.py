"""The guard: which URLs are refused when saved, and which addresses are left to dial."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from graphook.connector import GuardedResolver, NoAddress, NotAllowed
from graphook.errors import InvalidInput
from graphook.ssrf import MAX_URL, BlockedURL, Policy, Target, address_allowed, check_url, parse_network

CORPUS = json.loads(Path(__file__, "../../data/ssrf_corpus.json").resolve().read_text())["cases"]
SAVED = [case for case in CORPUS if case["stage"] == "create"]
CONNECTED = [case for case in CORPUS if case["stage"] == "connect"]
LOOPBACK = (parse_network("127.0.0.0/8"),)


@pytest.mark.parametrize("case", SAVED, ids=lambda case: case["id"])
def test_a_url_of_the_corpus_is_refused_when_saved_by_a_named_rule(case: dict[str, Any]) -> None:
    with pytest.raises(BlockedURL) as caught:
        check_url(case["url"], Policy())

    assert caught.value.rule == case.get("code", caught.value.rule)
    assert re.fullmatch(r"[A-Z].{10,120}\.", caught.value.message)
    assert isinstance(caught.value, InvalidInput)


@pytest.mark.parametrize(
    ("url", "setting"),
    [
        ("http://127.0.0.1:8090/", "GRAPHOOK_ALLOW_SUBNETS"),
        ("http://localhost:8090/", "GRAPHOOK_ALLOW_HOSTS"),
        ("http://hooks.internal/", "GRAPHOOK_ALLOW_HOSTS"),
        ("http://example.com:25/", "GRAPHOOK_ALLOW_PORTS"),
    ],
)
def test_what_an_operator_may_allow_is_refused_with_the_setting_that_does(url: str, setting: str) -> None:
    with pytest.raises(BlockedURL) as caught:
        check_url(url, Policy())
    assert caught.value.message.endswith(f" with {setting}.")


@pytest.mark.parametrize("case", CONNECTED, ids=lambda case: case["id"])
async def test_only_allowed_addresses_of_a_url_of_the_corpus_are_left_to_dial(case: dict[str, Any]) -> None:
    asked = []
    target = check_url(case["url"], Policy())

    async def look_up(host: str) -> Sequence[str]:
        asked.append(host)
        answers = case["dns"][host]
        if isinstance(answers, str):
            raise OSError(answers) if answers == "SERVFAIL" else UnicodeError(answers)
        answer: list[str] = answers[len(asked) - 1] if isinstance(answers[0], list) else answers
        return answer

    resolver = GuardedResolver(Policy(), look_up)
    try:
        if case["expect"] == "allow" and target.address is not None:
            assert address_allowed(target.address, Policy())
        elif case["expect"] == "allow":
            found = await resolver.resolve(target.host)
            assert found == [address for address in case["dns"][target.host] if ipaddress.ip_address(address).is_global]
        else:
            with pytest.raises(NotAllowed if case["expect"] == "block" else NoAddress):
                await resolver.resolve(target.host)
        assert asked == ([] if target.address is not None else [target.host])
    finally:
        await resolver.close()


def test_a_url_is_taken_apart_as_it_is_written() -> None:
    assert check_url("HTTPS://Example.COM.:8443?a=%zz&b=/../?", Policy()) == Target("https", "example.com", 8443, None, "/?a=%zz&b=/../?")
    literal = check_url("http://[2606:4700:4700::1111]//x?", Policy())
    assert literal == Target("http", "2606:4700:4700::1111", 80, ipaddress.ip_address("2606:4700:4700::1111"), "//x?")


def test_the_longest_url_is_taken_and_a_longer_one_refused() -> None:
    url = "https://example.com/".ljust(MAX_URL, "x")
    assert MAX_URL == 65_536
    assert check_url(url, Policy()).host == "example.com"
    for wrong in (url + "x", ""):
        with pytest.raises(BlockedURL) as caught:
            check_url(wrong, Policy())
        assert caught.value.rule == "url_length"


def test_an_allowed_network_is_open_on_every_port_that_is_not_closed() -> None:
    policy = Policy(allow_subnets=LOOPBACK)
    assert check_url("http://127.0.0.1:43210/x", policy).port == 43210
    for url, rule in {"http://127.0.0.1:6379/": "port_blocked", "http://10.0.0.1/": "ip_blocked", "http://localhost/": "host_form"}.items():
        with pytest.raises(BlockedURL) as caught:
            check_url(url, policy)
        assert caught.value.rule == rule
    assert check_url("http://127.0.0.1:6379/", Policy(allow_subnets=LOOPBACK, allow_ports=frozenset({6379}))).port == 6379


async def test_an_allowed_host_still_needs_an_allowed_address() -> None:
    hosts = frozenset({"localhost", "db.internal"})
    assert check_url("http://LocalHost:8080/", Policy(allow_hosts=hosts)).host == "localhost"
    open_one = GuardedResolver(Policy(allow_hosts=hosts, allow_subnets=LOOPBACK))
    closed_one = GuardedResolver(Policy(allow_hosts=hosts))
    try:
        assert await open_one.resolve("localhost") == ["127.0.0.1"]
        with pytest.raises(NotAllowed):
            await closed_one.resolve("localhost")
    finally:
        await open_one.close()
        await closed_one.close()


def test_plain_http_can_be_refused() -> None:
    with pytest.raises(BlockedURL) as caught:
        check_url("http://example.com/", Policy(https_only=True))
    assert caught.value.rule == "https_only"
    assert check_url("https://example.com/", Policy(https_only=True)).port == 443


def test_denied_networks_win_over_allowed_ones() -> None:
    policy = Policy(allow_subnets=LOOPBACK, deny_subnets=(parse_network("127.0.0.9"), parse_network("93.184.0.0/16")))
    assert address_allowed("127.0.0.1", policy)
    for address in ("127.0.0.9", "93.184.216.34", "::ffff:127.0.0.9"):
        assert not address_allowed(address, policy)


@pytest.mark.parametrize(
    "address", ["::ffff:10.0.0.1", "fe80::1%1", "2606:4700:4700::1111%1", "64:ff9b::808:808", "5f00::1", "100:0:0:1::1"]
)
def test_an_ipv6_address_that_hides_another_or_is_not_global_is_not_dialled(address: str) -> None:
    assert not address_allowed(address, Policy())


def test_a_network_that_translates_to_ipv4_is_open_to_the_addresses_that_are_open_themselves() -> None:
    """Without IPv4 of its own, a service reaches receivers over 64:ff9b::/96, and what is inside as well."""
    nat64 = parse_network("64:ff9b::/96")
    policy = Policy(allow_subnets=(nat64, parse_network("10.1.0.0/16")), deny_subnets=(parse_network("93.184.0.0/16"),))
    for address in ("64:ff9b::8.8.8.8", "64:ff9b::10.1.2.3"):
        assert address_allowed(address, policy), address
        assert not address_allowed(address, Policy()), address
    for address in ("64:ff9b::169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::10.2.0.1", "64:ff9b::93.184.216.34", "64:ff9b:1::8.8.8.8"):
        assert not address_allowed(address, policy), address


def test_an_ipv4_address_in_the_form_of_ipv6_is_held_to_the_networks_of_ipv4() -> None:
    assert address_allowed("::ffff:93.184.216.34", Policy())
    assert address_allowed("::ffff:127.0.0.1", Policy(allow_subnets=LOOPBACK))
    assert not address_allowed("::ffff:127.0.0.1", Policy())


# First and last address of each network that is closed, as IANA's registries of special addresses have them.
CLOSED = [
    (ipaddress.ip_address(first), ipaddress.ip_address(last))
    for first, last in (
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("168.63.129.16", "168.63.129.16"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
        ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    )
]


@pytest.mark.parametrize(("first", "last"), CLOSED, ids=str)
def test_a_closed_network_is_closed_from_its_first_address_to_its_last_and_open_around(first: Any, last: Any) -> None:
    assert not address_allowed(first, Policy())
    assert not address_allowed(last, Policy())
    if int(first):
        assert address_allowed(first - 1, Policy())
    if int(last) + 1 < 2**last.max_prefixlen:
        assert address_allowed(last + 1, Policy())


@pytest.mark.parametrize("character", [*map(chr, range(33)), "\x7f", *'\\^`{|}<>"'])
def test_a_character_that_clients_read_differently_is_in_no_url(character: str) -> None:
    with pytest.raises(BlockedURL) as caught:
        check_url(f"https://example.com/a{character}b", Policy())
    assert caught.value.rule in ("url_control_char", "url_bad_char")


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("93.184.216.34.", "host_noncanonical"),
        ("93.184.216.0x22", "host_noncanonical"),
        ("93.184.216.0X", "host_noncanonical"),
        ("ex%61mple.com", "host_percent"),
        ("-a.example.com", "host_form"),
        ("a-.example.com", "host_form"),
        ("a.-example.com", "host_form"),
        ("a.example-", "host_form"),
        (f"{'a' * 64}.com", "host_form"),
        (f"a.{'a' * 64}", "host_form"),
        (f"{'a.' * 125}abcd", "host_form"),
    ],
)
def test_a_host_that_resolvers_read_differently_is_refused(host: str, rule: str) -> None:
    assert check_url(f"https://{'a.' * 125}abc/", Policy()).port == check_url(f"https://{'a' * 63}.{'b' * 63}/", Policy()).port == 443
    with pytest.raises(BlockedURL) as caught:
        check_url(f"https://{host}/", Policy())
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    "name",
    "db.localhost db.local db.internal db.lan db.intranet db.corp db.home db.localdomain db.svc db.test db.invalid db.onion "
    "home.arpa 1.0.0.127.in-addr.arpa cluster.local db.ns.svc.cluster.local".split(),
)
def test_a_name_of_an_inside_network_is_refused_in_any_case(name: str) -> None:
    for host in (name, f"{name.upper()}."):
        with pytest.raises(BlockedURL) as caught:
            check_url(f"https://{host}/", Policy())
        assert caught.value.rule == "host_internal_name"


@pytest.mark.parametrize("port", ["0", "65536", "080", "00", "99999"])
def test_a_port_is_a_number_up_to_65535_as_one_writes_it(port: str) -> None:
    assert check_url("https://example.com:65535/", Policy()).port == 65_535
    with pytest.raises(BlockedURL) as caught:
        check_url(f"https://example.com:{port}/", Policy())
    assert caught.value.rule == "port_form"


async def test_no_more_addresses_are_tried_than_the_policy_says_and_ipv4_comes_first() -> None:
    async def look_up(_host: str) -> Sequence[str]:
        return ["2606:4700:4700::1111", "2606:4700:4700::1111", *(f"93.184.216.{number}" for number in range(1, 40)), "10.0.0.1"]

    resolver = GuardedResolver(Policy(max_addresses=3), look_up)
    try:
        assert await resolver.resolve("many.example") == [f"93.184.216.{n}" for n in (1, 2, 3)]
    finally:
        await resolver.close()


def spellings(address: ipaddress.IPv4Address) -> Iterator[str]:
    """What some resolver, browser or library takes for the address."""
    number, plain = int(address), str(address)
    parts = a, b, c, d = tuple(address.packed)
    yield from (plain, f"{plain}.", f"{number}", f"{number:#x}", f"{number:#X}", f"0{number:o}", f"0000{number:o}", f"{number + 2**32}")
    yield from (".".join(form.format(part) for part in parts) for form in ("{:#x}", "{:#06x}", "0{:o}", "000{:o}", "{:03}"))
    yield from (f"{a}.{b}.{c << 8 | d}", f"{a}.{b << 16 | c << 8 | d}", f"{a:#x}.0{b:o}.{c << 8 | d}", f"{a + 256}.{b}.{c}.{d}")
    yield from (plain.replace(".", dot) for dot in ("%2e", "。", "．", "｡", "\u2024"))
    # Full width, Arabic, mathematical and superscript.
    yield from ("".join(chr(zero + int(x)) if x.isdigit() else x for x in plain) for zero in (0xFF10, 0x660, 0x1D7CE, 0x2070))
    yield from (f"%{ord(plain[0]):02x}{plain[1:]}", f"{plain}%00", f"{plain}%20", f"{plain}%00.example.com", f"example.com@{plain}")
    yield from (f"[{prefix}{plain}]" for prefix in ("", "::", "::ffff:", "::ffff:0:", "64:ff9b::", "64:ff9b:1::", "fe80::5efe:"))
    yield from (f"[0:0:0:0:0:FFFF:{number >> 16:04X}:{number & 0xFFFF:x}]", f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]")
    yield from (f"[::ffff:{plain}%25lo]", f"[2001:0:5ef5:79fd:0:0:{~number >> 16 & 0xFFFF:x}:{~number & 0xFFFF:x}]")


@pytest.mark.parametrize("plain", "127.0.0.1 10.0.0.1 100.100.100.200 168.63.129.16 169.254.169.254 172.16.0.1 192.168.1.1 0.0.0.0".split())
def test_an_address_that_is_closed_is_refused_in_every_spelling(plain: str) -> None:
    taken = []
    for host in spellings(ipaddress.IPv4Address(plain)):
        for url in (f"http://{host}/", f"https://{host}:8443/x", f"HTTP://{host}"):
            try:
                taken.append(check_url(url, Policy()))
            except BlockedURL:
                continue
    assert taken == []
    for name in (f"{plain}.example.com", f"{plain.replace('.', '-')}.example.com", f"a{plain}.nip.io"):
        assert check_url(f"https://{name}/", Policy()).host == name
