"""Pictures and fragments for the analyzer's tests, made with the real encoder."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from analyzer.measurement import Measurement
from analyzer.pictures import DecodedPicture, masked
from analyzer.provider import Context
from shared.identity import fragment_path, new_epoch
from shared.messages import Picture, Sample

START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
CAMERA = "camera-1"
EPOCH = new_epoch(START)

Pixels = NDArray[np.uint8]


def room(*, ball_at: tuple[int, int] | None = None, light: int = 0) -> Pixels:
    """A furnished room (360, 640, 3), BGR: same noise each time, perhaps with a ball in it."""
    pixels = np.random.default_rng(7).integers(90, 130, (360, 640, 3)).astype(np.int16)
    pixels[240:] += 40  # the floor
    pixels[60:180, 80:220] -= 60  # a cupboard
    drawn = np.clip(pixels + light, 0, 255).astype(np.uint8)
    if ball_at is not None:
        cv2.circle(drawn, ball_at, 40, (20, 20, 230), -1)
    return drawn


def picture(pixels: Pixels, second: float = 0) -> DecodedPicture:
    """As it comes from the decoder, without masks."""
    return masked(pixels.copy(), [], START + timedelta(seconds=second))


def context(language: str = "en") -> Context:
    measurement = Measurement(changed_share=0.2, most_changed=0, brightness=100, spread=40)
    return Context("ko" if language == "ko" else "en", measurement)


def key_frame(pixels: Pixels, codec: Literal["libx264", "libx265"] = "libx264") -> bytes:
    """One key frame as the first bytes of a fragment: MPEG-TS."""
    buffer = io.BytesIO()
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(buffer, mode="w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = pixels.shape[1], pixels.shape[0]
        stream.pix_fmt = "yuv420p"
        for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")):
            container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return buffer.getvalue()


def put_fragment(
    root: Path, number: int, data: bytes, second: float, epoch: str = EPOCH
) -> Picture:
    """Write a fragment into a frame store and give the reference to its key frame."""
    path = fragment_path(CAMERA, epoch, number)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)
    return Picture(
        schema=1,
        camera=CAMERA,
        epoch=epoch,
        fragment=number,
        path=path,
        bytes=len(data),
        captured_at=START + timedelta(seconds=second),
    )


def sample(
    pictures: list[Picture], previous: Picture | None = None, *, heartbeat: bool = False
) -> Sample:
    return Sample(
        schema=1,
        camera=CAMERA,
        starts_at=pictures[0].captured_at,
        ends_at=pictures[-1].captured_at,
        pictures=pictures,
        previous=previous,
        heartbeat=heartbeat,
    )
