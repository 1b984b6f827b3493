"""The ffmpeg command that turns a camera's transport stream into HLS segments.

It reads fragments, joined, on its standard input and writes segments into the folder it runs in.
Its own playlist goes to standard output, where the encoder reads it line by line: a segment that is
named there is complete. What a player takes is carried: H.264 in transport streams; HEVC, where
`live.video: copy` asks for it, in fragmented MP4 with the tag `hvc1`. All else becomes H.264.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import ffmpeg

from shared.config import LiveSettings

VideoCodec = Literal["h264", "hevc"]

INIT_NAME: Final = "init.mp4"

PROBE_MICROSECONDS: Final = 500_000
"""The default of 5 s delays the first segments by as much; a second of input lies ready anyway."""
INTERLEAVE_MICROSECONDS: Final = 1
"""Sound that lags or pauses must not hold back the key frame that ends a segment: any packet after
it lets it through. (Default: 10 s. 0 would be for ever.)"""
LONGEST_PAUSE_SECONDS: Final = 86_400
"""Sound that pauses comes back in its place. (Default: 10 s, after which ffmpeg closes the gap and
the sound is ahead of the picture by as much.)"""
SPLIT_SHARE: Final = 0.9
"""Split at the first key frame after this share of `segment_seconds`: a GOP that is a frame short
of it must not wait for the next."""

_TRANSCODE_THREADS: Final = 2  # each frame thread of the decoder adds a frame of delay
_TRANSCODE: Final = {
    "c:v": "libx264",
    "preset": "veryfast",
    "tune": "zerolatency",
    "crf": 23,
    "maxrate": "6M",
    "bufsize": "6M",
    "pix_fmt": "yuv420p",
    "fps_mode": "passthrough",
    "threads": _TRANSCODE_THREADS,
}


@dataclass(frozen=True)
class Recipe:
    """How a camera is shown."""

    transcode: bool
    fragmented_mp4: bool
    sound: bool
    """Only if the input carries some from its start: ffmpeg ends where a track stays empty."""
    segment_seconds: float

    @property
    def suffix(self) -> str:
        """Of a segment's file."""
        return "m4s" if self.fragmented_mp4 else "ts"


def choose_recipe(settings: LiveSettings, codec: VideoCodec, *, sound: bool) -> Recipe:
    """Carry what can be carried: HEVC only if asked for, since few browsers play it."""
    transcode = settings.video == "h264" or (settings.video == "auto" and codec == "hevc")
    return Recipe(
        transcode=transcode,
        fragmented_mp4=not transcode and codec == "hevc",
        sound=sound,
        segment_seconds=settings.segment_seconds,
    )


def hls_command(recipe: Recipe) -> list[str]:
    """Program and arguments."""
    source = ffmpeg.input(
        "pipe:0",
        hide_banner=None,
        nostats=None,
        nostdin=None,
        loglevel="level+warning",
        threads=_TRANSCODE_THREADS if recipe.transcode else 1,
        format="mpegts",
        analyzeduration=PROBE_MICROSECONDS,
        dts_delta_threshold=LONGEST_PAUSE_SECONDS,
    )
    options: dict[str, Any] = {
        "format": "hls",
        "max_interleave_delta": INTERLEAVE_MICROSECONDS,
        "hls_time": round(recipe.segment_seconds * SPLIT_SHARE, 3),
        "hls_list_size": 3,
        "hls_flags": "omit_endlist",
        "hls_segment_filename": f"%06d.{recipe.suffix}",
    }
    if recipe.transcode:
        options |= _TRANSCODE
        options["force_key_frames"] = f"expr:gte(t,n_forced*{recipe.segment_seconds:g})"
    else:
        options["c:v"] = "copy"
    if recipe.fragmented_mp4:
        options |= {
            "hls_segment_type": "fmp4",
            "hls_fmp4_init_filename": INIT_NAME,
            "tag:v": "hvc1",
        }
    streams = [source.video]
    if recipe.sound:
        streams.append(source.audio)
        options["c:a"] = "copy"
        if recipe.fragmented_mp4:
            options["bsf:a"] = "aac_adtstoasc"
    command: list[str] = ffmpeg.compile(ffmpeg.output(*streams, "pipe:1", **options))
    return command
