"""What is stored, as stretches of unbroken footage on a millisecond scale.

A manifest lists its fragments with start and duration. Consecutive fragments of one epoch are one
stretch when no more than one frame's length lies between them: a duration ends where the last
frame would end at the announced rate, and a camera that runs slower, or jitters, begins its next
frame a little later. That frame's length is the longer of the announced one and the mean of the
fragments beside the hole, rounded up, plus a millisecond for rounding. A wider hole is a gap.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from shared.clock import milliseconds
from shared.manifest import Manifest

DEFAULT_RATE = 25.0
"""Frames per second where a stream announces none, as ingest assumes."""


@dataclass(frozen=True, order=True)
class Span:
    """From `starts` to `ends`, the latter excluded; milliseconds since 1970, UTC."""

    starts: int
    ends: int

    @property
    def milliseconds(self) -> int:
        return self.ends - self.starts


@dataclass(frozen=True, order=True)
class Stretch:
    """Fragments `first`..`last` of an epoch, without a gap between them. Times as in Span."""

    epoch: str
    first: int
    last: int
    starts: int
    ends: int
    frame_milliseconds: int
    """The longest that may lie between it and the next without being a gap."""


def stretches_of(manifest: Manifest) -> list[Stretch]:
    """The footage of one clip."""
    announced = 1000 / (manifest.stream.frames_per_second or DEFAULT_RATE)
    return join(
        Stretch(
            epoch=manifest.epoch,
            first=each.fragment,
            last=each.fragment,
            starts=milliseconds(each.captured_at),
            ends=milliseconds(each.ends_at),
            frame_milliseconds=math.ceil(max(announced, each.duration_seconds * 1000 / each.frames))
            + 1,
        )
        for each in manifest.fragments
    )


def join(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Put together what is consecutive, sorted by epoch and number; equal ones become one."""
    joined: list[Stretch] = []
    for each in sorted(stretches):
        before = joined[-1] if joined else None
        if before is not None and _continues(before, each):
            joined[-1] = replace(
                before,
                last=each.last,
                ends=max(before.ends, each.ends),
                frame_milliseconds=each.frame_milliseconds,
            )
        elif before is None or each.epoch != before.epoch or each.last > before.last:
            joined.append(each)
    return joined


def _continues(before: Stretch, after: Stretch) -> bool:
    tolerance = max(before.frame_milliseconds, after.frame_milliseconds)
    return (before.epoch, before.last + 1) == (
        after.epoch,
        after.first,
    ) and after.starts - before.ends <= tolerance


def union(spans: Iterable[Span], within: Span) -> list[Span]:
    """The parts of `within` that any of the spans covers, sorted and apart from each other."""
    found: list[Span] = []
    for each in sorted(spans):
        starts, ends = max(each.starts, within.starts), min(each.ends, within.ends)
        if starts >= ends:
            continue
        if found and starts <= found[-1].ends:
            found[-1] = Span(found[-1].starts, max(found[-1].ends, ends))
        else:
            found.append(Span(starts, ends))
    return found


def rest(covered: list[Span], within: Span) -> Iterator[Span]:
    """What a `union` leaves of `within`."""
    position = within.starts
    for each in covered:
        if each.starts > position:
            yield Span(position, each.starts)
        position = each.ends
    if position < within.ends:
        yield Span(position, within.ends)
