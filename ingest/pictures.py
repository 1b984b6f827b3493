"""Feeds of pictures that are not compressed yet: webcams and the generated test picture.

A picture source hands over BGR pictures; here they get their time and become H.264. The test
picture carries a clock in UTC and its frame number twice, as digits for people and in a form that a
machine reads: across the top the bits of the number, black or white, highest first, and below them
their complements, so that a bit survives hard compression and any brightness.
"""

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.encoding import VideoEncoder
from ingest.feed import Arrival
from ingest.timeline import TICKS
from shared.clock import Clock
from shared.config import CameraSettings
from shared.errors import SourceFailed
from shared.log import Log
from shared.source import GeneratedPicture

Picture = NDArray[np.uint8]
"""Shape (height, width, 3), uint8, BGR."""

COUNTER_BITS = 20
_GREY = 48


class PictureSource(Protocol):
    """Where pictures come from."""

    width: int
    height: int
    frames_per_second: float

    def next(self) -> tuple[float, Picture] | None:
        """The next picture when it is due, with its time (seconds on the source's clock).

        None when there are no more. Raises SourceFailed.
        """
        ...

    def close(self) -> None: ...


class PictureFeed:
    """Pictures, encoded as they come."""

    def __init__(self, source: PictureSource, stop: threading.Event) -> None:
        self._source = source
        self._stop = stop
        self._encoder = VideoEncoder(source.width, source.height, source.frames_per_second)
        self.parameters = self._encoder.parameters

    @property
    def video_template(self) -> av.VideoStream:
        return self._encoder.template

    @property
    def audio_template(self) -> av.AudioStream | None:
        return None

    def arrivals(self) -> Iterator[Arrival]:
        last = -1
        while not self._stop.is_set():
            found = self._source.next()
            if found is None:
                return
            seconds, picture = found
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = last = max(round(seconds * TICKS), last + 1)
            yield from self._encoder.encode(frame)

    def close(self) -> None:
        self._source.close()
        self._encoder.close()


class Device:
    """A webcam, through OpenCV."""

    def __init__(self, number: int, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise SourceFailed(f"there is no camera device:{number}, or another program uses it")
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.frames_per_second = self._capture.get(cv2.CAP_PROP_FPS) or 25.0

    def next(self) -> tuple[float, Picture] | None:
        good, picture = self._capture.read()
        if not good:
            raise SourceFailed("the device gives no more pictures")
        return self._clock.monotonic() - self._began, np.asarray(picture, dtype=np.uint8)

    def close(self) -> None:
        self._capture.release()


class Generated:
    """The test picture: a moving bar, the time, and the number of the frame."""

    def __init__(self, picture: GeneratedPicture, clock: Clock, stop: threading.Event) -> None:
        self.width, self.height = picture.width, picture.height
        self.frames_per_second = float(picture.frames_per_second)
        self._clock = clock
        self._stop = stop
        self._began = clock.monotonic()
        self._number = 0

    def next(self) -> tuple[float, Picture] | None:
        seconds = self._number / self.frames_per_second
        self._stop.wait(max(0.0, self._began + seconds - self._clock.monotonic()))
        picture = draw(self.width, self.height, self._number, self._clock.now())
        self._number += 1
        return seconds, picture

    def close(self) -> None:
        """Nothing is open."""


def draw(width: int, height: int, number: int, moment: datetime) -> Picture:
    """One test picture: frame number as blocks and digits, a clock (UTC), a bar that moves."""
    picture = np.full((height, width, 3), _GREY, dtype=np.uint8)
    edges = np.linspace(0, width, COUNTER_BITS + 1).astype(int)
    row = max(8, height // 16)
    for bit in range(COUNTER_BITS):
        value = 255 if number >> (COUNTER_BITS - 1 - bit) & 1 else 0
        picture[:row, edges[bit] : edges[bit + 1]] = value
        picture[row : 2 * row, edges[bit] : edges[bit + 1]] = 255 - value
    left = number * 4 % width
    picture[height // 2 : height * 2 // 3, left : left + max(width // 16, 1)] = (80, 200, 80)
    scale = width / 900
    thickness = max(round(2 * scale), 1)
    lines = (f"frame {number}", moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC")
    for line, share in zip(lines, (0.32, 0.88), strict=True):
        place = (round(width * 0.04), round(height * share))
        cv2.putText(
            picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thickness
        )
    return picture


def device_feed(
    camera: CameraSettings, clock: Clock, stop: threading.Event, log: Log
) -> PictureFeed:
    """A webcam as a feed. Raises SourceFailed."""
    log.warning("a webcam is encoded to H.264; this costs CPU time", action="feed.encodes")
    return PictureFeed(Device(camera.address.device, clock), stop)


def generated_feed(camera: CameraSettings, clock: Clock, stop: threading.Event) -> PictureFeed:
    """The test picture as a feed."""
    return PictureFeed(Generated(camera.address.generated_picture, clock, stop), stop)
