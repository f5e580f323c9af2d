"""What the process counts and measures, in Prometheus' terms, and the listener that shows it.

Names follow Prometheus: base units, `_total` for counters. Labels come from our own constants only, never from a tenant: a series per
endpoint or URL would grow without bound. What happens by the thousand is counted once per batch.
"""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, start_http_server

from graphook import __version__

log = logging.getLogger(__name__)

# A series that says when another one was created doubles what is stored and tells an operator nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)

Gauge("graphook_build_info", "The version that runs.", ["version"], registry=REGISTRY).labels(__version__).set(1)

_requests = Counter("graphook_http_requests", "HTTP requests answered, by status.", ["status"], registry=REGISTRY)
_operation_seconds = Histogram(
    "graphook_operation_seconds", "GraphQL operations, by type and error code (OK without one).", ["type", "code"], registry=REGISTRY,
    buckets=_SECONDS,
)  # fmt: skip
_accepted = Counter("graphook_messages_accepted", "Messages committed.", registry=REGISTRY)
_accept_size = Histogram("graphook_accept_batch_messages", "Messages per accepting transaction.", registry=REGISTRY, buckets=_SIZES)
_accept_seconds = Histogram("graphook_accept_seconds", "Duration of an accepting transaction.", registry=REGISTRY, buckets=_SECONDS)
_attempts = Counter(
    "graphook_attempts",
    "Attempts recorded, by what the delivery became (a retry is `waiting`) and why it failed.",
    ["result", "error_code"],
    registry=REGISTRY,
)
_attempt_seconds = Histogram(
    "graphook_attempt_seconds", "Duration of an attempt, from looking up the name to the last byte read.", registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)  # fmt: skip
_claim_size = Histogram("graphook_claim_batch_deliveries", "Deliveries per claim.", registry=REGISTRY, buckets=(0, *_SIZES))
_claim_seconds = Histogram("graphook_claim_seconds", "Duration of a claim.", registry=REGISTRY, buckets=_SECONDS)
_settle_size = Histogram("graphook_settle_batch_results", "Results per settling transaction.", registry=REGISTRY, buckets=_SIZES)
_settle_seconds = Histogram("graphook_settle_seconds", "Duration of a settling transaction.", registry=REGISTRY, buckets=_SECONDS)
_taken_back = Counter("graphook_leases_taken_back", "Leases that ran out: a process died or stood still.", registry=REGISTRY)
_disabled = Counter("graphook_endpoints_disabled", "Endpoints disabled by the engine, by reason.", ["reason"], registry=REGISTRY)
_transformation_seconds = Histogram(
    "graphook_transformation_seconds", "Transformations, from asking for a turn to the checked result, by error code (OK without one).", ["code"],
    registry=REGISTRY, buckets=_SECONDS,
)  # fmt: skip
_sandbox_kills = Counter(
    "graphook_sandbox_kills", "Processes of the sandbox killed because a transformation did not end.", registry=REGISTRY
)
_model_requests = Counter(
    "graphook_model_requests", "Requests to the model, by outcome: ok, canceled or an error code.", ["outcome"], registry=REGISTRY
)
_model_seconds = Histogram(
    "graphook_model_request_seconds", "Duration of a request to the model, to the last token.", registry=REGISTRY,
    buckets=(0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300),
)  # fmt: skip
_model_tokens = Counter("graphook_model_tokens", "Tokens that the model's server counted, by kind.", ["kind"], registry=REGISTRY)
_wake_failures = Counter("graphook_wake_failures", "Batches of wake-ups that did not reach the broker.", registry=REGISTRY)
# What only a process that sends knows. From the others it is missing: a zero of theirs would hide that no worker is there.
_ready = Gauge("graphook_ready_deliveries", "Deliveries ready to be sent, counted up to 100,000.", registry=None)
_oldest_ready = Gauge("graphook_oldest_ready_seconds", "How long the oldest of the counted ready deliveries has waited.", registry=None)
_oldest_unrestricted = Gauge(
    "graphook_oldest_unrestricted_seconds",
    "The same without endpoints that may hold their own back: by a rate limit, a limit of what is in flight, an ordered queue or a breaker.",
    registry=None,
)
_in_flight = Gauge("graphook_sends_in_flight", "Deliveries being sent.", registry=None)
_unrecorded = Gauge("graphook_sends_unrecorded", "Deliveries that were sent and are not recorded yet.", registry=None)
_shown: set[Gauge] = set()
_loop_lag = Histogram("graphook_event_loop_lag_seconds", "How late the event loop runs what is due.", registry=REGISTRY, buckets=_SECONDS)
_subscribers = Gauge("graphook_live_subscribers", "Subscriptions that follow something.", registry=REGISTRY)
_connections = Gauge("graphook_database_connections", "Connections of the pool, by state.", ["state"], registry=REGISTRY)


