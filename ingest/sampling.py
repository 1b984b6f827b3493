"""Chooses key frames for analysis: a few of each interval, evenly spread. Pure.

Sampling is ingest's, so that analyzers keep no state: a sample carries the last picture of the
interval before, for the change gate, and says when it is to be judged in any case. Intervals are
slots of the wall clock, shifted for each camera by a share of its id: the samples of many cameras
then come one after the other, and do not push each other out of a queue of 32.
"""

from datetime import datetime, timedelta
from zlib import crc32

from shared.messages import Fragment, Picture, Sample


class Sampler:
    """Gathers the closed fragments of one camera into samples."""

    def __init__(self, interval_seconds: float, pictures: int, heartbeat_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._pictures = pictures
        self._heartbeat = timedelta(seconds=heartbeat_seconds)
        self._slot: int | None = None
        self._starts_at: datetime | None = None
        self._gathered: list[Picture] = []
        self._previous: Picture | None = None
        self._beat_at: datetime | None = None

    def add(self, fragment: Fragment) -> Sample | None:
        """Take note of a closed fragment; a sample when an interval is over."""
        sample = None
        moment = fragment.captured_at
        slot = slot_of(fragment.camera, moment, self._interval_seconds)
        if self._starts_at is not None and slot != self._slot:
            sample = self._finish(self._starts_at)
        self._slot = slot
        if self._starts_at is None:
            self._starts_at = moment
        self._gathered.append(
            Picture(
                camera=fragment.camera,
                epoch=fragment.epoch,
                fragment=fragment.fragment,
                path=fragment.path,
                bytes=fragment.key_frame_bytes,
                captured_at=moment,
            )
        )
        return sample

    def _finish(self, starts_at: datetime) -> Sample:
        chosen = spread(self._gathered, self._pictures)
        last = chosen[-1]
        beats = self._beat_at is None or last.captured_at - self._beat_at >= self._heartbeat
        if beats:
            self._beat_at = last.captured_at
        sample = Sample(
            camera=last.camera,
            starts_at=starts_at,
            ends_at=last.captured_at,
            pictures=chosen,
            previous=self._previous,
            heartbeat=beats,
        )
        self._previous = last
        self._gathered = []
        self._starts_at = None
        return sample


def slot_of(camera: str, moment: datetime, interval_seconds: float) -> int:
    """Number of the interval in which `moment` lies, for this camera."""
    shift_seconds = crc32(camera.encode()) / 2**32 * interval_seconds
    return int((moment.timestamp() - shift_seconds) // interval_seconds)


def spread(pictures: list[Picture], count: int) -> list[Picture]:
    """`count` of `pictures` (all, if fewer), evenly spread, the last always among them."""
    if len(pictures) <= count:
        return list(pictures)
    return [pictures[(index + 1) * len(pictures) // count - 1] for index in range(count)]
