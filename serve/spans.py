"""OpenTelemetry: one span for every request to a persona, with `gen_ai.*` attributes and no content.

Nothing is imported unless OTEL_EXPORTER_OTLP_ENDPOINT is set; the other OTEL_ variables mean what they
always mean. The engine is told the span, so that its own can hang below it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from serve.trace import Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

WHERE = "OTEL_EXPORTER_OTLP_ENDPOINT"

OPERATIONS = {"/v1/completions": "text_completion"}
"""`gen_ai.operation.name` of routes that are not chats."""

NANO = 1_000_000_000


class Spans:
    """An observer that makes spans.

    Args:
        provider: Where they go.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("persona-factory")
        self._propagator = TraceContextTextMapPropagator()
        self._open: dict[Trace, Span] = {}

    def began(self, trace: Trace, headers: Mapping[str, str]) -> None:
        """Open a span below the client's, if the client has one."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        if not trace.path.startswith("/v1/"):
            return
        span = self._tracer.start_span(
            trace.method,
            self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            start_time=int(trace.began_at * NANO),
        )
        told: dict[str, str] = {}
        self._propagator.inject(told, set_span_in_context(span))
        trace.headers = told
        self._open[trace] = span

    def ended(self, trace: Trace) -> None:
        """Say what became of it, and close it."""
        from opentelemetry.trace import StatusCode

        span = self._open.pop(trace, None)
        if span is None:
            return
        span.set_attributes(_attributes(trace))
        route = trace.route or ""
        if trace.served is not None and trace.sent is not None:
            span.update_name(f"{OPERATIONS.get(route, 'chat')} {trace.served.name}")
        else:
            span.update_name(f"{trace.method} {route}".rstrip())
        if trace.outcome == "error":
            span.set_status(StatusCode.ERROR)
        span.end(int((trace.began_at + trace.seconds) * NANO))


def _attributes(trace: Trace) -> dict[str, Any]:
    found: dict[str, Any] = {
        "http.request.method": trace.method,
        "http.route": trace.route,
        "http.response.status_code": trace.status,
        "error.type": trace.code,
        "persona_factory.request_id": trace.id,
        "persona_factory.outcome": trace.outcome,
    }
    if trace.served is not None:
        found |= {
            "gen_ai.provider.name": "persona_factory",
            "gen_ai.request.model": trace.served.name,
            "gen_ai.response.model": trace.served.ref,
        }
    if trace.sent is not None:
        found |= {
            "gen_ai.operation.name": OPERATIONS.get(trace.route or "", "chat"),
            "gen_ai.request.stream": trace.first is not None,
            "gen_ai.usage.input_tokens": trace.prompt_tokens,
            "gen_ai.usage.output_tokens": trace.completion_tokens,
            "gen_ai.response.time_to_first_chunk": trace.ttft,
        }
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def traced(announce: Callable[[str], None]) -> Iterator[list[Spans]]:
    """Export spans for the length of the block, if the environment asks for it.

    Args:
        announce: Told if they cannot be made.
    """
    if not os.environ.get(WHERE):
        yield []
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        announce(f"warning: {WHERE} is set, but spans need `pip install 'persona-factory[otel]'`")
        yield []
        return
    name = os.environ.get("OTEL_SERVICE_NAME", "persona-factory")
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield [Spans(provider)]
    finally:
        provider.shutdown()
