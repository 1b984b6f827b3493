"""One fragment while it grows: a muxer, a file, and what of the one has reached the other.

A fragment is an MPEG-TS file of its own that begins at a key frame. Packets go through the muxer
into memory; `write` appends what has gathered to the file in one go, and `take_written` says which
bytes and frames these were. The frames are counted in the bytes themselves: the muxer keeps one
packet back, and only what is written may be announced.
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError

from ingest.encoding import TIME_BASE
from ingest.feed import Feed, MediaPacket
from ingest.timeline import Place
from shared.errors import FrameStoreFailed, Refused, SourceFailed
from shared.transport import count_frames, frame_offsets, frame_time

MUXER_OPTIONS = {
    "mpegts_flags": "initial_discontinuity",  # joined fragments then pass `-c copy` unwarned
    "flush_packets": "1",
    "max_interleave_delta": "1",  # microseconds: never wait for sound that pauses
    "avoid_negative_ts": "disabled",
}

_ROOM_BYTES = 256 * 1024
_KEPT_ROOM_BYTES = 4 * 1024 * 1024
"""One huge key frame must not hold its room for ever."""


class CannotCarry(Refused):
    """A packet is damaged, and the muxer does not take it."""


@dataclass(frozen=True)
class Written:
    """Bytes that have just been appended."""

    offset: int
    bytes: int
    frames: int
    first_pts: int
    """Of the first frame that begins in them (ticks); of the last one before, if none does."""


class Memory:
    """Where muxers write to, one after the other.

    The room is kept: to let it grow with every fragment anew costs more than the muxing.
    """

    def __init__(self) -> None:
        self._room = bytearray(_ROOM_BYTES)
        self._filled = 0

    def write(self, data: bytes) -> int:
        end = self._filled + len(data)
        if end > len(self._room):  # a new one: who still looks at the old must not be in the way
            room = bytearray(max(end, 2 * len(self._room)))
            room[: self._filled] = self.data
            self._room = room
        self._room[self._filled : end] = data
        self._filled = end
        return len(data)

    @property
    def data(self) -> memoryview:
        """What was written since it was cleared; good until the next write."""
        return memoryview(self._room)[: self._filled]

    def clear(self) -> None:
        self._filled = 0
        if len(self._room) > _KEPT_ROOM_BYTES:
            self._room = bytearray(_ROOM_BYTES)


class GrowingFragment:
    """A fragment that is open. Used by one thread."""

    def __init__(self, path: Path, feed: Feed, first_pts: int, memory: Memory) -> None:
        """Creates the file, which must not exist. Raises SourceFailed if it cannot."""
        self._memory = memory
        memory.clear()
        self._muxer = av.open(memory, "w", format="mpegts", container_options=MUXER_OPTIONS)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self.file = os.open(path, flags, 0o640)
        except OSError as error:
            raise _write_failed(error) from error
        self.first_pts = first_pts
        self.last_pts = first_pts
        self.muxed_frames = 0
        self.frames = 0
        """Frames in the bytes written."""
        self.bytes = 0
        """Bytes written."""
        self.key_frame_bytes = 0
        """Bytes up to the end of the first frame; 0 until the second begins."""
        self._path = path
        self._written: Written | None = None
        self._failed: FrameStoreFailed | None = None
        """A write failed: behind its hole nothing may be written, what is there is recovery's."""
        self._audio: av.AudioStream | None = None
        try:
            self._add_streams(feed)
        except (FFmpegError, ValueError) as error:
            self.discard()
            raise SourceFailed(f"the stream cannot be carried: {error}") from error

    def _add_streams(self, feed: Feed) -> None:
        self._video = self._muxer.add_stream_from_template(feed.video_template, opaque=True)
        self._video.time_base = TIME_BASE
        if feed.audio_template is not None:
            self._audio = self._muxer.add_stream_from_template(feed.audio_template, opaque=True)
            self._audio.time_base = TIME_BASE

    def video(self, packet: MediaPacket, place: Place) -> None:
        """Mux a video packet. Raises CannotCarry."""
        self._mux(packet, place, self._video)
        self.last_pts = max(self.last_pts, place[0])
        self.muxed_frames += 1

    def audio(self, packet: MediaPacket, place: Place) -> None:
        """Mux a sound packet, if the fragment has sound. Raises CannotCarry."""
        if self._audio is not None:
            self._mux(packet, place, self._audio)

    def _mux(
        self, packet: MediaPacket, place: Place, stream: av.VideoStream | av.AudioStream
    ) -> None:
        packet.stream = stream
        packet.time_base = TIME_BASE
        packet.pts, packet.dts = place
        try:
            self._muxer.mux_one(packet)
        except (FFmpegError, ValueError) as error:
            raise CannotCarry(getattr(error, "strerror", None) or str(error)) from error

    @property
    def waiting_frames(self) -> int:
        """Frames that the muxer has let go of and that are not written yet."""
        return count_frames(self._memory.data)

    def write(self) -> None:
        """Append what has gathered to the file.

        Raises SourceFailed, CannotCarry if the key frame got lost in the muxer.
        """
        if self._failed is not None:
            raise self._failed
        data = self._memory.data
        try:
            if data:
                self._append(data)
        except FrameStoreFailed as error:
            self._failed = error
            raise
        finally:
            self._memory.clear()

    def take_written(self) -> Written | None:
        """What was written since this was asked last; None if that is nothing."""
        written, self._written = self._written, None
        return written

    def _append(self, data: memoryview) -> None:
        offsets = frame_offsets(data)
        frames = int(offsets.size)
        first = frame_time(data, int(offsets[0])) if frames else None
        if frames and not self.frames and first != self.first_pts:
            raise CannotCarry("the key frame is damaged")
        if not self.key_frame_bytes and self.frames + frames > 1:
            self.key_frame_bytes = self.bytes + int(offsets[1 - self.frames])
        _write_all(self.file, data)
        before = self._written or Written(self.bytes, 0, 0, self.last_pts)
        self._written = Written(
            before.offset,
            before.bytes + len(data),
            before.frames + frames,
            first if first is not None and not before.frames else before.first_pts,
        )
        self.bytes += len(data)
        self.frames += frames

    def finish(self) -> None:
        """Write what the muxer kept back. The file stays open, for the index to sync.

        Raises SourceFailed, CannotCarry if no frame could be carried.
        """
        try:
            self._muxer.close()
        except (FFmpegError, ValueError) as error:
            raise SourceFailed(f"the fragment cannot be finished: {error}") from error
        self.write()
        if not self.frames:
            raise CannotCarry("there is no frame in it")

    def discard(self) -> None:
        """Close and remove the file: there is nothing in it."""
        with suppress(FFmpegError, ValueError):
            self._muxer.close()  # later it would write into the memory of the next fragment
        self._memory.clear()
        os.close(self.file)
        with suppress(OSError):
            self._path.unlink()


def _write_all(file: int, data: memoryview) -> None:
    done = 0
    while done < len(data):
        try:
            done += os.write(file, data[done:])
        except OSError as error:
            raise _write_failed(error) from error


def _write_failed(error: OSError) -> FrameStoreFailed:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FrameStoreFailed("the frame store is full")
    return FrameStoreFailed(f"the frame store cannot be written: {error.strerror}")