def request_answered(status: int) -> None:
    """An HTTP request was answered."""
    _requests_of(status).inc()


def operation_ended(kind: str, code: str, seconds: float) -> None:
    """A GraphQL operation ended; `code` is that of its first error, or OK."""
    _seconds_of(kind, code).observe(seconds)


# A label is looked up under a lock.
@cache
def _requests_of(status: int) -> Counter:
    return _requests.labels(str(status))


@cache
def _seconds_of(kind: str, code: str) -> Histogram:
    return _operation_seconds.labels(kind, code)


@contextmanager
def accepting(size: int) -> Iterator[None]:
    """Measure the transaction that accepts so many messages."""
    began = perf_counter()
    yield
    _accept_seconds.observe(perf_counter() - began)
    _accept_size.observe(size)


def accepted(count: int) -> None:
    """So many messages are committed."""
    _accepted.inc(count)


def claimed(count: int, seconds: float) -> None:
    """A claim leased so many deliveries."""
    _claim_size.observe(count)
    _claim_seconds.observe(seconds)


def settled(attempts: Iterable[tuple[str, str, int]], seconds: float) -> None:
    """A transaction recorded these attempts: what the delivery became, the error code or an empty text, milliseconds it took."""
    tally: Tally[tuple[str, str]] = Tally()
    for result, error_code, milliseconds in attempts:
        tally[result, error_code] += 1
        _attempt_seconds.observe(milliseconds / 1000)
    for labels, count in tally.items():
        _attempts.labels(*labels).inc(count)
    _settle_size.observe(tally.total())
    _settle_seconds.observe(seconds)


def leases_taken_back(count: int) -> None:
    """So many leases ran out."""
    _taken_back.inc(count)


def endpoint_disabled(reason: str) -> None:
    """The engine disabled an endpoint; `reason` is one of a few of ours."""
    _disabled.labels(reason).inc()


def transformed(code: str, seconds: float) -> None:
    """A transformation ended; `code` is that of its error, or OK."""
    _transformation_seconds.labels(code).observe(seconds)


def sandbox_killed() -> None:
    """A process of the sandbox was killed at its deadline."""
    _sandbox_kills.inc()


def model_asked(outcome: str, seconds: float, prompt_tokens: int, completion_tokens: int) -> None:
    """A request to the model ended; `outcome` is one of a few of ours."""
    _model_requests.labels(outcome).inc()
    _model_seconds.observe(seconds)
    _model_tokens.labels("prompt").inc(prompt_tokens)
    _model_tokens.labels("completion").inc(completion_tokens)


def wake_failed() -> None:
    """Wake-ups did not get through."""
    _wake_failures.inc()


def backlog(ready: int, oldest_seconds: float, oldest_unrestricted_seconds: float) -> None:
    """So many deliveries are ready, the oldest for so long, and the oldest that its endpoint does not hold back for so long."""
    _show(_ready, _oldest_ready, _oldest_unrestricted)
    _ready.set(ready)
    _oldest_ready.set(oldest_seconds)
    _oldest_unrestricted.set(oldest_unrestricted_seconds)


def loop_lagged(seconds: float) -> None:
    """The event loop ran something so much later than it was due."""
    _loop_lag.observe(seconds)


def watch(
    *,
    in_flight: Callable[[], int] | None = None,
    unrecorded: Callable[[], int] | None = None,
    subscribers: Callable[[], int] | None = None,
    connections: Callable[[], tuple[int, int]] | None = None,
) -> None:
    """Look at these when somebody asks, and not before: sends under way, those that are not recorded yet, subscriptions, and connections in use and idle."""
    if in_flight is not None:
        _show(_in_flight)
        _in_flight.set_function(in_flight)
    if unrecorded is not None:
        _show(_unrecorded)
        _unrecorded.set_function(unrecorded)
    if subscribers is not None:
        _subscribers.set_function(subscribers)
    if connections is not None:
        _connections.labels("used").set_function(lambda: connections()[0])
        _connections.labels("idle").set_function(lambda: connections()[1])


def _show(*gauges: Gauge) -> None:
    """Show these from now on."""
    for gauge in gauges:
        if gauge not in _shown:
            _shown.add(gauge)
            REGISTRY.register(gauge)


@contextmanager
def served(host: str, port: int | None) -> Iterator[int | None]:
    """Show the metrics at `http://host:port/metrics`, from a thread of its own; with the port, or None when it is off or taken.

    A process whose port is taken, as that of a second worker on one machine may be, says so and works on: deliveries matter more.
    """
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, host, registry=REGISTRY)
    except OSError as error:
        log.warning("metrics are not shown, %s:%d cannot be listened on: %s", host, port, error)
        yield None
        return
    try:
        log.info("metrics are at http://%s:%d/metrics", host, server.server_port)
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
