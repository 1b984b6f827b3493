"""What ingest tells of a fragment where tracing is configured: written, uploaded, published.

The times are those that are known anyway: when its first frame was captured, when its line stood in
the index, when it lay in the bucket that is the frame store, when the broker had it safe.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial

from shared.messages import Batch, Fragment, Sample
from shared.tracing import Span, TraceContext, Tracer, fragment_attributes, identity_attributes

_NUMBER = re.compile(rb'"fragment":(\d{1,7}),')

OnResult = Callable[[bool], None]
Headers = dict[str, str | int]


class FragmentTraces:
    """Of all cameras of a worker. From any thread."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def of_batch(self, batch: Batch) -> Headers:
        """Headers of its message."""
        return self._tracer.of(batch).headers

    def of_sample(self, sample: Sample) -> Headers:
        """Headers of its message."""
        return self._tracer.of_sample(sample).headers

    def written(self, record: Fragment) -> None:
        """Its line stands in the index."""
        context = self._tracer.of(record)
        if not context.sampled:
            return
        self._tracer.tell(
            Span(
                name="ingest fragment",
                context=context,
                parent_id=None,
                starts_at=record.captured_at,
                ends_at=self._tracer.clock.now(),
                attributes={
                    **identity_attributes(record),
                    "cradle.bytes": record.bytes,
                    "cradle.frames": record.frames,
                },
            )
        )

    def uploaded(self, record: Fragment) -> None:
        """It lies in the bucket: from its end, so that what it waited for others is in it."""
        context = self._tracer.of(record)
        if context.sampled:
            attributes = {**identity_attributes(record), "cradle.bytes": record.bytes}
            since = min(record.ends_at, self._tracer.clock.now())  # a camera's clock may be ahead
            self._tracer.tell_below(context, "upload fragment", since, attributes, kind="internal")

    def of_line(
        self, camera: str, epoch: str, line: bytes, on_result: OnResult
    ) -> tuple[Headers | None, OnResult]:
        """Headers of a line of the index that is being published, and who hears of its confirm."""
        found = _NUMBER.search(line)
        if found is None:  # the end of the epoch
            return None, on_result
        number = int(found[1])
        context = self._tracer.of_fragment(camera, epoch, number)
        if not context.sampled:
            return context.headers, on_result
        attributes = fragment_attributes(camera, epoch, number)
        since = self._tracer.clock.now()
        return context.headers, partial(self._published, context, since, attributes, on_result)

    def _published(
        self,
        context: TraceContext,
        since: datetime,
        attributes: dict[str, str | int | float],
        on_result: OnResult,
        good: bool,
    ) -> None:
        on_result(good)
        outcome = {"cradle.outcome": "confirmed" if good else "refused"}
        self._tracer.tell_below(
            context, "publish fragment", since, {**attributes, **outcome}, kind="producer"
        )
