"""A day of one camera, computed from what the bucket says: stored, or missing with a reason.

Every millisecond between the day's first (local midnight) and its last (the next one, or now) gets
exactly one answer:

1. stored: a committed clip holds it (`footage.py` says when two frames lie too far apart);
2. not yet recording: before the first epoch ever of this camera;
3. not yet stored: the last ARRIVAL_SECONDS, in which the bucket cannot know anything yet;
4. in an epoch (from its begin to its recorded end): the fragments that should lie there by their
   numbers are lost (a FragmentsLost record explains its span), in a clip that cannot be read,
   expired, not yet stored (their window closed less than its grace and STORING_SECONDS ago, or they
   may still come from a host that is away), or unknown; if no number is missing, the source sent no
   frames;
5. between epochs: the reason of the EpochEnded record before it;
6. what is left takes the reason of a manifest's gap or of an EmptyWindow there, else it is unknown.

An epoch whose end is not recorded lasts until the next one begins. Everything here is pure.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final, Self

from shared.clipfolder import LONGEST_CLIP_SECONDS
from shared.clock import milliseconds
from shared.config import Settings
from shared.coverage.causes import Cause, cause_of
from shared.coverage.epochs import Epoch, Unreadable, epochs_of
from shared.coverage.footage import Span, Stretch, rest, union
from shared.custody import CustodyRecord, EmptyWindow, FragmentsLost
from shared.manifest import Gap

ARRIVAL_SECONDS: Final = 30.0
"""From the camera to the first word of it in the bucket."""
STORING_SECONDS: Final = 600.0
"""From the end of a window to its clip, conversion and a few retries included."""


@dataclass(frozen=True)
class Evidence:
    """What the bucket says of one camera around one day."""

    camera: str
    stretches: tuple[Stretch, ...] = ()
    records: tuple[CustodyRecord, ...] = ()
    gaps: tuple[Gap, ...] = ()
    """Of the manifests."""
    unreadable: tuple[Unreadable, ...] = ()
    damaged_records: tuple[str, ...] = ()
    """Sentences about custody records that cannot be read."""
    recording_since: int | None = None
    """When the first epoch ever began, milliseconds; None if none did."""

    @property
    def gaps_and_windows(self) -> Iterator[Gap | EmptyWindow]:
        """Whatever else says why a time is without footage."""
        yield from self.gaps
        yield from (each for each in self.records if isinstance(each, EmptyWindow))


@dataclass(frozen=True)
class Rules:
    """The part of the configuration that decides what may still be on its way, or is gone."""

    clip_seconds: int
    grace_seconds: float
    retention_days: int
    awaited_seconds: float = 0.0
    """How long fragments may be on a host that is away; 0 where all stages share a disk."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        archive, frames = settings.archive, settings.frames
        return cls(
            archive.clip_seconds,
            archive.grace_seconds,
            archive.retention_days,
            0.0 if frames.bucket is None else frames.awaited_seconds,
        )


@dataclass(frozen=True)
class Reason:
    """Why something is not stored."""

    cause: Cause
    words: str
    recorded: bool = False
    """The footage was captured."""


@dataclass(frozen=True)
class Hole:
    """A time of which nothing is stored."""

    span: Span
    reason: Reason


@dataclass(frozen=True)
class Coverage:
    """The answer for one day: `stored` and `holes` together are exactly `day`."""

    camera: str
    day: Span
    stored: tuple[Span, ...]
    holes: tuple[Hole, ...]

    @property
    def missing(self) -> list[Hole]:
        return [hole for hole in self.holes if hole.reason.cause is not Cause.PENDING]

    @property
    def pending(self) -> list[Hole]:
        return [hole for hole in self.holes if hole.reason.cause is Cause.PENDING]

    @property
    def stored_milliseconds(self) -> int:
        return sum(span.milliseconds for span in self.stored)

    @property
    def missing_milliseconds(self) -> int:
        return sum(hole.span.milliseconds for hole in self.missing)

    @property
    def pending_milliseconds(self) -> int:
        return sum(hole.span.milliseconds for hole in self.pending)

    @property
    def captured_milliseconds(self) -> int:
        """Stored, or missing though it was recorded."""
        return self.stored_milliseconds + sum(
            hole.span.milliseconds for hole in self.missing if hole.reason.recorded
        )


def cover(evidence: Evidence, day: Span, now: datetime, rules: Rules) -> Coverage:
    """Account for `day`, which ends by `now`."""
    stored = union((Span(each.starts, each.ends) for each in evidence.stretches), day)
    ledger = _Ledger(evidence, now, rules)
    pieces = (
        Hole(piece, ledger.reason(piece.starts))
        for span in rest(stored, day)
        for piece in _cut(span, ledger.cuts)
    )
    return Coverage(evidence.camera, day, tuple(stored), tuple(_merge(pieces)))


def _cut(span: Span, cuts: list[int]) -> Iterator[Span]:
    inside = cuts[bisect_right(cuts, span.starts) : bisect_right(cuts, span.ends - 1)]
    for starts, ends in pairwise([span.starts, *inside, span.ends]):
        yield Span(starts, ends)


def _merge(pieces: Iterable[Hole]) -> list[Hole]:
    merged: list[Hole] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if last and (last.span.ends, last.reason) == (piece.span.starts, piece.reason):
            merged[-1] = Hole(Span(last.span.starts, piece.span.ends), piece.reason)
        else:
            merged.append(piece)
    return merged


