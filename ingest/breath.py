"""For how long a camera may be left alone before its next packets are taken up.

To wake up for every RTP packet costs as much as all that is done with it, so packets are taken up
several at once; over TCP nothing is lost meanwhile. Only one thing cannot wait: the first frames of
a fragment, which close the live segment before it. So pauses are laid such that one ends when these
frames are there: the next key frame is expected one distance of key frames after the last, by the
source's own time, which is set against the machine's by the packets that came soonest. A camera
whose key frames come as they like is looked at ten times a second.
"""

import math
from typing import Final

from ingest.timeline import TICKS

LONGEST_SECONDS: Final = 0.2
UNSURE_SECONDS: Final = 0.1
"""Where it is not known when the next key frame comes, or it is overdue."""
AWAITED_FRAMES: Final = 5
"""After a key frame: the first batch holds four, and the muxer keeps one back."""


class Breath:
    """The pauses of one connection. Times are monotonic seconds."""

    def __init__(self, frames_per_second: float) -> None:
        self._frame_seconds = 1 / (frames_per_second or 25)
        self._key_seconds: float | None = None
        """Of the last key frame, on the source's clock."""
        self._distance_seconds: float | None = None
        """From the key frame before to the last."""
        self._frames = 0
        """Since the last key frame."""
        self._ahead = math.inf
        """By how much the machine's clock is ahead of the source's, of the soonest packet ..."""
        self._ahead_now = math.inf
        """... between the last two key frames, and since."""

    def took(self, ticks: int | None, is_key: bool, now: float) -> None:
        """A video packet was taken up, with its presentation time on the source's clock."""
        self._frames += 1
        if ticks is None:
            return
        seconds = ticks / TICKS
        self._ahead_now = min(self._ahead_now, now - seconds)
        if not is_key:
            return
        last, self._key_seconds = self._key_seconds, seconds
        self._distance_seconds = None if last is None else seconds - last
        self._ahead, self._ahead_now = self._ahead_now, math.inf
        self._frames = 1

    def pause_seconds(self, now: float) -> float:
        """How long nothing needs to be taken up; none before the first key frame has come."""
        if self._key_seconds is None:
            return 0.0
        due = self._key_seconds + self._ahead + self._frame_seconds * (AWAITED_FRAMES - 0.5)
        if self._frames < AWAITED_FRAMES:
            return min(max(due - now, self._frame_seconds), LONGEST_SECONDS)
        left = due + (self._distance_seconds or 0.0) - now
        if left <= 0:
            return UNSURE_SECONDS
        return left / math.ceil(left / LONGEST_SECONDS)
