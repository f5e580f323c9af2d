"""OpenTelemetry traces from the request that sent a message to every attempt to deliver it; off, and nothing of it loaded, by default.

The trace context goes with the message through the database, as a W3C `traceparent`: the process that sends may be another one, days later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from graphook import __version__
from graphook.process import CannotStart

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_NOTHING: AbstractContextManager[Any] = nullcontext()
# Links of a batch's span; the rest of the batch is known by its number.
_LINKS = 32


class TracingMissing(CannotStart):
    """Tracing is on, but its packages are not installed."""


class _Tracing:
    """What is loaded when tracing is on."""

    def __init__(self, exporter: SpanExporter | None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.propagate import extract
            from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            raise TracingMissing(
                f"GRAPHOOK_TRACING needs the extra `otel` ({error}). Where `make` set Graphook up, "
                "`.venv/bin/uv sync --frozen --inexact --no-default-groups --extra otel` installs it."
            ) from error
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before ours.
        given = OTELResourceDetector().detect()
        resource = Resource.create({SERVICE_NAME: "graphook", SERVICE_VERSION: __version__}).merge(given)
        self.provider = TracerProvider(resource=resource)
        processor = BatchSpanProcessor(OTLPSpanExporter()) if exporter is None else SimpleSpanProcessor(exporter)
        self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("graphook", __version__)
        self.extract = extract
        self.trace = trace


_tracing: _Tracing | None = None


@contextmanager
def traced(on: bool, exporter: SpanExporter | None = None) -> Iterator[None]:
    """Trace until the end of the block, where `on`; what is pending is exported then. Raises `TracingMissing`.

    Without an `exporter`, OTLP over HTTP, to where OpenTelemetry's own environment variables (`OTEL_EXPORTER_OTLP_ENDPOINT` …) say.
    """
    global _tracing
    if not on:
        yield
        return
    _tracing = _Tracing(exporter)
    try:
        yield
    finally:
        provider, _tracing = _tracing.provider, None
        provider.shutdown()


def operation(kind: str, name: str | None, headers: Mapping[str, str]) -> AbstractContextManager[Span | None]:
    """A span of a GraphQL operation, under the caller's `traceparent` if there is one."""
    return _NOTHING if _tracing is None else _operation(_tracing, kind, name, headers)


@contextmanager
def _operation(tracing: _Tracing, kind: str, name: str | None, headers: Mapping[str, str]) -> Iterator[Span | None]:
    parent = tracing.extract({key.lower(): value for key, value in headers.items()})
    with tracing.tracer.start_as_current_span(
        kind if name is None else f"{kind} {name}",
        context=parent,
        kind=tracing.trace.SpanKind.SERVER,
        attributes={"graphql.operation.type": kind, **({"graphql.operation.name": name} if name else {})},
    ) as span:
        yield span


@contextmanager
def batch(name: str, traceparents: Iterable[str | None], size: int) -> Iterator[None]:
    """A span of one transaction for many messages, linked to the operations that they came with."""
    if _tracing is None:
        yield
        return
    links = []
    for traceparent in dict.fromkeys(text for text in traceparents if text is not None):
        context = _tracing.trace.get_current_span(_tracing.extract({"traceparent": traceparent})).get_span_context()
        links.append(_tracing.trace.Link(context))
        if len(links) == _LINKS:
            break
    with _tracing.tracer.start_as_current_span(name, links=links, attributes={"graphook.batch_size": size}):
        yield


def attempt(traceparent: str | None, attributes: Mapping[str, Any]) -> AbstractContextManager[Span | None]:
    """A span of one attempt, in the trace of the request that sent the message. A message without a trace has none."""
    return _NOTHING if _tracing is None or traceparent is None else _attempt(_tracing, traceparent, attributes)


@contextmanager
def _attempt(tracing: _Tracing, traceparent: str, attributes: Mapping[str, Any]) -> Iterator[Span | None]:
    with tracing.tracer.start_as_current_span(
        "webhook attempt",
        context=tracing.extract({"traceparent": traceparent}),
        kind=tracing.trace.SpanKind.CLIENT,
        attributes=dict(attributes),
    ) as span:
        yield span


def ended(span: Span | None, code: str) -> None:
    """Mark a span as failed, unless the code of ours that says how it ended is OK."""
    if span is not None and _tracing is not None and code != "OK":
        span.set_attribute("error.type", code)
        span.set_status(_tracing.trace.Status(_tracing.trace.StatusCode.ERROR))


def current() -> str | None:
    """The `traceparent` of the current span; None when nothing is traced."""
    if _tracing is None:
        return None
    context = _tracing.trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
