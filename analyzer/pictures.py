"""Key frames as pictures: bytes of the frame store in, masked BGR arrays and JPEG out.

A sample refers to the first bytes of a few fragments, up to the end of the key frame. PyAV decodes
that one frame, once, it is scaled to the long edge that the configuration asks for, and the
camera's privacy masks are painted black at once: no later step (gate, local measurement, remote
model, stored picture) has ever had what they hide. What cannot be decoded is a BadFragment; it
costs this one picture.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from shared import messages
from shared.config import Point
from shared.errors import BadFragment
from shared.framestore import FrameStore

KEY_FRAME_LIMIT_BYTES = 16 * 1024 * 1024
"""No key frame of a room camera comes near it; a larger reference is refused unread."""
PIXELS_LIMIT = 8192 * 8192
JPEG_QUALITY = 85
SKETCH_WIDTH = 160
"""Pixels; a person at the far wall of a room is still about 100 pixels large in it."""
_UNPROBED = {"codec_whitelist": "none"}
"""Opening a container decodes until its streams are known, which costs as much again as the key
frame itself; with no decoder allowed the parser's word is taken, and only we decode."""

Polygon = Sequence[Point]


@dataclass(frozen=True, eq=False)
class Sketch:
    """A picture as it is compared with others: small, gray and blurred."""

    gray: NDArray[np.uint8]
    """Shape (height, SKETCH_WIDTH), uint8."""
    seen: NDArray[np.bool_]
    """Where no mask is; the same shape."""


@dataclass(frozen=True, eq=False)
class DecodedPicture:
    """One picture as everything after the decoder sees it."""

    captured_at: datetime
    pixels: NDArray[np.uint8]
    """Shape (height, width, 3), BGR, uint8, masks painted black."""
    visible: NDArray[np.uint8]
    """Shape (height, width), uint8: 255 where the room is seen, 0 under a mask."""

    @cached_property
    def jpeg(self) -> bytes:
        """The picture as JPEG; holds no metadata."""
        good, data = cv2.imencode(".jpg", self.pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not good:
            raise BadFragment("OpenCV could not write a JPEG of the picture")
        return data.tobytes()

    @cached_property
    def sketch(self) -> Sketch:
        """The picture as the change gate compares it."""
        height, width = self.pixels.shape[:2]
        size = (SKETCH_WIDTH, max(1, round(SKETCH_WIDTH * height / width)))
        gray = cv2.cvtColor(self.pixels, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        blurred = np.asarray(cv2.GaussianBlur(small, (5, 5), 0), dtype=np.uint8)
        seen = cv2.resize(self.visible, size, interpolation=cv2.INTER_AREA) == 255
        return Sketch(blurred, seen.astype(np.bool_))


class PictureReader:
    """Turns references into pictures. Safe to use from many threads."""

    def __init__(self, frames: FrameStore, long_edge_pixels: int) -> None:
        self._frames = frames
        self._long_edge_pixels = long_edge_pixels

    def read(self, reference: messages.Picture, masks: Sequence[Polygon]) -> DecodedPicture:
        """Raises FragmentGone, or BadFragment when the bytes are not a picture."""
        if reference.bytes > KEY_FRAME_LIMIT_BYTES:
            raise BadFragment(
                f"a key frame of {reference.bytes} bytes is over the limit of "
                f"{KEY_FRAME_LIMIT_BYTES}"
            )
        data = self._frames.read(reference.path, 0, reference.bytes)
        pixels = decode_key_frame(data, self._long_edge_pixels)
        return masked(pixels, masks, reference.captured_at)


def decode_key_frame(data: bytes, long_edge_pixels: int) -> NDArray[np.uint8]:
    """The first key frame of an MPEG-TS slice as BGR, shape (height, width, 3), uint8.

    Never larger than it was; else its longer side is `long_edge_pixels`. Raises BadFragment.
    """
    try:
        frame = _first_key_frame(data)
        width, height = scaled_size(frame.width, frame.height, long_edge_pixels)
        scaled = frame.reformat(width, height, "bgr24", interpolation=Interpolation.AREA)
        return np.ascontiguousarray(scaled.to_ndarray(), dtype=np.uint8)
    except (av.FFmpegError, ValueError) as error:
        raise BadFragment(f"the key frame cannot be decoded: {error}") from error


def opened(data: bytes) -> av.container.InputContainer:
    """An MPEG-TS slice, of which nothing has been decoded. Raises av.FFmpegError."""
    return av.open(io.BytesIO(data), mode="r", format="mpegts", container_options=_UNPROBED)


def _first_key_frame(data: bytes) -> av.VideoFrame:
    with opened(data) as container:
        if not container.streams.video:
            raise BadFragment("the fragment holds no video")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # one frame: threads would only cost
        stream.codec_context.options = {"max_pixels": str(PIXELS_LIMIT)}
        if stream.codec_context.width * stream.codec_context.height > PIXELS_LIMIT:
            raise BadFragment("the picture is larger than any camera makes")
        for packet in container.demux(stream):
            for frame in stream.decode(packet):
                if frame.is_corrupt:
                    raise BadFragment("the key frame is damaged")
                if frame.key_frame:
                    return frame
    raise BadFragment("the fragment's first bytes hold no key frame")


def scaled_size(width: int, height: int, long_edge_pixels: int) -> tuple[int, int]:
    """(width, height) in pixels with the longer side at most `long_edge_pixels`, shape kept."""
    if width < 1 or height < 1:
        raise ValueError("the picture has no size")
    factor = min(1.0, long_edge_pixels / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def masked(
    pixels: NDArray[np.uint8], masks: Sequence[Polygon], captured_at: datetime
) -> DecodedPicture:
    """Paint the polygons (shares of width and height) black, edges included. Changes `pixels`."""
    height, width = pixels.shape[:2]
    visible = np.full((height, width), 255, dtype=np.uint8)
    for polygon in masks:
        corners = np.array([(x * width, y * height) for x, y in polygon]).round().astype(np.int32)
        cv2.fillPoly(visible, [corners], 0)
    if len(masks):
        pixels[visible == 0] = 0
    return DecodedPicture(captured_at, pixels, visible)
