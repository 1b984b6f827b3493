"""What the encoder's tests need around it: an ingest without a broker, and a look at the output."""

import io
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from encoder.camera import Camera
from encoder.loop import Loop
from encoder.places import local_places
from encoder.playlist import NAME, Playlist, Segment, parse
from encoder.turns import Turns
from ingest.demuxed import DemuxedFeed
from ingest.recording import Outlets, Recording
from ingest.timeline import TICKS, Timeline
from shared.clock import Clock, SystemClock
from shared.config import CameraSettings, Settings
from shared.identity import new_epoch
from shared.link import Delivery
from shared.log import get_logger
from shared.messages import Batch
from tests.videos import read_counter

PATIENCE_SECONDS = 60.0
"""With what must end, on a machine that is busy with other things."""


@dataclass
class Letter:
    """A delivery that no broker brought."""

    body: bytes
    acked: bool = False

    def ack(self) -> None:
        self.acked = True


def delivery_of(batch: Batch) -> tuple[Delivery, Letter]:
    letter = Letter(batch.to_body())
    return cast(Delivery, letter), letter


class Capture:
    """Plays a file at its own pace into a frame store, as ingest does."""

    def __init__(
        self,
        video: Path,
        frames: Path,
        on_batch: Callable[[Batch], None],
        *,
        camera: str = "camera-1",
        batch_seconds: float = 0.5,
        sound: Callable[[float], bool] = lambda _seconds: True,
        sound_lag_seconds: float = 0.0,
    ) -> None:
        """`sound` says whether there is any at so many seconds of the epoch.

        It comes `sound_lag_seconds` after the pictures of the same moment.
        """
        self._lag_ticks = round(sound_lag_seconds * TICKS)
        self._late: deque[tuple[Any, tuple[int, int]]] = deque()
        self.batches: list[Batch] = []
        self._clock = SystemClock()
        self._stop = threading.Event()
        self._on_batch = on_batch
        self._sound = sound
        self._batch_seconds = batch_seconds
        self._folder = frames / camera
        settings = CameraSettings(id=camera, source=f"file://{video}", loop=True)
        self._feed = DemuxedFeed(settings, self._clock, self._stop, get_logger())
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Capture":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the capture did not end"

    def _take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._on_batch(batch)

    def _run(self) -> None:
        recording: Recording | None = None
        began = time.monotonic()
        for arrival in self._feed.arrivals():
            if arrival is None:
                continue  # a source that is silent for now
            packet, is_video, pts, dts = arrival
            if recording is None:
                folder = self._folder / new_epoch(self._clock.now())
                folder.mkdir(parents=True)
                timeline = Timeline(self._clock, dts or 0, 3000)
                recording = Recording(
                    folder,
                    self._feed,
                    self._feed.parameters,
                    timeline,
                    self._clock,
                    self._batch_seconds,
                    Outlets(self._take, lambda _closing: None),
                )
            if is_video:
                place = timeline.video(pts, dts)
                recording.video(packet, place, bool(packet.is_keyframe))
                while self._late and self._late[0][1][1] + self._lag_ticks <= place[1]:
                    recording.audio(*self._late.popleft())
            elif self._sound(time.monotonic() - began):
                sounds_at = timeline.audio(pts)
                if sounds_at is not None:
                    self._late.append((packet, sounds_at))
        if recording is not None:
            recording.close("stopped")


@dataclass
class Stand:
    """A loop with one camera in it."""

    settings: Settings
    camera: Camera
    loop: Loop
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    name: str = "camera-1"

    def deliver(self, batch: Batch) -> None:
        """Any camera's batch, if this one's folder of the frame store is a link to that one's."""
        path = batch.path.replace(batch.camera, self.name)
        delivery, letter = delivery_of(batch.model_copy(update={"camera": self.name, "path": path}))
        self.letters.append(letter)
        self.loop.call(self.camera, lambda: self.camera.deliver([delivery]))

    @property
    def folder(self) -> Path:
        return self.settings.live.root / self.name

    @property
    def playlist(self) -> Playlist | None:
        try:
            return parse((self.folder / NAME).read_text())
        except FileNotFoundError:
            return None

    @property
    def segments(self) -> list[Segment]:
        """What is listed."""
        playlist = self.playlist
        return list(playlist.segments) if playlist else []

    def counters(self) -> list[int]:
        """Frame numbers in all segments on the disk, in order."""
        return [
            counter
            for generation in sorted(self.folder.glob("*/"))
            for file in sorted(generation.glob("0*"))
            for counter in counters_of(file)
        ]


