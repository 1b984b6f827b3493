"""The footage that all sides are given: encoded once, before anything is measured.

1080p30 H.264 at 4 Mbit/s with a key frame each second and no B-frames, and AAC, in an MP4 of
whole seconds that can be played again and again. A moving test picture with noise in it needs the
whole bit rate.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av

from shared.child import find_program

WIDTH: Final = 1920
HEIGHT: Final = 1080
FRAMES_PER_SECOND: Final = 30
VIDEO_BITS_PER_SECOND: Final = 4_000_000
AUDIO_BITS_PER_SECOND: Final = 64_000
AUDIO_RATE: Final = 48_000
SAMPLES_PER_AUDIO_FRAME: Final = 1024

_AVCC_FIRST_SET = 6


@dataclass(frozen=True)
class Footage:
    """What a camera plays, taken apart."""

    parameter_sets: tuple[bytes, bytes]
    """SPS and PPS, NAL units without start codes."""
    frames: list[list[bytes]]
    """NAL units of each access unit, in order."""
    key_frames: frozenset[int]
    audio: list[bytes]
    """AAC frames without ADTS headers."""
    audio_configuration: bytes
    """AudioSpecificConfig (ISO 14496-3)."""

    @property
    def bits_per_second(self) -> float:
        """Of the video alone."""
        size = sum(len(unit) for frame in self.frames for unit in frame)
        return size * 8 * FRAMES_PER_SECOND / len(self.frames)


def encode_command(path: Path, seconds: int) -> list[str]:
    """ffmpeg's arguments to make the footage."""
    rate = str(VIDEO_BITS_PER_SECOND)
    gop = str(FRAMES_PER_SECOND)
    return [
        *(find_program("ffmpeg"), "-hide_banner", "-nostats", "-v", "error", "-y"),
        *("-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FRAMES_PER_SECOND}"),
        *("-f", "lavfi", "-i", f"sine=440:sample_rate={AUDIO_RATE}"),
        *("-t", str(seconds), "-vf", "noise=alls=12:allf=t", "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-bf", "0"),
        *("-g", gop, "-keyint_min", gop, "-sc_threshold", "0"),
        *("-b:v", rate, "-maxrate", rate, "-bufsize", rate),
        *("-c:a", "aac", "-ac", "1", "-b:a", str(AUDIO_BITS_PER_SECOND), str(path)),
    ]


def encode(path: Path, seconds: int) -> None:
    """Make the footage. Raises CalledProcessError."""
    subprocess.run(encode_command(path, seconds), check=True, stdin=subprocess.DEVNULL)


def load(path: Path) -> Footage:
    """Read it back. Raises ValueError if it is not what the cameras can play."""
    frames: list[list[bytes]] = []
    keys: set[int] = set()
    audio: list[bytes] = []
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        sets = _parameter_sets(video.codec_context.extradata or b"")
        configuration = sound.codec_context.extradata or b""
        for packet in container.demux(video, sound):
            if packet.stream_index == sound.index:
                audio += [bytes(packet)] if packet.size else []
            elif packet.size:
                if packet.is_keyframe:
                    keys.add(len(frames))
                frames.append(_units(bytes(packet)))
    if not keys or len(frames) % FRAMES_PER_SECOND:
        raise ValueError(f"{path} is not whole seconds of video that begin with a key frame")
    return Footage(sets, frames, frozenset(keys), audio, configuration)


def _parameter_sets(avcc: bytes) -> tuple[bytes, bytes]:
    """SPS and PPS of an avcC box (ISO 14496-15, 5.3.3.1), which has one of each here."""
    sps_end = _AVCC_FIRST_SET + 2 + int.from_bytes(avcc[_AVCC_FIRST_SET : _AVCC_FIRST_SET + 2])
    pps = sps_end + 1
    pps_end = pps + 2 + int.from_bytes(avcc[pps : pps + 2])
    return avcc[_AVCC_FIRST_SET + 2 : sps_end], avcc[pps + 2 : pps_end]


def _units(packet: bytes) -> list[bytes]:
    """The NAL units of an access unit in which each has its length, four bytes, before it."""
    units = []
    at = 0
    while at < len(packet):
        end = at + 4 + int.from_bytes(packet[at : at + 4])
        units.append(packet[at + 4 : end])
        at = end
    return units
