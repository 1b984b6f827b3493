"""What is carried and what is encoded anew, and the options that live depends on."""

from typing import Any

import pytest

from encoder.command import choose_recipe, hls_command
from shared.config import LiveSettings


@pytest.mark.parametrize(
    ("video", "codec", "transcode", "fragmented"),
    [
        ("auto", "h264", False, False),
        ("auto", "hevc", True, False),
        ("copy", "h264", False, False),
        ("copy", "hevc", False, True),
        ("h264", "h264", True, False),
        ("h264", "hevc", True, False),
    ],
)
def test_what_players_take_is_carried(
    video: Any, codec: Any, transcode: bool, fragmented: bool
) -> None:
    recipe = choose_recipe(LiveSettings(video=video), codec, sound=True)
    assert (recipe.transcode, recipe.fragmented_mp4) == (transcode, fragmented)


def command(video: Any = "auto", codec: Any = "h264", *, sound: bool = True) -> str:
    return " ".join(hls_command(choose_recipe(LiveSettings(video=video), codec, sound=sound)))


def test_sound_is_carried_where_there_is_any() -> None:
    assert "-map 0:a" in command()
    assert "-c:a copy" in command()
    assert "0:a" not in command(sound=False)


def test_hevc_is_tagged_for_players() -> None:
    assert "-tag:v hvc1" in command("copy", "hevc")
    assert "aac_adtstoasc" in command("copy", "hevc")


def test_an_encoded_stream_has_a_key_frame_for_each_segment() -> None:
    assert "expr:gte(t,n_forced*1)" in command("h264")
    assert "-c:v libx264" in command("h264")


def test_ffmpeg_owns_no_public_playlist() -> None:
    assert command().endswith(" pipe:1")
    assert "omit_endlist" in command()
