"""A span out of several clips, as one MP4, without encoding anything.

It begins and ends where fragments do (each begins with a key frame), so it may be a second longer
than was asked for on either side. What lies between two clips is closed: the picture goes on with
the next one. All clips must be of one kind: codec, picture size, and sound or none.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from shared.errors import Refused
from shared.manifest import Manifest
from shared.objectstore import ObjectStore
from viewer.remotefile import RemoteFile

SOUND_BEFORE: Final = 512
"""Sound packets that may stand in the file before the picture that they belong to."""


class NotAlike(Refused):
    """The clips of the span cannot be one file."""


@dataclass(frozen=True)
class Part:
    """Of one clip: the frames `first` to `end`, the latter excluded, in decoding order."""

    manifest: Manifest
    first: int
    end: int
    starts_at: datetime
    ends_at: datetime

    @property
    def frames(self) -> int:
        return self.end - self.first


def part_of(manifest: Manifest, starts_at: datetime, ends_at: datetime) -> Part | None:
    """The fragments of a clip that reach into a span; None if none does."""
    chosen = [
        (place, each)
        for place, each in enumerate(manifest.fragments)
        if each.captured_at < ends_at and each.ends_at > starts_at
    ]
    if not chosen:
        return None
    frames = [each.frames for each in manifest.fragments]
    (first, begins), (last, finishes) = chosen[0], chosen[-1]
    return Part(
        manifest,
        sum(frames[:first]),
        sum(frames[: last + 1]),
        begins.captured_at,
        finishes.ends_at,
    )


def demand_alike(parts: Sequence[Part]) -> None:
    """Raises NotAlike if they cannot be joined."""
    for part in parts:
        if part.manifest.container != "mp4":
            raise NotAlike("the original bytes of a clip in it were kept; download that one alone")
    kinds = {
        (stream.video_codec, stream.width, stream.height, stream.audio_codec)
        for stream in (part.manifest.stream for part in parts)
    }
    if len(kinds) > 1:
        raise NotAlike("the camera changed its picture within this time; choose a shorter one")


def join(store: ObjectStore, parts: Sequence[Part], path: Path) -> int:
    """Write the parts into a new MP4; returns how many frames it has.

    Raises NotAlike, StoreUnavailable, Refused if a clip cannot be read, OSError of the file.
    """
    demand_alike(parts)
    frames = 0
    try:
        with ExitStack() as stack:
            made = stack.enter_context(
                av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
            )
            joining = _Joining(made)
            for part in parts:
                manifest = part.manifest
                file = RemoteFile(store, manifest.object_key, manifest.bytes)
                with av.open(file, "r", format="mp4") as source:
                    frames += joining.add(source, part)
    except av.FFmpegError as error:
        raise Refused(f"the clips cannot be joined: {error}") from error
    return frames


class _Joining:
    """The file that is being written."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self._video: Any = None
        self._sound: Any = None
        self._position = Fraction(0)
        """Where the next part begins, seconds."""
        self._last_dts: dict[Any, Fraction] = {}

    def add(self, source: Any, part: Part) -> int:
        video = source.streams.video[0]
        sound = next(iter(source.streams.audio), None)
        if self._video is None:
            self._video = self._made.add_stream_from_template(video)
            if sound is not None:
                self._sound = self._made.add_stream_from_template(sound)
        self._demand_same_sound(sound)
        shift: Fraction | None = None
        end = self._position
        frames = 0
        for packet in _packets(source, video, sound if self._sound is not None else None, part):
            seconds = packet.pts * packet.time_base
            if shift is None:
                shift = self._position - seconds
            length = (packet.duration or 0) * packet.time_base
            stream = self._video if packet.stream is video else self._sound
            if packet.stream is video:
                frames += 1
                end = max(end, seconds + length + shift)
            self._put(packet, stream, shift)
        self._position = end
        return frames

    def _demand_same_sound(self, sound: Any) -> None:
        kinds = {
            (each.codec_context.sample_rate, each.codec_context.channels)
            for each in (sound, self._sound)
            if each is not None
        }
        if len(kinds) > 1:
            raise NotAlike("the camera changed its sound within this time; choose a shorter one")

    def _put(self, packet: Any, stream: Any, shift: Fraction) -> None:
        dts = packet.dts * packet.time_base + shift
        late = self._last_dts.get(stream)
        if late is not None and dts <= late:
            dts = late + packet.time_base
        self._last_dts[stream] = dts
        pts = max(packet.pts * packet.time_base + shift, dts)
        packet.pts = round(pts / packet.time_base)
        packet.dts = round(dts / packet.time_base)
        packet.stream = stream
        self._made.mux(packet)


def _packets(source: Any, video: Any, sound: Any, part: Part) -> Iterator[Any]:
    """Of the part, its first picture first; sound from that picture to the end of the last."""
    number = -1
    starts = ends = Fraction(0)
    earlier: deque[Any] = deque(maxlen=SOUND_BEFORE)
    for packet in source.demux([video] if sound is None else [video, sound]):
        if packet.pts is None or packet.dts is None:
            continue
        seconds = packet.pts * packet.time_base
        if packet.stream is video:
            number += 1
            if number >= part.end:
                if sound is None or number >= part.end + SOUND_BEFORE:
                    return
                continue
            if number < part.first:
                continue
            if number == part.first:
                starts = seconds
            ends = max(ends, seconds + (packet.duration or 0) * packet.time_base)
            yield packet
            if number == part.first:
                yield from (each for each in earlier if each.pts * each.time_base >= starts)
        elif number < part.first:
            earlier.append(packet)
        elif number < part.end - 1 or seconds < ends:
            if seconds >= starts:
                yield packet
        elif seconds > ends + 1:
            return
