"""What the encoder tells of a fragment where tracing is configured: from batch to playlist.

A fragment's first batch brings its context; when a segment that holds its first frame is in the
playlist, its span is told. What was left out never comes: it is told as not shown, once a segment
behind it is there.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from encoder.cursor import begins_fragment
from encoder.playlist import Segment
from encoder.timing import SNAP_SECONDS
from shared.messages import Batch
from shared.tracing import TraceContext, Tracer, context_in, identity_attributes

MOST_WAITING: Final = 32


class SegmentTraces:
    """Of one camera. Used by the loop's thread."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._waiting: deque[tuple[TraceContext, Batch, datetime]] = deque(maxlen=MOST_WAITING)

    def arrived(self, batch: Batch, headers: dict[str, Any]) -> None:
        """A message has come."""
        context = context_in(headers) if begins_fragment(batch) else None
        if context is not None and context.sampled:
            self._waiting.append((context, batch, self._tracer.clock.now()))

    def published(self, segments: Sequence[Segment]) -> None:
        """These are in the playlist."""
        for segment in segments:
            while self._waiting:
                context, batch, since = self._waiting[0]
                behind = (batch.captured_at - segment.captured_at).total_seconds()
                if behind >= segment.duration_seconds - SNAP_SECONDS:
                    break
                self._waiting.popleft()
                outcome = "shown" if behind >= -SNAP_SECONDS else "not shown"
                self._tell(context, batch, since, outcome)

    def _tell(self, context: TraceContext, batch: Batch, since: datetime, outcome: str) -> None:
        identity = identity_attributes(batch)
        attributes = {**identity, "cradle.outcome": outcome}
        self._tracer.tell_below(context, "show fragment", since, attributes)
