"""Traces: how one fragment came from the camera to the page, the clip and the note.

**A trace is the way of one fragment.** Its id is the first half of the SHA-256 of the fragment's
path, which is its identity, and the span id of ingest's own span follows it there: whoever knows a
fragment knows its trace, without state, whatever was killed in between. Whether it is told at all
is decided by the id too (`sample_ratio` of all ids, the rule of OpenTelemetry's ratio sampler), so
that a fragment is told from end to end or not at all.

**On the wire** it is the header `traceparent` of W3C Trace Context: batches, fragments and samples
carry their fragment's, sampled or not; `stored` and `described` go on with the span of the clip or
the note. Without `tracing.endpoint` no header is made (it would be 70 bytes a message for nobody);
the analyzer passes on one that somebody else has put there. A header is parsed strictly and
believed in its form alone: it joins spans, it decides nothing, and a message whose header is bad is
as good as any.

**Spans** are few and are told when they have ended, from times that are known anyway, so that no
loop is wrapped: `ingest fragment` (capture to index line), `upload fragment` (its end to a bucket
that is the frame store), `publish fragment` (to the broker's confirm), `show fragment` (encoder:
first batch to playlist), `archive fragment` (archiver: received to committed), `commit clip` with
`convert`, `upload` and `manifest`, `analyze sample` with `decode`, `gate`, `provider` and `store`.
A clip holds many fragments: `commit clip` stands in the trace of its first sampled one and links
to others (`MOST_LINKS`); each `archive fragment` links to it. Manifest and note hold the trace's
id, if it was sampled, so that it is found from them. Attributes are identities, sizes and
outcomes: no secret, no picture, none of a note's words.

This file knows no library. `shared/spanexport.py` does, and is imported by `start` alone.
"""

import hashlib
import importlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import StringConstraints

from shared.clock import Clock
from shared.identity import fragment_path
from shared.log import Log
from shared.messages import FragmentReference, Sample, Stage
from shared.tracingsettings import TracingSettings

TRACEPARENT: Final = "traceparent"
MOST_LINKS: Final = 32
LONGEST_HEADER: Final = 512
"""Characters. A later version may be longer than today's 55; nobody means more than this."""

_HEADER = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?",
    re.ASCII,
)
_SAMPLED: Final = 1
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16

TraceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Attributes = Mapping[str, str | int | float]
Kind = Literal["internal", "producer", "consumer"]


@dataclass(frozen=True)
class TraceContext:
    """A place in a trace: the span under which what follows belongs."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-0{int(self.sampled)}"

    @property
    def headers(self) -> dict[str, str | int]:
        """Of a message that follows from this."""
        return {TRACEPARENT: self.traceparent}

    def below(self, span_id: str | None = None) -> "TraceContext":
        """The context of a span below this one; without an id, of a fresh one."""
        return TraceContext(self.trace_id, span_id or new_span_id(), self.sampled)


def parse_traceparent(header: object) -> TraceContext | None:
    """What a header says; None unless it is one of W3C Trace Context, version 00 or a later one."""
    if not isinstance(header, str) or len(header) > LONGEST_HEADER:
        return None
    match = _HEADER.fullmatch(header)
    if match is None or match["version"] == "ff":
        return None
    if match["version"] == "00" and match["more"] is not None:
        return None
    if match["trace"] == _NO_TRACE or match["span"] == _NO_SPAN:
        return None
    return TraceContext(match["trace"], match["span"], bool(int(match["flags"], 16) & _SAMPLED))


def context_in(headers: Mapping[str, Any]) -> TraceContext | None:
    """The context that came with a message, if a good one did."""
    return parse_traceparent(headers.get(TRACEPARENT))


def headers_after(context: TraceContext | None) -> dict[str, str | int]:
    """Of a message that follows from one with this context; none if it had none."""
    return {} if context is None else context.headers


def new_span_id() -> str:
    return f"{secrets.randbits(64) or 1:016x}"


def span_id_of(name: str) -> str:
    """The same for the same name: a step that is done again is the same span."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


# -- spans ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """Something that was done, once it has ended."""

    name: str
    context: TraceContext
    parent_id: str | None
    """Span id; None at the root of a trace."""
    starts_at: datetime
    ends_at: datetime
    attributes: Attributes
    links: tuple[TraceContext, ...] = ()
    kind: Kind = "internal"


