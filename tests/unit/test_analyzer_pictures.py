"""From bytes in the frame store to a masked picture."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from analyzer.pictures import (
    KEY_FRAME_LIMIT_BYTES,
    PictureReader,
    decode_key_frame,
    masked,
    opened,
    scaled_size,
)
from shared.errors import BadFragment, FragmentGone
from shared.framestore import FrameReader
from tests.analyzer_samples import START, key_frame, put_fragment, room


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_key_frame_becomes_a_picture_of_the_asked_size(
    codec: Literal["libx264", "libx265"],
) -> None:
    pixels = decode_key_frame(key_frame(room(ball_at=(400, 200)), codec), 320)
    assert pixels.shape == (180, 320, 3)
    assert pixels.dtype == np.uint8
    blue, _, red = pixels[100, 200]  # inside the ball, which is red: the order is BGR
    assert red > 180
    assert blue < 60


def test_a_small_picture_is_not_blown_up() -> None:
    assert decode_key_frame(key_frame(room()), 2000).shape == (360, 640, 3)


def test_the_shape_of_the_picture_is_kept() -> None:
    assert scaled_size(1920, 1080, 768) == (768, 432)
    assert scaled_size(1080, 1920, 768) == (432, 768)
    assert scaled_size(4000, 1, 100) == (100, 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a transport stream at all" * 100,
        lambda data: data[:564],
        lambda data: data[: len(data) // 2 // 188 * 188],
        lambda data: b"\x47" + bytes(187) * 300,
    ],
    ids=["empty", "text", "tables only", "cut short", "zeros"],
)
def test_bytes_that_are_no_key_frame_are_refused(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(BadFragment):
        decode_key_frame(damage(key_frame(room())), 640)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_opening_a_fragment_decodes_nothing(codec: Literal["libx264", "libx265"]) -> None:
    """Only a decoder knows the pixel format: the key frame is then decoded once, by us."""
    with opened(key_frame(room(), codec)) as container:
        context = container.streams.video[0].codec_context
        assert (context.width, context.height) == (640, 360)
        assert context.format is None


def test_a_picture_larger_than_any_camera_makes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.pictures.PIXELS_LIMIT", 640 * 360 - 1)
    with pytest.raises(BadFragment, match="larger than any camera"):
        decode_key_frame(key_frame(room()), 640)


def test_masks_are_black_before_anything_else_sees_the_picture(tmp_path: Path) -> None:
    reference = put_fragment(tmp_path, 0, key_frame(room(light=60)), 0)
    left_half = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]
    picture = PictureReader(FrameReader(tmp_path), 640).read(reference, [left_half])
    assert not picture.pixels[:, :320].any()
    assert picture.pixels[:, 330:].min() > 0
    assert not picture.visible[:, :320].any()
    stored = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert stored is not None
    assert stored[:, :312].max() < 8  # JPEG smears at most one block over the edge


def test_a_jpeg_carries_no_metadata() -> None:
    jpeg = masked(room(), [], START).jpeg
    assert jpeg.startswith(b"\xff\xd8\xff")
    assert b"Exif" not in jpeg


def test_a_fragment_that_is_gone_says_so(tmp_path: Path) -> None:
    reference = put_fragment(tmp_path, 0, key_frame(room()), 0)
    (tmp_path / reference.path).unlink()
    with pytest.raises(FragmentGone):
        PictureReader(FrameReader(tmp_path), 640).read(reference, [])


def test_a_reference_to_a_monstrous_key_frame_is_refused_unread(tmp_path: Path) -> None:
    reference = put_fragment(tmp_path, 0, key_frame(room()), 0)
    huge = reference.model_copy(update={"bytes": KEY_FRAME_LIMIT_BYTES + 1})
    with pytest.raises(BadFragment, match="over the limit"):
        PictureReader(FrameReader(tmp_path), 640).read(huge, [])
