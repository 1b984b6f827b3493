"""Sound that pauses: silence in its place, so that players go on showing the picture.

A player that was promised sound waits for it: hls.js stands still while segments come without, and
breaks off when a track appears that was not there before (both seen in Chromium). So a stream whose
sound is announced always has some. A fragment in which no sound frame begins gets silence for its
whole length, fed to ffmpeg before the next fragment; holes shorter than a fragment are filled by
players themselves. The silence has the format of the sound that was last heard; where none was
heard yet, an invented one, until the first real sound makes it clear.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.transport import AUDIO_PID, PACKET_BYTES, frame_offsets, frame_time, packets

TICKS: Final = 90_000
SAMPLES_PER_FRAME: Final = 1024
LAG_TICKS: Final = TICKS * 35 // 100
"""Silence ends this long before the next fragment: sound that comes back may lag the picture."""
OPENING_TICKS: Final = TICKS // 10
LONGEST_FILL_TICKS: Final = 120 * TICKS

_FRAMES_PER_PACKET: Final = 10
_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
# What libavcodec's AAC-LC encoder makes of silence, by channels.
_SILENT_FRAMES: Final = {1: bytes.fromhex("01182007"), 2: bytes.fromhex("211004608c1c")}


@dataclass(frozen=True)
class SoundFormat:
    """What an ADTS header (ISO/IEC 13818-7, 6.2) says of its frame."""

    profile: int
    """1: AAC-LC."""
    rate_index: int
    channels: int

    @property
    def frame_ticks(self) -> float:
        """Length of a frame."""
        return SAMPLES_PER_FRAME * TICKS / _RATES[self.rate_index]

    @property
    def silent_frame(self) -> bytes | None:
        """A frame of silence with its header; None where we have none of this format."""
        payload = _SILENT_FRAMES.get(self.channels)
        if payload is None or self.profile != 1 or self.rate_index >= len(_RATES):
            return None
        length = 7 + len(payload)
        header = [
            *(0xFF, 0xF1),
            self.profile << 6 | self.rate_index << 2 | self.channels >> 2,
            (self.channels & 3) << 6 | length >> 11,
            length >> 3 & 0xFF,
            (length & 7) << 5 | 0x1F,
            0xFC,
        ]
        return bytes(header) + payload


INVENTED: Final = SoundFormat(profile=1, rate_index=3, channels=1)


def sound_offsets(data: bytes) -> NDArray[np.int64]:
    """Byte offsets (shape (frames,), int64) at which sound begins. Raises BadFragment."""
    rows = packets(data)
    high = 0x40 | AUDIO_PID >> 8
    begins = (rows[:, 1] & 0x5F == high) & (rows[:, 2] == AUDIO_PID & 0xFF)
    return np.flatnonzero(begins) * PACKET_BYTES


def sound_format(data: bytes) -> SoundFormat | None:
    """The format of the first sound frame in transport packets, None if there is no sound.

    Raises BadFragment.
    """
    for offset in sound_offsets(data):
        packet = data[offset : offset + PACKET_BYTES]
        start = 5 + packet[4] if packet[3] & 0x20 else 4
        if start + 9 > PACKET_BYTES:
            continue
        header = packet[start + 9 + packet[start + 8] :][:4]
        if len(header) == 4 and header[0] == 0xFF and header[1] & 0xF6 == 0xF0:
            channels = (header[2] & 1) << 2 | header[3] >> 6
            return SoundFormat(header[2] >> 6, header[2] >> 2 & 0xF, channels)
    return None


def without_early_sound(data: bytes, frames: int) -> bytes:
    """Transport packets as they are, but without the sound before so many video frames have begun.

    In its place are as many packets that hold nothing and mark a break, as the first packets of a
    fragment do. Raises BadFragment.
    """
    rows = packets(data).copy()
    begins = frame_offsets(data)
    end = int(begins[frames]) // PACKET_BYTES if begins.size > frames else len(rows)
    early = rows[:end]
    (sound,) = np.nonzero(
        (early[:, 1] & 0x1F == AUDIO_PID >> 8) & (early[:, 2] == AUDIO_PID & 0xFF)
    )
    early[sound, 1] &= 0x1F
    early[sound, 3] = early[sound, 3] & 0x0F | 0x20  # an adaptation field, and nothing behind it
    early[sound, 4:6] = PACKET_BYTES - 5, 0x80
    early[sound, 6:] = 0xFF
    return rows.tobytes()


def silence(
    sound: SoundFormat, start: int, end: int, together: int = _FRAMES_PER_PACKET
) -> tuple[bytes, int]:
    """Transport packets that are silent from `start` to at most `end` (ticks); where they end.

    Each holds as many frames `together`, of which the first has a time.
    """
    frame = sound.silent_frame
    if frame is None:
        return b"", start
    count = max(0, int((min(end, start + LONGEST_FILL_TICKS) - start) / sound.frame_ticks))
    made = []
    for first in range(0, count, together):
        frames = min(together, count - first)
        made.append(_packet(frame * frames, start + round(first * sound.frame_ticks)))
    return b"".join(made), start + round(count * sound.frame_ticks)


def _packet(payload: bytes, pts: int) -> bytes:
    """One transport packet with one PES packet, marked as not continuing the one before."""
    pes = bytes(
        [
            *(0, 0, 1, 0xC0),
            *divmod(len(payload) + 8, 256),
            *(0x80, 0x80, 5),
            0x21 | pts >> 29 & 0xE,
            pts >> 22 & 0xFF,
            0x01 | pts >> 14 & 0xFE,
            pts >> 7 & 0xFF,
            0x01 | pts << 1 & 0xFE,
        ]
    )
    stuffing = PACKET_BYTES - 6 - len(pes) - len(payload)
    head = bytes([0x47, 0x40 | AUDIO_PID >> 8, AUDIO_PID & 0xFF, 0x30, 1 + stuffing, 0x80])
    return head + b"\xff" * stuffing + pes + payload


class SoundTrack:
    """The sound of one generation: what was heard, and the silence that stands for the rest."""

    def __init__(self, sound: SoundFormat | None) -> None:
        """`sound` is what was heard already, None if nothing was."""
        self.heard = False
        """Sound has begun in the current fragment."""
        self.changed = False
        """Real sound came that is not as we invented it: players need a new generation."""
        self._invented = sound is None
        self._format = sound or INVENTED
        self._silent_from: int | None = None
        self._opened = False

    def begin_fragment(self, data: bytes) -> bytes:
        """Silence that belongs before a fragment with these first bytes. Raises BadFragment."""
        frames = frame_offsets(data)
        began = frame_time(data, int(frames[0])) if frames.size else None
        made = b""
        if self.heard or self._silent_from is None or began is None:
            self._silent_from = began
        else:
            made, self._silent_from = silence(self._format, self._silent_from, began - LAG_TICKS)
        self.heard = False
        self.look(data)
        return made

    def leave_out(self) -> None:
        """Fragments are left out before the next: no silence stands for them."""
        self._silent_from = None

    def look(self, data: bytes) -> None:
        """Take note of more bytes of the fragment. Raises BadFragment."""
        found = sound_format(data)
        if found is not None:
            self.heard = True
            self.changed = self.changed or (self._invented and found != self._format)

    def opening(self) -> bytes:
        """A little silence at the very start, for ffmpeg to know the track by."""
        start = self._silent_from
        if not self._invented or self._opened or self.heard or start is None:
            return b""
        self._opened = True
        # One by one: ffmpeg does not know yet how long a frame is.
        made, self._silent_from = silence(self._format, start, start + OPENING_TICKS, together=1)
        return made
