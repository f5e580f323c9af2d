"""Every setting of the service: an environment variable `GRAPHOOK_…`, described where it is declared."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from graphook import __version__
from graphook.retry import DEFAULT_SCHEDULE
from graphook.setting_types import (
    BaseAddress,
    DatabaseURL,
    HeaderText,
    HeaderWord,
    Keys,
    Names,
    Networks,
    OptionalPort,
    OptionalSecret,
    OptionalText,
    Ports,
    RedisURL,
    Schedule,
    WebAddress,
    WebAddresses,
)
from graphook.ssrf import Network, Policy, parse_network

PREFIX = "GRAPHOOK_"

# An error repeats no value that is a secret, or may hold one; and of networks its message gives the one that is wrong.
_NOT_REPEATED = (
    "", "secret_key", "database_url", "redis_url", "llm_base_url", "llm_api_key", "slack_client_secret", "discord_client_secret",
    "allow_subnets", "deny_subnets",
)  # fmt: skip
_LOOPBACK: tuple[Network, ...] = (parse_network("127.0.0.0/8"), parse_network("::1/128"))


class BadSettings(Exception):
    """One line per setting that breaks a rule."""


class Settings(BaseSettings):
    """The service's settings. Lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    database_url: DatabaseURL = Field(
        "sqlite://graphook-data/graphook.sqlite3",
        description="Where everything is kept: sqlite://path (sqlite:///path for an absolute one) or postgresql://user:password@host/database.",
    )
    database_pool_size: int = Field(10, ge=2, le=1000, description="Most connections a process opens to PostgreSQL.")
    redis_url: RedisURL = Field(None, description="Redis for waking workers and live news between processes; nothing in it must last.")
    secret_key: Keys = Field(
        (),
        description="Keys that seal secrets at rest, the first one for new values; needed except in development. Values: at least 32 characters each.",
    )
    allow_subnets: Networks = Field(
        (),
        description="Networks (CIDR) that endpoints may be in although they are not public, such as 10.20.0.0/16. This machine itself is allowed in development.",
    )
    deny_subnets: Networks = Field(
        (),
        description="Networks (CIDR) that endpoints may not be in although they are public or allowed, such as 2001:db8:12::/48: what is inside yours and has global addresses.",
    )
    allow_hosts: Names = Field(
        frozenset(), description="Host names that endpoints may use although they are not public; their addresses must be allowed as well."
    )
    allow_ports: Ports = Field(
        frozenset(), description="Ports that endpoints may use although they are closed to webhooks. Values: 1 to 65535 each."
    )
    https_only: bool = Field(False, description="Refuse endpoints whose URL is not https.")
    retry_schedule: Schedule = Field(
        DEFAULT_SCHEDULE,
        description="Seconds to wait after each failed try; as many retries as there are numbers, empty for none. Values: at most 32 numbers, 0 to 604800 each.",
    )
    retry_penalty: float = Field(60.0, ge=0, le=86_400, description="Seconds that a timeout or a 429 waits at least.")
    request_timeout: float = Field(
        15.0,
        gt=0,
        le=30,
        description="Seconds of one attempt, from looking up the name to the last byte read; a wait for a connection counts.",
    )
    response_limit: int = Field(20_000, ge=0, le=1_048_576, description="Bytes of a response that are read and kept.")
    disable_after_hours: float = Field(
        120.0, ge=0, le=876_000, description="Hours of nothing but failures until an endpoint is disabled; 0 for never."
    )
    disable_on_gone: bool = Field(True, description="Disable an endpoint that answers 410 Gone.")
    breaker: bool = Field(False, description="Give endpoints that do not choose a circuit breaker.")
    breaker_tries: int = Field(10, ge=1, le=100, description="Tries within the window from which on a breaker may open.")
    breaker_failures: float = Field(0.7, gt=0, le=1, description="The part of them that failed with which it opens.")
    breaker_window: float = Field(
        300.0, gt=0, le=86_400, description="Seconds that the window goes back, over the latest 100 tries at most."
    )
    breaker_open: float = Field(
        30.0, gt=0, le=86_400, description="Seconds that a breaker is open; twice as long each time it opens again."
    )
    breaker_open_max: float = Field(600.0, gt=0, le=86_400, description="Seconds that a breaker is open at most.")
    signature_headers: Literal["webhook", "svix", "both"] = Field("webhook", description="The family of the signature headers.")
    transformation_processes: int = Field(
        2, ge=1, le=64, description="Transformations of one organisation that a process runs at the same time."
    )
    transformation_timeout: float = Field(
        0.5, gt=0, le=2, description="Seconds on the processor that a transformation may run; it has twice as long on the clock."
    )
    transformation_memory: int = Field(32, ge=8, le=256, description="MiB that a transformation may use.")
    user_agent: HeaderText = Field(f"Graphook/{__version__}", description="The User-Agent of deliveries.")
    worker_slots: int = Field(512, ge=1, le=10_000, description="Deliveries that a process sends at the same time.")
    endpoint_slots: int = Field(32, ge=1, le=1000, description="Deliveries that a process sends to one endpoint at the same time.")
    accept_queue: int = Field(5000, ge=1, description="Messages that may wait to be written in a process; more are refused with 503.")
    backlog_limit: int = Field(
        1_000_000, ge=1, description="Deliveries that an organisation may have ready and unsent; its messages are refused with 429 beyond."
    )
    live_connections: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="WebSocket connections that an organisation may have open to a process, and the tokens of one application a quarter of them; more are closed with 4429.",
    )
    live_subscriptions: int = Field(
        5000,
        ge=1,
        le=100_000,
        description="Subscriptions that an organisation may have open in a process, over whatever transport, and the tokens of one application a quarter of them.",
    )
    public_url: BaseAddress = Field(
        None, description="Where others reach the service, such as https://hooks.example.com; for links. Host and port when not given."
    )
    test_attempts_per_minute: int = Field(
        60, ge=1, le=6000, description="Test attempts that an organisation may make in a minute, and as many dry runs with transformations."
    )
    slack_client_id: OptionalText = Field(None, description="The client id of a Slack app, with which channels are connected by OAuth.")
    slack_client_secret: OptionalSecret = Field(None, description="The client secret of that Slack app.")
    slack_authorize_url: WebAddress = Field(
        "https://slack.com/oauth/v2/authorize", description="Where Slack asks people whether they agree."
    )
    slack_token_url: WebAddress = Field("https://slack.com/api/oauth.v2.access", description="Where Slack exchanges codes.")
    slack_pkce: bool = Field(False, description="Use PKCE with Slack, which a Slack app must have switched on.")
    discord_client_id: OptionalText = Field(
        None, description="The client id of a Discord application, with which channels are connected by OAuth."
    )
    discord_client_secret: OptionalSecret = Field(None, description="The client secret of that Discord application.")
    discord_authorize_url: WebAddress = Field(
        "https://discord.com/oauth2/authorize", description="Where Discord asks people whether they agree."
    )
    discord_token_url: WebAddress = Field("https://discord.com/api/oauth2/token", description="Where Discord exchanges codes.")
    oauth_redirect_uris: WebAddresses = Field(
        frozenset(), description="The pages that Slack and Discord may send people back to, exactly as they are registered there."
    )
    llm_base_url: BaseAddress = Field(
        None,
        description="The OpenAI-compatible server that generations ask, such as http://127.0.0.1:11434/v1; it may be private. Generation is off without it.",
    )
    llm_api_key: HeaderWord = Field(None, repr=False, description="The key that the model's server wants, if it wants one.")
    llm_model: OptionalText = Field(None, description="The model that generations ask.")
    llm_max_tokens: int = Field(2048, ge=16, le=32_768, description="Tokens that an answer of the model may have.")
    llm_prompt_limit: int = Field(65_536, ge=4096, le=1_048_576, description="Bytes that the model may be told at once.")
    llm_timeout: float = Field(120.0, gt=0, le=600, description="Seconds that an answer of the model may take, with all tries.")
    llm_silence: float = Field(30.0, gt=0, le=600, description="Seconds that the model may be silent, before its answer and within.")
    llm_slots: int = Field(2, ge=1, le=64, description="Generations that a process works on at the same time.")
    generations_per_minute: int = Field(10, ge=1, le=6000, description="Generations that an organisation may begin in a minute.")
    generations_outstanding: int = Field(
        20, ge=1, le=1000, description="Generations of an organisation that may wait or be worked on at the same time."
    )
    tasks_outstanding: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Background tasks of an organisation that may wait or be worked on at the same time, besides generations; the tokens of one application begin a quarter of them.",
    )
    endpoints_per_application: int = Field(50_000, ge=1, le=1_000_000, description="Endpoints that an application may have.")
    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="The port to listen on; 0 for a free one.")
    introspection: bool = Field(True, description="Answer introspection queries, which GraphiQL and code generators need.")
    retention_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="Days that messages, deliveries, attempts and background tasks are kept once they are final, and applications and endpoints once they are deleted; 0 for ever.",
    )
    metrics_port: OptionalPort = Field(
        None, description="The port of the Prometheus metrics of each process, apart from the API's; 0 for a free one."
    )
    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="The address that the metrics are shown on; anyone who reaches it may read them."
    )
    tracing: bool = Field(
        False,
        description="Export OpenTelemetry traces as OTLP over HTTP, to where OTEL_EXPORTER_OTLP_ENDPOINT says; needs the extra `otel`.",
    )
    trace_receivers: bool = Field(False, description="Send receivers the traceparent of an attempt, where tracing is on.")
    access_log: bool = Field(False, description="Log every request, not only those answered with 500 and above.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least severe log lines to write.")
    log_format: Literal["text", "json"] = Field("text", description="Log lines for people or for machines.")

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """The settings of the environment, with overrides that are not None. Raises `BadSettings`."""
        try:
            return cls(**{name: value for name, value in overrides.items() if value is not None})
        except ValidationError as error:
            lines = []
            for fault in error.errors():
                name = str(fault["loc"][0]) if fault["loc"] else ""
                shown = "" if name in _NOT_REPEATED else f" (it is {fault['input']!r})"
                lines.append(f"{PREFIX}{name.upper()}: {fault['msg'].removeprefix('Value error, ')}{shown}")
            raise BadSettings("\n".join(lines)) from None

    @property
    def embedded(self) -> bool:
        """Whether one process does everything on a SQLite file."""
        return self.database_url.startswith("sqlite://")

    @property
    def sqlite_path(self) -> Path:
        """The SQLite file."""
        return Path(self.database_url.removeprefix("sqlite://"))

    @property
    def development_key(self) -> Path:
        """The file of the key that is made in development, beside the database."""
        return self.sqlite_path.parent / "development-key"

    @property
    def is_loopback(self) -> bool:
        """Whether the service listens to this machine only."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def public_address(self) -> str:
        """Where others reach the service, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        try:
            if ip_address(self.host).is_unspecified:  # all addresses, of which none has that name
                host = "127.0.0.1"
        except ValueError:
            pass
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def development(self) -> bool:
        """SQLite, this machine only and no secret key: keys and a token are made for the developer."""
        return self.embedded and self.is_loopback and not self.secret_key

    def ssrf_policy(self) -> Policy:
        """What the SSRF guard allows. A developer's receivers are on the developer's machine."""
        own_subnets, own_hosts = (_LOOPBACK, {"localhost"}) if self.development else ((), set[str]())
        return Policy(
            https_only=self.https_only,
            allow_subnets=(*self.allow_subnets, *own_subnets),
            deny_subnets=self.deny_subnets,
            allow_hosts=frozenset(host.lower() for host in self.allow_hosts) | own_hosts,
            allow_ports=self.allow_ports,
        )
