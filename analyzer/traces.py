"""What the analyzer tells of a sample where tracing is configured.

Its message brings the context of one of its pictures' fragments. What follows from it carries that
on, or, where it is told, the context of the sample's own span.
"""

from collections.abc import Mapping
from typing import Any

from shared.messages import Sample
from shared.tracing import (
    MOST_LINKS,
    Span,
    Steps,
    TraceContext,
    Tracer,
    context_in,
    headers_after,
)


class SampleTrace:
    """One sample on its way. Used by one thread."""

    def __init__(self, tracer: Tracer | None, headers: Mapping[str, Any]) -> None:
        self._tracer = tracer
        self._parent = context_in(headers)
        self._context: TraceContext | None = None
        self.steps: Steps | None = None
        if tracer is not None and self._parent is not None and self._parent.sampled:
            self._context = self._parent.below()
            self.steps = Steps(tracer.clock)
        self.headers = headers_after(self._context or self._parent)
        """Of messages that follow from this one."""
        self.trace_id = None if self._context is None else self._context.trace_id
        """Where the sample is told."""

    def tell(self, sample: Sample, became: str) -> None:
        """It has been handled."""
        tracer, parent, context, steps = self._tracer, self._parent, self._context, self.steps
        if tracer is None or parent is None or context is None or steps is None:
            return
        steps.end()
        last = sample.pictures[-1]
        attributes = {"cradle.camera": sample.camera, "cradle.epoch": last.epoch}
        others = [tracer.of(picture) for picture in sample.pictures]
        links = [each for each in others if each.sampled and each.trace_id != self.trace_id]
        tracer.tell(
            Span(
                name="analyze sample",
                context=context,
                parent_id=parent.span_id,
                starts_at=steps.began_at,
                ends_at=steps.ends_at,
                attributes={
                    **attributes,
                    "cradle.fragment": last.fragment,
                    "cradle.pictures": len(sample.pictures),
                    "cradle.outcome": became,
                },
                links=tuple(links[:MOST_LINKS]),
                kind="consumer",
            )
        )
        tracer.tell_steps(context, steps, attributes)
