"""Test videos are what they are asked to be."""

from typing import Any

import av
import pytest

from tests.videos import Codec, Videos, decode_counters


@pytest.mark.parametrize(
    ("codec", "suffix", "audio", "bframes"),
    [
        ("h264", ".mp4", "aac", 0),
        ("h264", ".ts", "aac", 2),
        ("hevc", ".mp4", "aac", 2),
        ("mpeg4", ".avi", "pcm_mulaw", 0),
        ("mjpeg", ".mkv", None, 0),
    ],
)
def test_a_video_counts_its_frames(
    videos: Videos, codec: Codec, suffix: str, audio: str | None, bframes: int
) -> None:
    path = videos(suffix, codec=codec, audio=audio, bframes=bframes, seconds=2, first=1000)
    assert decode_counters(path) == list(range(1000, 1060))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == codec
        assert [stream.codec_context.name for stream in container.streams.audio] == (
            [audio] if audio else []
        )


def test_key_frames_are_a_gop_apart(videos: Videos) -> None:
    path = videos(seconds=3, gop_seconds=0.5, frames_per_second=20, size=(160, 90))
    with av.open(str(path)) as container:
        keys = [
            round(float(packet.pts * packet.time_base), 3)
            for packet in container.demux(video=0)
            if packet.is_keyframe and packet.pts is not None and packet.time_base is not None
        ]
    assert keys == [0, 0.5, 1, 1.5, 2, 2.5]


def test_a_hard_compressed_counter_can_still_be_read(videos: Videos) -> None:
    assert decode_counters(videos(size=(160, 90), seconds=2, bitrate="60k")) == list(range(60))


def test_a_video_is_made_once(videos: Videos) -> None:
    recipe: dict[str, Any] = {"seconds": 1, "size": (160, 90)}
    assert videos(**recipe) == videos(**recipe)
    assert videos(**recipe) != videos(**recipe, first=1)