_LONGEST_CLIP: Final = LONGEST_CLIP_SECONDS * 1000
_PENDING: Final = Reason(Cause.PENDING, "may still be on its way")
_AWAITED: Final = Reason(Cause.PENDING, "may still lie in the spool of a host that is away")


class _Ledger:
    """Says why a moment is not stored. Between two `cuts` the answer is one."""

    def __init__(self, evidence: Evidence, now: datetime, rules: Rules) -> None:
        self._since = evidence.recording_since
        self._epochs = epochs_of(evidence.stretches, evidence.records, evidence.unreadable)
        self._began = [epoch.began for epoch in self._epochs]
        self._gaps = sorted(
            (milliseconds(gap.starts_at), milliseconds(gap.ends_at), gap.reason)
            for gap in evidence.gaps_and_windows
        )
        instant = milliseconds(now)
        window = rules.clip_seconds * 1000
        storing = round((rules.grace_seconds + STORING_SECONDS) * 1000)
        self._arrival = instant - round(ARRIVAL_SECONDS * 1000)
        self._awaited_since = instant - round(rules.awaited_seconds * 1000)
        self._open_since = (instant - storing) // window * window
        kept = (now - timedelta(days=rules.retention_days)).astimezone(UTC)
        self._kept_since = milliseconds(kept.replace(hour=0, minute=0, second=0, microsecond=0))

    @cached_property
    def cuts(self) -> list[int]:
        """Moments at which the answer may change, sorted."""
        cuts = {self._arrival, self._open_since, self._kept_since}
        cuts.add(self._kept_since + _LONGEST_CLIP)
        if self._since is not None:
            cuts.add(self._since)
        for epoch in self._epochs:
            cuts |= {epoch.began, epoch.ended}
            cuts |= {moment for item in epoch.items for moment in (item.starts, item.ends)}
        for starts, ends, _ in self._gaps:
            cuts |= {starts, ends}
        return sorted(cuts)

    def reason(self, moment: int) -> Reason:
        """Why `moment`, which no clip holds, is not stored."""
        if self._since is None or moment < self._since:
            return Reason(Cause.NOT_RECORDING, "before the first recording of this camera")
        if moment >= self._arrival:
            return _PENDING
        begun = self._epochs[: bisect_right(self._began, moment)]
        for epoch in reversed(begun):
            if moment < epoch.ended:
                found = self._inside(epoch, moment)
                if found is not None:
                    return found
        for epoch in reversed(begun):
            if not epoch.is_before_first(moment):
                return self._after(epoch, moment)
        return self._fallback(moment, "no record says what was before")

    def _inside(self, epoch: Epoch, moment: int) -> Reason | None:
        """None if nothing of the epoch is missing there: it lies before or after its frames."""
        before, after = epoch.around(moment)
        first = 0 if before is None else before.last + 1
        last = after.first - 1 if after is not None else epoch.last_number
        is_in_lost = before is not None and before.lost is not None and moment < before.ends
        if not is_in_lost and (last is None or first <= last):
            return self._not_stored(epoch, moment, first, last)
        if before is None or (after is None and not is_in_lost):
            return None
        lost = before.lost or (after.lost if after is not None else None)
        if lost is not None:
            return _lost(lost)
        return Reason(Cause.CAMERA_SILENT, "the source sent no frames")

    def _not_stored(self, epoch: Epoch, moment: int, first: int, last: int | None) -> Reason:
        """Why fragments `first`..`last` (None: nobody knows how far) are in no clip."""
        for clip in epoch.unreadable:
            if first <= clip.first and (last is None or clip.first <= last):
                return Reason(Cause.UNREADABLE, clip.words, recorded=True)
        if self._has_expired(epoch, moment):
            return Reason(Cause.EXPIRED, "older than archive.retention_days", recorded=True)
        if moment >= self._open_since:
            return _PENDING
        if last is None:
            words = f"nothing is stored, and no record says how epoch {epoch.id} went on"
            return self._fallback(moment, words)
        _, after = epoch.around(moment)
        if (epoch.ended if after is None else after.starts) > self._awaited_since:
            return _AWAITED
        words = f"fragments {first}-{last} of epoch {epoch.id} are in no clip, no record says why"
        return Reason(Cause.UNKNOWN, words, recorded=True)

    def _has_expired(self, epoch: Epoch, moment: int) -> bool:
        before, _ = epoch.around(moment)
        hole_starts = epoch.began if before is None else before.ends
        # A clip that began on the last expired day reaches into the first kept one.
        until = self._kept_since + (_LONGEST_CLIP if hole_starts < self._kept_since else 0)
        return moment < until

    def _after(self, epoch: Epoch, moment: int) -> Reason:
        if epoch.end is None:
            words = f"no record says how epoch {epoch.id} ended"
            return self._fallback(moment, words)
        return Reason(cause_of(epoch.end.reason), epoch.end.reason)

    def _fallback(self, moment: int, words: str) -> Reason:
        for starts, ends, reason in self._gaps:
            if starts <= moment < ends:
                return Reason(cause_of(reason), reason)
        return Reason(Cause.UNKNOWN, words)


def _lost(record: FragmentsLost) -> Reason:
    cause = cause_of(record.reason)
    words = (
        f"fragments {record.first}-{record.last} of epoch {record.epoch}: "
        f"{record.reason} (says {record.by})"
    )
    return Reason(Cause.LOST if cause is Cause.OTHER else cause, words, recorded=True)
