"""One run of one ffmpeg child: a folder, an input that is fed, segments that come out.

It is fed consecutive batches of one epoch, from a key frame on, without ever blocking. ffmpeg names
each segment on its standard output as soon as the file is complete. Batches that are left out do
not end a run that is carried: it goes on with a key frame, and only the playlist shows the hole.
When the run is over its input is closed, and what it held comes out as a last, short segment.
Health is judged by media: once a key frame went in that ends the open segment, that segment must
come out in time.
"""

import os
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from encoder.command import INIT_NAME, SPLIT_SHARE, Recipe, hls_command
from encoder.cursor import begins_fragment
from encoder.playlist import Segment
from encoder.silence import without_early_sound
from encoder.timing import SegmentTimes
from shared.child import Child
from shared.clock import Clock
from shared.errors import ChildFailed
from shared.framestore import FragmentReader
from shared.log import Log
from shared.messages import Batch
from shared.transport import PACKET_BYTES

PIPE_BYTES: Final = 512 * 1024
"""Of the input pipe: a batch fits. 100 of them stay below the kernel's limit for one user."""
SEGMENT_PATIENCE_SECONDS: Final = 10.0
"""A child that owes a segment, or takes no bytes, for this long is stuck."""
HELD_FRAMES: Final = 2
"""ffmpeg passes on a frame when it has seen the next two begin, and sound at once. Sound that it
passes on before the key frame after a hole would be in the segment before the hole."""
FLUSH_SECONDS: Final = 1.5
"""For the last segment, after the input was closed."""

_ATOMIC_BYTES: Final = 21 * PACKET_BYTES  # below 4096, a pipe takes all or nothing
_READ_BYTES: Final = 65536
_ROUNDING_SECONDS: Final = 0.01
_DURATION = re.compile(rb"#EXTINF:(\d+\.\d+),")
_NUMBER = re.compile(rb"(\d+)\.(?:ts|m4s)")


