"""Spans on their way to a collector: OpenTelemetry's SDK, OTLP over HTTP. Imported if configured.

A batch goes every two seconds, from a thread of the SDK. What the collector does disturbs nobody:
`MOST_WAITING` spans may wait, the next is dropped and counted; a batch is tried for five seconds
and then counted as failed; an answer is read up to 64 KiB, redirects and proxies of the environment
are not followed; closing takes two seconds at most. The library logs a failed batch itself, through
our log, of which a flood is one line a second.
"""

import io
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from prometheus_client import Counter
from requests.adapters import HTTPAdapter

from shared.log import Log
from shared.messages import Stage
from shared.tracing import Span, TraceContext
from shared.tracingsettings import TracingSettings

MOST_WAITING: Final = 2048
BATCH: Final = 512
BATCH_SECONDS: Final = 2.0
SEND_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
MOST_ANSWER_BYTES: Final = 64 * 1024
_REASON_CHARACTERS: Final = 100
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

SPANS = Counter(
    "cradle_tracing_spans_total",
    "Spans by what became of them: exported, failed (not taken by the collector), dropped.",
    ["outcome"],
)
_KINDS: Final = {
    "internal": trace.SpanKind.INTERNAL,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}


class _GivenIds(IdGenerator):
    """Our ids follow from what a span is about, so they are set before each span."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _BoundedAnswers(HTTPAdapter):
    """Nobody needs what a collector answers; a hostile one may answer without end."""

    def send(self, request: Any, stream: bool = False, *arguments: Any, **more: Any) -> Any:
        response = super().send(request, True, *arguments, **more)
        with response.raw as raw:
            data = raw.read(MOST_ANSWER_BYTES, decode_content=False)
        response.raw = io.BytesIO(data)
        response.reason = (response.reason or "")[:_REASON_CHARACTERS]
        return response


class _Counting(SpanExporter):
    """Counts what becomes of each batch."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lock = threading.Lock()
        self._waiting = 0

    def admit(self) -> bool:
        """Whether there is room for one more."""
        with self._lock:
            if self._waiting >= MOST_WAITING:
                return False
            self._waiting += 1
            return True

    def forget(self, count: int) -> None:
        """So many wait no longer."""
        with self._lock:
            self._waiting -= count

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self.forget(len(spans))
            good = result is SpanExportResult.SUCCESS
            SPANS.labels("exported" if good else "failed").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    @property
    def waiting(self) -> int:
        with self._lock:
            return self._waiting


class SpanExport:
    """The sink of a worker's spans. From any thread."""

    def __init__(self, settings: TracingSettings, stage: Stage, worker: str, log: Log) -> None:
        # Retries are told as warnings; that a batch has failed, as an error.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        self._log = log
        self._ids = _GivenIds()
        self._lock = threading.Lock()
        session = requests.Session()
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, _BoundedAnswers())
        self._exporter = _Counting(
            OTLPSpanExporter(
                endpoint=f"{settings.endpoint}/v1/traces", timeout=SEND_SECONDS, session=session
            )
        )
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # what comes here was sampled at ingest
            resource=Resource.create(
                {
                    "service.namespace": settings.service_namespace,
                    "service.name": stage.value,
                    "service.instance.id": worker,
                }
            ),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=MOST_WAITING,
                schedule_delay_millis=BATCH_SECONDS * 1000,
                max_export_batch_size=BATCH,
            )
        )
        self._tracer = self._provider.get_tracer("cradle")

    def tell(self, span: Span) -> None:
        """Put a span into the next batch; dropped and counted if too many wait."""
        if not self._exporter.admit():
            SPANS.labels("dropped").inc()
            return
        try:
            self._put(span)
        except Exception as error:  # of the library: no stage may break on what it tells
            self._exporter.forget(1)
            SPANS.labels("dropped").inc()
            self._log.error("span not told", action="tracing.broke", exc_info=error)

    def _put(self, span: Span) -> None:
        parent = None if span.parent_id is None else span.context.below(span.parent_id)
        links = [trace.Link(_span_context(each)) for each in span.links]
        with self._lock:
            self._ids.trace_id = int(span.context.trace_id, 16)
            self._ids.span_id = int(span.context.span_id, 16)
            started = self._tracer.start_span(
                span.name,
                context=None if parent is None else _around(parent),
                kind=_KINDS[span.kind],
                attributes=dict(span.attributes),
                links=links,
                start_time=_nanoseconds(span.starts_at),
            )
        ends_at = max(span.starts_at, span.ends_at)  # the wall clock may have been set back
        started.end(_nanoseconds(ends_at))

    def close(self) -> None:
        """Send what waits; what cannot be sent in CLOSE_SECONDS is dropped."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if left := self._exporter.waiting:
            SPANS.labels("dropped").inc(left)
            self._log.warning("spans dropped at the end", action="tracing.unsent", count=left)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _BEGINNING) // timedelta(microseconds=1) * 1000


def _span_context(context: TraceContext) -> trace.SpanContext:
    return trace.SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )


def _around(parent: TraceContext) -> Any:
    return trace.set_span_in_context(trace.NonRecordingSpan(_span_context(parent)))
