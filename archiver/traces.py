"""What the archiver tells of fragments and clips where tracing is configured.

A fragment's message brings its context; for one that only the frame store has named it follows from
its identity. The clip's span stands in the trace of its first sampled fragment and links to others.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from archiver.book import Run
from archiver.clip import Clip
from archiver.commit import Commit
from shared.messages import Fragment
from shared.tracing import (
    MOST_LINKS,
    Span,
    TraceContext,
    Tracer,
    context_in,
    identity_attributes,
    span_id_of,
)

MOST_REMEMBERED: Final = 10_000


class ClipTraces:
    """Of one camera. Main thread only."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._received: dict[tuple[str, int], tuple[TraceContext, datetime]] = {}
        """By epoch and fragment: the context, and when it came."""

    def received(self, fragment: Fragment, headers: Mapping[str, Any]) -> None:
        """A fragment was taken in."""
        context = context_in(headers) or self._tracer.of(fragment)
        self._received[fragment.epoch, fragment.fragment] = context, self._tracer.clock.now()
        if len(self._received) > MOST_REMEMBERED:
            del self._received[next(iter(self._received))]

    def context_of(self, clip: Clip) -> TraceContext | None:
        """The context of the clip's span; None if none of its fragments is sampled."""
        first = next((each for each in map(self._context, clip.fragments) if each.sampled), None)
        return None if first is None else first.below(span_id_of(clip.identity.manifest_key))

    def _context(self, fragment: Fragment) -> TraceContext:
        known = self._received.get((fragment.epoch, fragment.fragment))
        return self._tracer.of(fragment) if known is None else known[0]

    def stored(self, clip: Clip, commit: Commit) -> None:
        """The clip is committed and everybody was told."""
        self._tell_clip(clip, commit)
        key = commit.manifest.object_key
        links = () if clip.trace is None else (clip.trace,)
        self._tell_fragments(clip.fragments, {"cradle.outcome": "stored", "cradle.key": key}, links)

    def lost(self, fragments: Run, reason: str) -> None:
        """These will not be stored."""
        self._tell_fragments(fragments, {"cradle.outcome": "lost", "cradle.reason": reason}, ())

    def _tell_clip(self, clip: Clip, commit: Commit) -> None:
        if clip.trace is None or commit.steps is None:
            return
        contexts = [each for each in map(self._context, clip.fragments) if each.sampled]
        own = (each for each in contexts if each.trace_id == clip.trace.trace_id)
        parent = next(own, None)  # it may be forgotten meanwhile: then nobody knows its span
        manifest = commit.manifest
        attributes = {
            "cradle.camera": manifest.camera,
            "cradle.epoch": manifest.epoch,
            "cradle.key": manifest.object_key,
        }
        self._tracer.tell(
            Span(
                name="commit clip",
                context=clip.trace,
                parent_id=None if parent is None else parent.span_id,
                starts_at=commit.steps.began_at,
                ends_at=commit.steps.ends_at,
                attributes={
                    **attributes,
                    "cradle.first": manifest.first,
                    "cradle.last": manifest.last,
                    "cradle.bytes": manifest.bytes,
                    "cradle.frames": manifest.frames,
                    "cradle.container": manifest.container,
                    "cradle.outcome": commit.outcome,
                },
                links=tuple(each for each in contexts if each is not parent)[:MOST_LINKS],
            )
        )
        self._tracer.tell_steps(clip.trace, commit.steps, attributes)

    def _tell_fragments(
        self, fragments: Run, outcome: Mapping[str, str], links: tuple[TraceContext, ...]
    ) -> None:
        now = self._tracer.clock.now()
        for each in fragments:
            known = self._received.pop((each.epoch, each.fragment), None)
            context, since = known or (self._tracer.of(each), now)
            if context.sampled:
                attributes = {**identity_attributes(each), **outcome}
                self._tracer.tell_below(context, "archive fragment", since, attributes, links=links)
