"""OpenTelemetry behind `telemetry.py`, loaded only where traces are wanted. Nothing else imports it.

Spans go out in batches from a thread of the SDK, over OTLP/HTTP. A collector that is away or slow costs spans, never
time of the event loop: the queue is bounded, and what did not get through is counted (`levada_spans_dropped_total`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBasedTraceIdRatio
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from levada.runtime import metrics
from levada.runtime.config.tree import Telemetry

EXPORT_TIMEOUT_S = 5.0
SHUTDOWN_S = 3.0
QUEUE_SPANS = 8192
BATCH_SPANS = 512
DELAY_MS = 1000

KINDS: Mapping[str, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}

Attributes = Mapping[str, str | bool | float] | None


class Exporting:
    """Makes spans and sends them."""

    def __init__(self, config: Telemetry, service: str, environment: str | None) -> None:
        assert config.otlp_endpoint is not None
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # the lost are counted; it would warn of each batch
        named = {
            "service.name": f"{config.service_name}-{service}",
            "service.namespace": config.service_name,
            "service.version": version("levada"),
        }
        if environment is not None:
            named["deployment.environment.name"] = environment
        exporter = OTLPSpanExporter(
            endpoint=traces_endpoint(config.otlp_endpoint),
            headers={str(name): str(value) for name, value in (config.headers or {}).items()},
            timeout=EXPORT_TIMEOUT_S,
        )
        self._ids = _Ids()
        self._sampler = ParentBasedTraceIdRatio(config.sample_ratio)
        self._provider = TracerProvider(
            sampler=self._sampler,
            resource=Resource.create(named),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Counting(exporter),
                max_queue_size=QUEUE_SPANS,
                schedule_delay_millis=DELAY_MS,
                max_export_batch_size=BATCH_SPANS,
            )
        )
        self._tracer = self._provider.get_tracer("levada", version("levada"))

    def start(
        self, name: str, parent: str | None, kind: str, attributes: Attributes, links: Sequence[str]
    ) -> tuple[str, trace.Span]:
        """Begin a span; return its traceparent and itself."""
        begun = self._tracer.start_span(
            name, context=_context(parent), kind=KINDS[kind], attributes=attributes, links=_links(links)
        )
        return traceparent(begun.get_span_context()), begun

    def record(
        self,
        name: str,
        parent: str | None,
        times_us: tuple[int, int],
        *,
        kind: str = "internal",
        attributes: Attributes = None,
        links: Sequence[str] = (),
        error: str | None = None,
        span_id: str | None = None,
    ) -> None:
        """Make and end a span of the past. A parent that is the span itself is none."""
        if span_id is not None:
            self._ids.next_span = int(span_id, 16)
            if parent is not None and parent[36:52] == span_id:
                self._ids.next_trace, parent = int(parent[3:35], 16), None
        over = self._tracer.start_span(
            name,
            context=_context(parent),
            kind=KINDS[kind],
            attributes=attributes,
            links=_links(links),
            start_time=times_us[0] * 1000,
        )
        self._ids.next_span = self._ids.next_trace = None
        if error is not None:
            self.fail(over, error)
        over.end(times_us[1] * 1000)

    def fail(self, failed: trace.Span, message: str) -> None:
        failed.set_status(Status(StatusCode.ERROR, message))

    def new_trace(self, span_id: str) -> str:
        """Return the traceparent of a trace that begins with the span of this id, sampled or not by the ratio."""
        trace_id = self._ids.generate_trace_id()
        decision = self._sampler.should_sample(None, trace_id, "execution").decision
        return f"00-{trace_id:032x}-{span_id}-{int(decision is Decision.RECORD_AND_SAMPLE):02x}"

    def close(self) -> None:
        """Send what is left, within SHUTDOWN_S."""
        closing = threading.Thread(target=self._provider.shutdown, name="telemetry-shutdown", daemon=True)
        closing.start()
        closing.join(SHUTDOWN_S)


class _Ids(IdGenerator):
    """Random ids, unless the next one is given."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.next_span: int | None = None
        self.next_trace: int | None = None

    def generate_span_id(self) -> int:
        given, self.next_span = self.next_span, None
        return self._random.generate_span_id() if given is None else given

    def generate_trace_id(self) -> int:
        given, self.next_trace = self.next_trace, None
        return self._random.generate_trace_id() if given is None else given


class _Counting(SpanExporter):
    """Counts what did not get through."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            metrics.SPANS_DROPPED.inc("collector", by=len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def traces_endpoint(url: str) -> str:
    """Return where traces go: OTLP's own path below an address that has none."""
    return url if urlsplit(url).path not in ("", "/") else f"{url.rstrip('/')}/v1/traces"


def traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _span_context(text: str) -> SpanContext:
    return SpanContext(int(text[3:35], 16), int(text[36:52], 16), True, TraceFlags(int(text[53:55], 16)))


def _context(parent: str | None) -> Context:
    empty = Context()
    return empty if parent is None else trace.set_span_in_context(NonRecordingSpan(_span_context(parent)), empty)


def _links(links: Sequence[str]) -> list[Link]:
    return [Link(_span_context(each)) for each in links]