class Steps:
    """The parts of one piece of work, as it goes through them. Used by one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.began_at = self.ends_at = clock.now()
        self.taken: list[tuple[str, datetime, datetime]] = []

    def end(self) -> None:
        """All is done."""
        self.ends_at = self._clock.now()

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        began_at = self._clock.now()
        try:
            yield
        finally:
            self.taken.append((name, began_at, self._clock.now()))


def step(steps: Steps | None, name: str) -> AbstractContextManager[None]:
    """Around one part of the work; nothing at all where nobody wants to know."""
    return nullcontext() if steps is None else steps.take(name)


class SpanSink(Protocol):
    """Where spans go."""

    def tell(self, span: Span) -> None:
        """Never blocks and never raises; what there is no room for is counted."""
        ...

    def close(self) -> None:
        """Send what waits, for a bounded time."""
        ...


class Tracer:
    """What the stages have where tracing is configured; else they have None."""

    def __init__(self, sample_ratio: float, sink: SpanSink, clock: Clock) -> None:
        self._below = round(sample_ratio * 2**64)
        self._sink = sink
        self.clock = clock

    def of_fragment(self, camera: str, epoch: str, fragment: int) -> TraceContext:
        """The context of ingest's span of a fragment."""
        digest = hashlib.sha256(fragment_path(camera, epoch, fragment).encode()).digest()
        sampled = int.from_bytes(digest[8:16]) < self._below
        text = digest.hex()
        return TraceContext(text[:32], text[32:48], sampled)

    def of(self, reference: FragmentReference) -> TraceContext:
        """The same, of a reference."""
        return self.of_fragment(reference.camera, reference.epoch, reference.fragment)

    def of_sample(self, sample: Sample) -> TraceContext:
        """Of the first of its pictures that is sampled; else of the last."""
        contexts = [self.of(picture) for picture in sample.pictures]
        return next((each for each in contexts if each.sampled), contexts[-1])

    def close(self) -> None:
        """Send what waits, for a bounded time."""
        self._sink.close()

    def tell(self, span: Span) -> None:
        """Send a span, if its trace is sampled."""
        if span.context.sampled:
            self._sink.tell(span)

    def tell_below(
        self,
        parent: TraceContext,
        name: str,
        starts_at: datetime,
        attributes: Attributes,
        *,
        kind: Kind = "consumer",
        links: tuple[TraceContext, ...] = (),
    ) -> None:
        """Send a span that ends now, below another."""
        ends_at = self.clock.now()
        span = Span(
            name, parent.below(), parent.span_id, starts_at, ends_at, attributes, links, kind
        )
        self.tell(span)

    def tell_steps(self, context: TraceContext, steps: Steps, attributes: Attributes) -> None:
        """Send the parts of a piece of work as spans below it."""
        for name, starts_at, ends_at in steps.taken:
            self.tell(Span(name, context.below(), context.span_id, starts_at, ends_at, attributes))


def fragment_attributes(camera: str, epoch: str, fragment: int) -> dict[str, str | int | float]:
    """What every span of a fragment says of it."""
    return {"cradle.camera": camera, "cradle.epoch": epoch, "cradle.fragment": fragment}


def identity_attributes(reference: FragmentReference) -> dict[str, str | int | float]:
    """The same, of a reference."""
    return fragment_attributes(reference.camera, reference.epoch, reference.fragment)


def start(
    settings: TracingSettings, stage: Stage, worker: str, clock: Clock, log: Log
) -> Tracer | None:
    """The worker's tracer; None, and nothing is imported, unless it is configured.

    Rooms are recorded without it too: where it cannot be had the log says so.
    """
    if settings.endpoint is None:
        return None
    try:
        export = importlib.import_module("shared.spanexport")
        sink: SpanSink = export.SpanExport(settings, stage, worker, log)
    except ImportError as error:
        log.warning(
            "nothing is traced: the packages for it are not installed (cradle[tracing])",
            action="tracing.unusable",
            reason=str(error),
        )
        return None
    except Exception as error:  # OTEL_... variables are read by the library, which may refuse them
        log.warning(
            "nothing is traced: the exporter does not start; see the variables OTEL_...",
            action="tracing.unusable",
            reason=f"{type(error).__name__}: {error}",
        )
        return None
    return Tracer(settings.sample_ratio, sink, clock)