def settings_of(folder: Path, **live: object) -> Settings:
    return Settings.model_validate(
        {
            "frames": {"url": f"file://{folder}/frames"},
            "live": {"url": f"file://{folder}/live", **live},
            "cameras": [{"id": "camera-1", "source": "test:320x240@30"}],
        }
    )


@contextmanager
def stand(settings: Settings, clock: Clock | None = None) -> Iterator[Stand]:
    """A running loop with one camera; at the end the camera is closed in order."""
    clock = clock or SystemClock()
    loop = Loop(clock, 10.0, get_logger())
    loop.start()
    try:
        with stand_beside(settings, clock, loop, "camera-1") as made:
            yield made
    finally:
        loop.stop()


@contextmanager
def stand_beside(settings: Settings, clock: Clock, loop: Loop, name: str) -> Iterator[Stand]:
    """One more camera in a running loop."""
    events: list[tuple[str, dict[str, Any]]] = []
    refused: list[str] = []
    camera = Camera(
        name,
        local_places(settings, name, clock),
        loop,
        Turns(clock),
        lambda event, facts: events.append((event, dict(facts))),
        lambda _delivery, reason: refused.append(reason),
        clock,
        get_logger(),
    )
    loop.call(None, lambda: loop.add(camera))
    yield Stand(settings, camera, loop, events, refused, name=name)
    loop.call(camera, camera.close)
    assert camera.done.wait(PATIENCE_SECONDS), "the camera did not end"


def counters_of(segment: Path) -> list[int]:
    """Frame numbers in one segment."""
    init = segment.with_name("init.mp4")
    data = (init.read_bytes() if init.exists() else b"") + segment.read_bytes()
    with av.open(io.BytesIO(data), "r") as container:
        return [
            read_counter(frame.to_ndarray(format="gray").astype(np.uint8, copy=False))
            for frame in container.decode(video=0)
        ]


def probe(segment: Path) -> dict[str, tuple[str, int]]:
    """Codec (with its tag, where there is one) and packets of each kind of stream."""
    init = segment.with_name("init.mp4")
    data = (init.read_bytes() if init.exists() else b"") + segment.read_bytes()
    with av.open(io.BytesIO(data), "r") as container:
        packets = Counter(packet.stream.index for packet in container.demux() if packet.size)
        return {
            stream.type: (
                stream.codec_context.codec_tag.rstrip("\0")
                if init.exists()
                else stream.codec_context.name,
                packets[stream.index],
            )
            for stream in container.streams
            if isinstance(stream, av.VideoStream | av.AudioStream)
        }


def sound_aside_seconds(segment: Path) -> float:
    """How far the sound of a segment reaches beyond its pictures: a player would fill the rest."""
    init = segment.with_name("init.mp4")
    data = (init.read_bytes() if init.exists() else b"") + segment.read_bytes()
    times: dict[str, list[float]] = {"video": [], "audio": []}
    with av.open(io.BytesIO(data), "r") as container:
        for packet in container.demux():
            if packet.pts is not None:
                times[packet.stream.type].append(float(packet.pts * packet.time_base))
    pictures, sounds = times["video"], times["audio"] or times["video"]
    return max(min(pictures) - min(sounds), max(sounds) - max(pictures))


def decode_errors(folder: Path) -> str:
    """What ffmpeg complains about when it plays all that is listed, each generation for itself."""
    playlist = parse((folder / NAME).read_text())
    assert playlist is not None
    said = ""
    for generation in sorted({segment.generation for segment in playlist.segments}):
        own = tuple(each for each in playlist.segments if each.generation == generation)
        ended = folder / "ended.m3u8"
        ended.write_text(replace(playlist, segments=own).text() + "#EXT-X-ENDLIST\n")
        command = ["ffmpeg", "-v", "warning", "-i", str(ended), "-f", "null", "-"]
        said += subprocess.run(command, capture_output=True, check=True).stderr.decode()
        ended.unlink()
    return said
