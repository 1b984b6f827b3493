"""One epoch on its way to the disk: packets in, batches, fragments and the epoch's end out.

A key frame begins a new fragment. At most every `batch_seconds`, and as soon as the first four
frames of a fragment are there, what has gathered is written and announced as a batch; it is written
twice as often as it is announced, since what lies unread or unwritten is what a kill costs. A
fragment that is full is handed on as closed: the index makes it durable before anybody is told.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ingest import figures
from ingest.feed import Feed, MediaPacket
from ingest.fragment import CannotCarry, GrowingFragment, Memory
from ingest.timeline import TICKS, Place, Timeline
from shared.clock import Clock
from shared.errors import SourceFailed
from shared.identity import fragment_path
from shared.messages import Batch, EpochEnd, Fragment, StreamParameters

SHORTEST_FRAGMENT_SECONDS = 0.4
"""A camera with many key frames gets several of them in one fragment."""
LARGEST_FRAGMENT_BYTES = 256 * 1024 * 1024
LONGEST_FRAGMENT_SECONDS = 120.0
MOST_DAMAGED = 50
"""Damaged packets one after the other."""
FIRST_BATCH_FRAMES = 4
"""ffmpeg's demuxer passes a frame on once it has seen the next two begin; so three frames let the
key frame through, which closes the segment before. Where sound lags the picture by 0.1 s or more
the muxer wants one frame more: with three the delay was 1.6 s, with four 1.1 s (measured)."""


@dataclass(frozen=True)
class ClosedFragment:
    """A fragment whose bytes are written but not yet known to be on the disk."""

    file: int
    """Open descriptor; the index syncs and closes it."""
    record: Fragment


@dataclass(frozen=True)
class BrokenEpoch:
    """An epoch whose last fragment could not be finished: recovery closes it from its bytes."""

    camera: str
    epoch: str
    reason: str


Closing = ClosedFragment | EpochEnd | BrokenEpoch


@dataclass(frozen=True)
class Outlets:
    """Where a recording says what it has written."""

    batch: Callable[[Batch], None]
    closed: Callable[[Closing], None]
    """Raises SourceFailed if the epoch takes no more."""


class Recording:
    """Writes one epoch. Used by one thread."""

    def __init__(
        self,
        folder: Path,
        feed: Feed,
        parameters: StreamParameters,
        timeline: Timeline,
        clock: Clock,
        batch_seconds: float,
        outlets: Outlets,
    ) -> None:
        """`folder` is `<root>/<camera>/<epoch>` and exists."""
        self._folder = folder
        self._camera, self.epoch = folder.parent.name, folder.name
        self._feed = feed
        self.parameters = parameters
        self._timeline = timeline
        self._clock = clock
        self._batch_seconds = batch_seconds
        self._outlets = outlets
        self._frame_ticks = round(TICKS / (parameters.frames_per_second or 25))
        self._number = 0
        self._part = 0
        self._batched_at = self._written_at = clock.monotonic()
        self._memory = Memory()
        self._open: GrowingFragment | None = None
        self._end_pts: int | None = None
        self._damaged = 0

    @property
    def has_key_frame(self) -> bool:
        """A fragment is open; without one nothing is kept until the next key frame."""
        return self._open is not None

    def video(self, packet: MediaPacket, place: Place, is_key: bool) -> None:
        """Append a video packet; a key frame may begin a new fragment. Raises SourceFailed."""
        fragment = self._open
        if is_key and (fragment is None or self._is_full(fragment, place)):
            self._close_fragment()
            fragment = self._begin(place[0])
        if fragment is None or not self._carry(fragment.video, packet, place):
            return
        self._announce_if_due(fragment)
        if (
            fragment.bytes > LARGEST_FRAGMENT_BYTES
            or place[0] - fragment.first_pts > LONGEST_FRAGMENT_SECONDS * TICKS
        ):
            raise SourceFailed("no key frame came for 120 s or 256 MiB")

    def audio(self, packet: MediaPacket, place: Place) -> None:
        """Append a sound packet to the fragment that is open, if one is. Raises SourceFailed."""
        fragment = self._open
        if fragment is not None and self._carry(fragment.audio, packet, place):
            self._announce_if_due(fragment)

    def close(self, reason: str) -> None:
        """End the epoch: the open fragment is closed as it is."""
        self._close_fragment()
        end = self._end_pts
        moment = self._timeline.began_at if end is None else self._timeline.captured_at((end, end))
        self._outlets.closed(
            EpochEnd(
                camera=self._camera,
                epoch=self.epoch,
                fragments=self._number,
                ended_at=moment,
                reason=reason[:300],
            )
        )

    def broken(self, reason: str) -> BrokenEpoch:
        """Give up after `close` failed: what is in the file is left to recovery."""
        return BrokenEpoch(self._camera, self.epoch, reason)

    def _carry(
        self, mux: Callable[[MediaPacket, Place], None], packet: MediaPacket, place: Place
    ) -> bool:
        """False if the packet is damaged. Raises SourceFailed if one after the other is."""
        try:
            mux(packet, place)
        except CannotCarry as error:
            figures.DROPPED.labels(self._camera, figures.DAMAGED).inc()
            self._damaged += 1
            if self._damaged > MOST_DAMAGED:
                raise SourceFailed(f"the packets cannot be carried: {error}") from error
            return False
        self._damaged = 0
        return True

    def _is_full(self, fragment: GrowingFragment, place: Place) -> bool:
        return place[0] - fragment.first_pts >= SHORTEST_FRAGMENT_SECONDS * TICKS

    def _begin(self, pts: int) -> GrowingFragment:
        path = self._folder / f"{self._number:06d}.ts"
        self._open = GrowingFragment(path, self._feed, pts, self._memory)
        self._part = 0
        self._batched_at = self._written_at = self._clock.monotonic()
        return self._open

    def _announce_if_due(self, fragment: GrowingFragment) -> None:
        is_first = not fragment.bytes and fragment.muxed_frames >= FIRST_BATCH_FRAMES
        now = self._clock.monotonic()
        if (is_first and fragment.waiting_frames >= FIRST_BATCH_FRAMES) or (
            now - self._batched_at >= self._batch_seconds
        ):
            self._announce(fragment, fragment.write)
        elif fragment.bytes and now - self._written_at >= self._batch_seconds / 2:
            self._write(fragment, fragment.write)

    def _write(self, fragment: GrowingFragment, write: Callable[[], None]) -> None:
        self._written_at = self._clock.monotonic()
        try:
            write()
        except CannotCarry:  # there is no key frame in it: what follows cannot be decoded
            figures.DROPPED.labels(self._camera, figures.DAMAGED).inc(fragment.muxed_frames)
            fragment.discard()
            self._open = None

    def _announce(self, fragment: GrowingFragment, write: Callable[[], None]) -> None:
        self._write(fragment, write)
        self._batched_at = self._written_at
        written = fragment.take_written()
        if written is None or self._open is None:
            return
        self._outlets.batch(
            Batch(
                camera=self._camera,
                epoch=self.epoch,
                fragment=self._number,
                path=fragment_path(self._camera, self.epoch, self._number),
                part=self._part,
                offset=written.offset,
                bytes=written.bytes,
                frames=written.frames,
                captured_at=self._timeline.captured_at((written.first_pts, written.first_pts)),
                written_at=self._clock.now(),
                stream=self.parameters,
            )
        )
        self._part += 1

    def _close_fragment(self) -> None:
        fragment = self._open
        if fragment is None:
            return
        try:
            self._announce(fragment, fragment.finish)
        except SourceFailed:
            self._open = None
            os.close(fragment.file)
            raise
        if self._open is None:
            return
        self._open = None
        first, self._end_pts = fragment.first_pts, fragment.last_pts + self._frame_ticks
        record = Fragment(
            camera=self._camera,
            epoch=self.epoch,
            fragment=self._number,
            path=fragment_path(self._camera, self.epoch, self._number),
            bytes=fragment.bytes,
            frames=fragment.frames,
            captured_at=self._timeline.captured_at((first, first)),
            duration_seconds=(self._end_pts - first) / TICKS,
            key_frame_bytes=fragment.key_frame_bytes or fragment.bytes,
            stream=self.parameters,
        )
        self._number += 1
        self._outlets.closed(ClosedFragment(fragment.file, record))
