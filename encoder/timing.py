"""When the segments of one generation were captured, and how long they really last.

ffmpeg says only how far apart the key frames are that begin a segment and the next. Capture times
come from the batches that were fed. Where batches were left out, ffmpeg counts the hole as part of
the segment before it: that segment ends with its last frame, and the next begins anew, behind a
discontinuity, when the key frame after the hole was captured.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from encoder.cursor import begins_fragment
from shared.messages import Batch

SNAP_SECONDS: Final = 0.25
"""A segment that begins this close to a fragment begins with it."""

_NEAR: Final = timedelta(seconds=SNAP_SECONDS)
_USUAL_FRAME_SECONDS: Final = 1 / 30


@dataclass(frozen=True)
class Span:
    """What a segment holds."""

    captured_at: datetime
    """Capture time of its first frame, UTC."""
    duration_seconds: float
    after_hole: bool
    """Frames are missing between the segment before and this one."""


@dataclass(frozen=True)
class _Hole:
    begins_at: datetime
    ends_at: datetime


class SegmentTimes:
    """Takes batches as they are fed and lengths of segments as they come out."""

    def __init__(self, captured_at: datetime, *, carried: bool) -> None:
        """The first frame was captured at `captured_at`; `carried` frames keep their key frames."""
        self.open_since = captured_at
        """When the segment began that ffmpeg is writing, as far as it has told."""
        self._carried = carried
        self._marks: deque[datetime] = deque()
        self._holes: deque[_Hole] = deque()
        self._after_hole = False
        self._last: Batch | None = None
        self._last_key_frame_at = captured_at
        self._frame_seconds = 0.0

    def take(self, batch: Batch, *, after_hole: bool) -> None:
        """The batch is being fed; `after_hole`: what came before it was not."""
        last, self._last = self._last, batch
        if last is not None and after_hole:
            self._holes.append(_Hole(self._end_of(last), batch.captured_at))
        elif last is not None and last.frames:
            apart = (batch.captured_at - last.captured_at).total_seconds()
            self._frame_seconds = apart / last.frames
        if begins_fragment(batch):
            self._marks.append(batch.captured_at)
            self._last_key_frame_at = batch.captured_at

    def _end_of(self, batch: Batch) -> datetime:
        announced = batch.stream.frames_per_second
        usual = 1 / announced if announced else _USUAL_FRAME_SECONDS
        return batch.captured_at + timedelta(seconds=batch.frames * (self._frame_seconds or usual))

    def seconds_since_key_frame(self, batch: Batch) -> float:
        """From the last key frame known to be fed to the beginning of `batch`."""
        return (batch.captured_at - self._last_key_frame_at).total_seconds()

    def place(self, duration_seconds: float) -> Span:
        """What the next segment holds, of which ffmpeg says that it lasts so long."""
        captured_at = self._snapped(self.open_since)
        ends_at = self.open_since = captured_at + timedelta(seconds=duration_seconds)
        after_hole, self._after_hole = self._after_hole, False
        while self._holes and self._holes[0].ends_at <= ends_at + _NEAR:
            hole = self._holes.popleft()
            if abs(hole.ends_at - ends_at) <= _NEAR and hole.begins_at > captured_at:
                ends_at, self.open_since, self._after_hole = hole.begins_at, hole.ends_at, True
        return Span(captured_at, (ends_at - captured_at).total_seconds(), after_hole)

    def _snapped(self, expected: datetime) -> datetime:
        """When the fragment was captured that begins where a carried segment does, so that rounded
        durations never add up; `expected` if none does."""
        while self._marks and self._marks[0] < expected - _NEAR:
            self._marks.popleft()
        marked = bool(self._marks) and abs(self._marks[0] - expected) <= _NEAR
        return self._marks[0] if marked and self._carried else expected
