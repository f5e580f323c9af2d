"""The settings: what breaks a rule is named by its variable, what is no setting is noticed, and what is allowed is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphook.settings import BadSettings, Settings
from graphook.settings_reference import describe, unknown_variables
from graphook.ssrf import BlockedURL, address_allowed, check_url
from tests.deployment import ROOT, SECRET_KEY, Process

NO_PORT = "has a port that is none; in a user or a password, write / as %2F, ? as %3F, # as %23 and @ as %40"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("redis_url", "http://localhost", "GRAPHOOK_REDIS_URL: begins with redis://, rediss:// or unix://"),
        ("database_url", "mysql://localhost", "GRAPHOOK_DATABASE_URL: begins with sqlite:// or postgresql://"),
        ("allow_ports", "0", "GRAPHOOK_ALLOW_PORTS: Input should be greater than or equal to 1 (it is '0')"),
        ("allow_ports", "8090,65536", "GRAPHOOK_ALLOW_PORTS: Input should be less than or equal to 65535 (it is '65536')"),
        ("deny_subnets", "10.0.0.1/8", "GRAPHOOK_DENY_SUBNETS: '10.0.0.1/8' is an address in a network: write the network, 10.0.0.0/8"),
        (
            "allow_subnets",
            "10.0.0.0/8,2001:db8::1/32",
            "GRAPHOOK_ALLOW_SUBNETS: '2001:db8::1/32' is an address in a network: write the network, 2001:db8::/32",
        ),
        ("allow_subnets", "nope", "GRAPHOOK_ALLOW_SUBNETS: 'nope' is no network: write one as 10.0.0.0/8 or 2001:db8::/32"),
        ("deny_subnets", "10.0.0.0/33", "GRAPHOOK_DENY_SUBNETS: '10.0.0.0/33' is no network: write one as 10.0.0.0/8 or 2001:db8::/32"),
        (
            "deny_subnets",
            "1.2.3.0/24, ::ffff:1.2.3.0/120",
            "GRAPHOOK_DENY_SUBNETS: '::ffff:1.2.3.0/120' is a network of IPv4: write it with four decimal numbers",
        ),
        ("secret_key", " , ", "GRAPHOOK_SECRET_KEY: holds no key; unset it, or `openssl rand -base64 32` makes one"),
        (
            "llm_base_url",
            "https://user:secret@llm.example.com/v1",
            "GRAPHOOK_LLM_BASE_URL: begins with http:// or https:// and has no user, query or fragment",
        ),
        ("llm_api_key", "a key", "GRAPHOOK_LLM_API_KEY: has only visible ASCII characters, no blanks"),
        ("redis_url", "redis://:pa/ss@localhost", f"GRAPHOOK_REDIS_URL: {NO_PORT}"),
        ("redis_url", "redis://localhost:65536", f"GRAPHOOK_REDIS_URL: {NO_PORT}"),
        ("redis_url", "redis://localhost?socket_timeout=soon", "GRAPHOOK_REDIS_URL: Invalid value for 'socket_timeout' in connection URL."),
        ("redis_url", "redis://localhost?weather=fine", "GRAPHOOK_REDIS_URL: has an option behind the ? that there is not"),
        (
            "redis_url",
            "rediss://localhost?ssl_cert_reqs=some",
            "GRAPHOOK_REDIS_URL: Invalid SSL Certificate Requirements Flag: some",
        ),
        ("database_url", "postgresql://graphook:pa/ss@localhost/graphook", f"GRAPHOOK_DATABASE_URL: {NO_PORT}"),
        ("database_url", "postgresql://one:5432,two:x/graphook", f"GRAPHOOK_DATABASE_URL: {NO_PORT}"),
        ("database_url", "postgresql://[::1/graphook", f"GRAPHOOK_DATABASE_URL: {NO_PORT}"),
        ("host", "", "GRAPHOOK_HOST: String should have at least 1 character (it is '')"),
        ("metrics_host", "", "GRAPHOOK_METRICS_HOST: String should have at least 1 character (it is '')"),
        ("user_agent", "Hooks/1\n", "GRAPHOOK_USER_AGENT: has only visible ASCII characters and blanks (it is 'Hooks/1\\n')"),
        ("disable_after_hours", "inf", "GRAPHOOK_DISABLE_AFTER_HOURS: Input should be less than or equal to 876000 (it is 'inf')"),
        ("secret_key", "short", "GRAPHOOK_SECRET_KEY: each key has at least 32 characters; `openssl rand -base64 32` makes one"),
    ],
)
def test_a_setting_that_breaks_a_rule_is_named_by_its_variable(name: str, text: str, said: str) -> None:
    with pytest.raises(BadSettings) as refused:
        Settings.load(**{name: text})
    assert str(refused.value) == said


def test_the_edges_of_ports_and_an_empty_key_are_taken() -> None:
    settings = Settings.load(allow_ports="1,65535", secret_key="")
    assert (settings.allow_ports, settings.secret_key) == (frozenset({1, 65_535}), ())


def test_addresses_of_every_form_are_taken_and_an_empty_one_is_none() -> None:
    for url in (
        "postgresql:///graphook?host=/run/postgresql",
        "postgresql://graphook:p%2F%40@[::1]:5432/graphook?sslmode=require",
        "postgres://one,two:5433/graphook?target_session_attrs=read-write",
        "postgresql://%2Frun%2Fpostgresql/graphook",
        "sqlite://folder: 1/graphook.sqlite3",
    ):
        assert Settings.load(database_url=url).database_url == url
    for url in ("redis://", "redis://:p%2F@localhost:6380/3?health_check_interval=10", "rediss://host", "unix:///run/redis.sock?db=1"):
        assert Settings.load(redis_url=url).redis_url == url
    settings = Settings.load(redis_url="", public_url="", metrics_port="")
    assert (settings.redis_url, settings.public_url, settings.metrics_port) == (None, None, None)


def test_denied_networks_are_closed_whatever_else_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHOOK_ALLOW_SUBNETS", "10.0.0.0/8")
    monkeypatch.setenv("GRAPHOOK_DENY_SUBNETS", "10.9.0.0/16, 2600:1f00:12::/48,93.184.216.34")
    policy = Settings.load().ssrf_policy()

    assert all(address_allowed(address, policy) for address in ("10.8.0.1", "2600:1f00:13::1", "93.184.216.35"))
    for address in ("10.9.0.1", "2600:1f00:12::1", "93.184.216.34", "::ffff:93.184.216.34"):
        assert not address_allowed(address, policy)
    with pytest.raises(BlockedURL):
        check_url("https://[2600:1f00:12::1]/", policy)
    assert Settings.load(deny_subnets="").ssrf_policy().deny_subnets == ()


def test_what_a_developer_denies_on_the_own_machine_is_closed() -> None:
    settings = Settings.load(deny_subnets="127.0.0.9")
    assert settings.development
    assert address_allowed("127.0.0.1", settings.ssrf_policy())
    assert not address_allowed("127.0.0.9", settings.ssrf_policy())


def test_a_variable_that_is_no_setting_is_noticed_with_what_may_be_meant() -> None:
    given = {
        "GRAPHOOK_REDIS_ULR": "x",
        "GRAPHOOK_WEATHER": "x",
        "GRAPHOOK_PORT": "1",
        "graphook_host": "x",
        "GRAPHOOK_TEST_REDIS_URL": "x",
        "HOME": "x",
    }
    assert unknown_variables(given) == ["GRAPHOOK_REDIS_ULR is no setting; is GRAPHOOK_REDIS_URL meant?", "GRAPHOOK_WEATHER is no setting"]


@pytest.mark.sqlite_only
def test_the_doctor_and_the_start_warn_of_it(tmp_path: Path) -> None:
    settings = {"GRAPHOOK_DATABASE_URL": f"sqlite://{tmp_path}/graphook.sqlite3", "GRAPHOOK_SECRET_KEY": SECRET_KEY, "GRAPHOOK_PROT": "1"}
    command = [sys.executable, "-m", "graphook.cli"]
    said = subprocess.run([*command, "doctor"], env=os.environ | settings, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout
    assert "warn  GRAPHOOK_PROT is no setting; is GRAPHOOK_PORT meant?\n" in said
    server = Process.start([*command, "serve", "--port", "0"], settings)
    try:
        server.wait_for("GraphQL:")
    finally:
        server.stop()
    assert [line.partition("GRAPHOOK")[2] for line in server.lines if "is no setting" in line] == [
        "_PROT is no setting; is GRAPHOOK_PORT meant?"
    ]


def test_the_allowed_values_of_a_setting_are_told() -> None:
    told = {name: text.rpartition(" Values: ")[2] for name, _, text in describe() if " Values: " in text}
    assert told["GRAPHOOK_DATABASE_POOL_SIZE"] == "2 to 1000."
    assert told["GRAPHOOK_BREAKER_FAILURES"] == "above 0, up to 1."
    assert told["GRAPHOOK_BACKLOG_LIMIT"] == "1 or more."
    assert told["GRAPHOOK_METRICS_PORT"] == "0 to 65535."
    assert told["GRAPHOOK_SIGNATURE_HEADERS"] == "webhook, svix, both."
    assert told["GRAPHOOK_HTTPS_ONLY"] == "true, false."


@pytest.mark.parametrize(
    ("host", "link"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("10.1.2.3", "http://10.1.2.3:8000"),
        ("hooks.internal", "http://hooks.internal:8000"),
    ],
)
def test_links_lead_to_an_address_also_where_the_service_listens_to_all(host: str, link: str) -> None:
    assert Settings.load(host=host).public_address == link
