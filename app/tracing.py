"""OpenTelemetry traces: on when `OTEL_EXPORTER_OTLP_ENDPOINT` says where to, by the standard's variables.

Of what a span holds, only what is named here leaves the process: addresses, paths, queries and messages of
exceptions can name a person, and libraries put them into spans.
"""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.trace import NoOpTracerProvider, SpanKind, Status, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
FLUSH_SECONDS = 2.0
"""For what is left when a process ends: `certsync up` kills the API 2 s after its open requests' 8."""
OURS = "certsync."
"""What the names of our own attributes begin with."""
ATTRIBUTES = frozenset(
    {
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "network.protocol.version",
        "url.scheme",
        "error.type",
    }
)
"""Of the framework's attributes, those that say nothing of a person, a host or a network."""


def is_on() -> bool:
    """Tell whether the environment asks for traces."""
    return (
        any(os.environ.get(name) for name in ENDPOINTS)
        and os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none"
        and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
    )


class Tracing:
    """The spans of one process; without the variable it makes none.

    Raises ConfigurationError when traces are asked for and cannot be made.
    """

    def __init__(self) -> None:
        self.provider: TracerProvider | None = _exporting() if is_on() else None
        self._tracer = (self.provider or NoOpTracerProvider()).get_tracer("certsync", __version__)

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, str | int] | None = None, kind: SpanKind = SpanKind.INTERNAL
    ) -> Iterator[None]:
        """Make a span of what the body does; `attributes` get the prefix of ours."""
        ours = {OURS + key: value for key, value in (attributes or {}).items()}
        with self._tracer.start_as_current_span(name, kind=kind, attributes=ours, record_exception=False):
            yield

    async def close(self) -> None:
        """Send what is left, for `FLUSH_SECONDS` at most."""
        shutdown = getattr(self.provider, "shutdown", None)
        if shutdown is not None:  # from a thread that the process need not wait for at its end
            sending = threading.Thread(target=shutdown, daemon=True)
            sending.start()
            await asyncio.to_thread(sending.join, FLUSH_SECONDS)


def traceparent() -> str | None:
    """Return the name of the current span for another process (W3C Trace Context), None without one."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def continuing(parent: str | None) -> Iterator[None]:
    """Let the spans of the body go on with the trace of `parent`, unless they are in one already."""
    if parent is None or trace.get_current_span().get_span_context().is_valid:
        yield
        return
    token = context.attach(TraceContextTextMapPropagator().extract({"traceparent": parent}))
    try:
        yield
    finally:
        context.detach(token)


def _exporting() -> TracerProvider:
    for name in PROTOCOLS:
        if os.environ.get(name, PROTOCOL) != PROTOCOL:
            raise ConfigurationError(
                f"{name} has to be {PROTOCOL}, or be left out: nothing else is spoken here"
            )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider as SdkProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
    except ImportError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but what sends traces is not installed. Type: "
            "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http, or take the variable away"
        ) from error

    class ReducedExporter(OTLPSpanExporter):
        def export(self, spans: "Sequence[ReadableSpan]") -> SpanExportResult:
            return super().export([_reduced(span) for span in spans])

    service = {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "certsync"), SERVICE_VERSION: __version__}
    provider = SdkProvider(resource=Resource.create(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(ReducedExporter()))
    return provider


def _reduced(span: "ReadableSpan") -> "ReadableSpan":
    """Return a copy without events and messages, and with the attributes that are named above."""
    from opentelemetry.sdk.trace import ReadableSpan

    attributes = span.attributes or {}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={
            key: value for key, value in attributes.items() if key in ATTRIBUTES or key.startswith(OURS)
        },
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