class SegmentNames:
    """Reads the playlists that ffmpeg writes one after the other; each names a few segments."""

    def __init__(self) -> None:
        self._unfinished = b""
        self._duration = 0.0
        self._last = -1

    def take(self, data: bytes) -> list[tuple[str, float]]:
        """Names and durations (seconds) of the segments that `data` is the first to name."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        found: list[tuple[str, float]] = []
        for line in lines:
            if duration := _DURATION.match(line):
                self._duration = float(duration[1])
            elif (number := _NUMBER.fullmatch(line)) and int(number[1]) > self._last:
                self._last = int(number[1])
                found.append((line.decode(), self._duration))
        return found


class Generation:
    """A running ffmpeg and what it has written."""

    def __init__(
        self,
        name: str,
        folder: Path,
        recipe: Recipe,
        captured_at: datetime,
        clock: Clock,
        log: Log,
    ) -> None:
        """Start it; the first frame was captured at `captured_at`. Raises ChildFailed."""
        self.name = name
        self.recipe = recipe
        self.ended = False
        """Everything that it wrote has been read."""
        self._times = SegmentTimes(captured_at, carried=not recipe.transcode)
        self._names = SegmentNames()
        self._finished: list[Segment] = []
        self._published = False
        self._clock = clock
        self._owing_since: float | None = None
        self._blocked_since: float | None = None
        self._closed_at: float | None = None
        self.child = Child(
            hls_command(recipe), name="ffmpeg", log=log, stdin=True, stdout=True, cwd=folder
        )
        self.child.enlarge_stdin(PIPE_BYTES)

    # -- in -----------------------------------------------------------------------------------

    def begin_batch(self, batch: Batch, *, after_hole: bool) -> None:
        """The first bytes of this batch were fed; `after_hole`: what came before it was not."""
        open_seconds = (batch.captured_at - self._times.open_since).total_seconds()
        if (
            begins_fragment(batch)
            and self._owing_since is None
            and open_seconds >= self.recipe.segment_seconds
        ):
            self._owing_since = self._clock.monotonic()
        self._times.take(batch, after_hole=after_hole)

    @property
    def bears_holes(self) -> bool:
        """Batches may be left out. An encoder would make up for the time with key frames."""
        return not self.recipe.transcode

    def splits_before(self, batch: Batch) -> bool:
        """ffmpeg would begin a segment with this batch, which begins at a key frame, whatever is
        left out before it: only between segments can a hole be shown."""
        least = self.recipe.segment_seconds * SPLIT_SHARE + _ROUNDING_SECONDS
        return self._times.seconds_since_key_frame(batch) >= least

    def feed(self, reader: FragmentReader, batch: Batch, sent: int, *, after_hole: bool) -> int:
        """Give it what follows the first `sent` bytes of a batch; says how many bytes it took, 0 if
        it takes none now.

        Raises ChildFailed if it is gone, FragmentGone, BadFragment.
        """
        try:
            if after_hole:
                data = without_early_sound(
                    reader.read(batch.path, batch.offset, batch.bytes), HELD_FRAMES
                )
                taken = os.write(self.child.stdin_fd, data[sent:])
            else:
                taken = reader.copy_to(
                    batch.path, batch.offset + sent, batch.bytes - sent, self.child.stdin_fd
                )
        except BlockingIOError:
            taken = 0
        except BrokenPipeError:
            raise ChildFailed("ffmpeg closed its input") from None
        if taken:
            self._blocked_since = None
        elif self._blocked_since is None:
            self._blocked_since = self._clock.monotonic()
        return taken

    def feed_silence(self, data: bytes) -> None:
        """Transport packets between two batches; left out where the pipe is full."""
        with suppress(OSError):  # a child that is gone shows at the next batch
            for start in range(0, len(data), _ATOMIC_BYTES):
                os.write(self.child.stdin_fd, data[start : start + _ATOMIC_BYTES])

    def finish(self) -> None:
        """No more input comes: let it write its last segment."""
        if self._closed_at is None:
            self._closed_at = self._clock.monotonic()
            self.child.close_stdin()

    # -- out ----------------------------------------------------------------------------------

    def read(self) -> None:
        """Take what it says on its standard output."""
        try:
            data = os.read(self.child.stdout_fd, _READ_BYTES)
        except BlockingIOError:
            return
        self.ended = not data
        for file, duration in self._names.take(data):
            self._add(file, duration)

    def _add(self, file: str, duration: float) -> None:
        span = self._times.place(duration)
        self._owing_since = None
        segment = Segment(
            uri=f"{self.name}/{file}",
            duration_seconds=span.duration_seconds,
            captured_at=span.captured_at,
            discontinuity=span.after_hole or not self._published,
            map_uri=f"{self.name}/{INIT_NAME}" if self.recipe.fragmented_mp4 else None,
        )
        self._published = True
        self._finished.append(segment)

    def take_segments(self) -> list[Segment]:
        """Segments that were finished since the last call, in order."""
        taken, self._finished = self._finished, []
        return taken

    # -- end ----------------------------------------------------------------------------------

    def overdue(self) -> str | None:
        """Why it must be killed, in a word; None while all is well."""
        now = self._clock.monotonic()
        for reason, since, patience in (
            ("no-segment", self._owing_since, SEGMENT_PATIENCE_SECONDS),
            ("blocked", self._blocked_since, SEGMENT_PATIENCE_SECONDS),
            ("no-end", self._closed_at, FLUSH_SECONDS),
        ):
            if since is not None and now - since > patience:
                return reason
        return None

    @property
    def closed(self) -> bool:
        """Its input was closed: that it ends is no failure."""
        return self._closed_at is not None

    def reap(self) -> tuple[int, str]:
        """Its exit status and last words. It has ended, or is killed: this waits for nothing."""
        if self.child.poll() is None:
            self.child.kill()
        return self.child.stop(0), self.child.words_so_far
