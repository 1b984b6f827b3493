"""The time of one epoch: where each packet stands, and when a new epoch must begin.

Sources count time as they like. An epoch's own timeline is 90 kHz ticks, zero at its first key
frame plus `BASE_TICKS`, so that decode times before it stay positive; the wall clock is read once,
at that key frame. Small faults are mended (a missing, repeated or absurd timestamp), large ones end
the epoch: time that runs backwards, media that leaves the machine's time by over 5 s, a stepped
wall clock. Media that comes late is no fault until it stays late: networks stall and catch up.
Pure but for the clock it is given.
"""

from datetime import datetime, timedelta

from shared.clock import Clock

TICKS = 90_000
"""Per second, the resolution of MPEG-TS."""
BASE_TICKS = 10 * TICKS
DRIFT_SECONDS = 5.0
LATE_SECONDS = 10.0
"""For so long media may be over `DRIFT_SECONDS` late before it is drift and not a stall."""
REORDER_SECONDS = 4.0
"""A frame is shown at most this long after it is decoded; what says more is wrong."""
BACKWARD_SECONDS = 1.0
"""Timestamps that run back by less are mended, as are wall clock steps that small."""
LONGEST_EPOCH_SECONDS = 12 * 3600.0
"""33-bit timestamps wrap after 26.5 h."""


class EpochOver(Exception):
    """This packet cannot belong to the epoch; the next key frame begins a new one.

    Not an error: its text is the reason, in words.
    """


Place = tuple[int, int]
"""Presentation and decode time of a packet on the epoch's timeline, in ticks."""


class Timeline:
    """The timeline of one epoch, begun by its first key frame."""

    def __init__(self, clock: Clock, first_ticks: int, frame_ticks: int) -> None:
        """`first_ticks`: the key frame's time on the source's clock. `frame_ticks`: a guess."""
        self._clock = clock
        self._shift = BASE_TICKS - first_ticks
        self._frame_ticks = max(frame_ticks, 1)
        self.began_at: datetime = clock.now()
        self._began = clock.monotonic()
        self._video_dts: int | None = None
        self._audio_dts: int | None = None
        self._late_since: float | None = None
        self.mended = 0
        """Timestamps that were missing or out of order and have been mended."""

    def video(self, pts: int | None, dts: int | None) -> Place:
        """Place a video packet (ticks on the source's clock). Raises EpochOver."""
        decode = None if dts is None else dts + self._shift
        show = None if pts is None else pts + self._shift
        last = self._video_dts
        if decode is not None and show is not None:
            decode, show = self._credible(decode, show)
        if decode is None:
            decode = show if last is None or (show is not None and show > last) else None
        if last is None and decode is not None and not 0 < decode < 2 * BASE_TICKS:
            decode = show = None
        if decode is None:
            self.mended += 1
            decode = BASE_TICKS if last is None else last + self._frame_ticks
        if last is not None and decode <= last:
            if last - decode > BACKWARD_SECONDS * TICKS:
                raise EpochOver(f"timestamps ran {(last - decode) / TICKS:.1f} s backwards")
            self.mended += 1
            decode = last + 1
        self._check_drift(decode)
        if show is None:
            show = decode
        self._video_dts = decode
        return max(show, decode), decode

    def _credible(self, decode: int, show: int) -> tuple[int | None, int | None]:
        """Both times if they can belong together, else the one that follows what came before."""
        if _is_near(decode, show):
            return decode, show
        self.mended += 1
        last = BASE_TICKS if self._video_dts is None else self._video_dts
        return (decode, None) if abs(decode - last) <= abs(show - last) else (None, show)

    def audio(self, pts: int | None) -> Place | None:
        """Place an audio packet; None if it has no sensible place and is dropped."""
        last = self._audio_dts
        beside = self._video_dts
        if pts is None or beside is None:
            return None
        show = pts + self._shift
        if abs(show - beside) > 2 * DRIFT_SECONDS * TICKS or show <= (last or 0):
            return None
        self._audio_dts = show
        return show, show

    def captured_at(self, place: Place) -> datetime:
        """Capture time of a frame, UTC."""
        return captured_at(self.began_at, place[0])

    def check_clock(self) -> None:
        """To be called at key frames. Raises EpochOver when a new epoch is due."""
        elapsed = self._clock.monotonic() - self._began
        if elapsed > LONGEST_EPOCH_SECONDS:
            raise EpochOver("the epoch is 12 h old")
        step = (self._clock.now() - self.began_at).total_seconds() - elapsed
        if step < -BACKWARD_SECONDS or step > DRIFT_SECONDS:
            raise EpochOver(f"the wall clock was stepped by {step:+.1f} s")

    def _check_drift(self, decode: int) -> None:
        now = self._clock.monotonic()
        drift = (decode - BASE_TICKS) / TICKS - (now - self._began)
        if drift >= -DRIFT_SECONDS:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now
        late = self._late_since is not None and now - self._late_since > LATE_SECONDS
        if late or drift > DRIFT_SECONDS:
            raise EpochOver(f"media time is {drift:+.1f} s off the machine's time")


def _is_near(one: int, other: int) -> bool:
    return abs(one - other) <= REORDER_SECONDS * TICKS


def captured_at(began_at: datetime, pts: int) -> datetime:
    """Capture time of a frame of an epoch that began at `began_at`, to the millisecond."""
    return began_at + timedelta(milliseconds=round((pts - BASE_TICKS) * 1000 / TICKS))
