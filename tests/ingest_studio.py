"""Capture without a broker: sources or packets handed over, a real index, and what came out."""

import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import av

from ingest.camera import Capture, Surroundings
from ingest.feed import Arrival, Feed, arrival
from ingest.index import Index
from ingest.open import open_feed
from ingest.pulse import Pulse
from ingest.recording import FIRST_BATCH_FRAMES, BrokenEpoch, Closing, Outlets
from ingest.timeline import TICKS
from shared.child import find_program
from shared.clock import Clock, SimulatedClock
from shared.config import CameraSettings
from shared.errors import SourceFailed
from shared.framestore import EpochIndex, FrameReader
from shared.messages import Batch, EpochEnd, Fragment, StreamParameters
from shared.transport import frame_offsets, frame_time
from tests.support import eventually
from tests.videos import decode_counters

CAMERA = "camera-1"
PATIENCE_SECONDS = 60.0
"""With what must end, on a machine that is busy with other things."""


def camera_settings(source: str, **changes: Any) -> CameraSettings:
    return CameraSettings.model_validate({"id": CAMERA, "source": source, **changes})


class RecordingLog:
    """A log that is kept for the test to read, unredacted."""

    def __init__(self, lines: list[dict[str, Any]], **facts: Any) -> None:
        self.lines = lines
        self._facts = facts

    def bind(self, **facts: Any) -> "RecordingLog":
        return RecordingLog(self.lines, **{**self._facts, **facts})

    def info(self, event: str, **facts: Any) -> None:
        self.lines.append({**self._facts, "event": event, **facts})

    debug = warning = info

    def error(self, event: str, **facts: Any) -> None:
        self.info(event, level="error", **facts)


@dataclass
class Studio:
    """One frame store and what captures say of it."""

    root: Path
    clock: Clock = field(default_factory=SimulatedClock)
    batch_seconds: float = 0.5
    heartbeat_seconds: float = 10**9
    batches: list[Batch] = field(default_factory=list)
    early: list[Batch] = field(default_factory=list)
    """Batches whose bytes were not in the file when they were announced."""
    records: list[Fragment | EpochEnd] = field(default_factory=list)
    """In the order in which they became real."""
    lines: list[dict[str, Any]] = field(default_factory=list)
    """What was logged."""
    told: list[tuple[str, str, dict[str, str | int | float]]] = field(default_factory=list)
    spared: list[tuple[BrokenEpoch, float]] = field(default_factory=list)

    _running: int = 0

    def __post_init__(self) -> None:
        self.log = RecordingLog(self.lines)
        self.index = Index(self.root, self.records.append, self.clock, self.log)
        self.pulse = Pulse(self.clock, self.heartbeat_seconds)

    def __enter__(self) -> Self:
        self.index.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.index.stop(10)

    def settle(self) -> None:
        """Let the index work off what it was given, and start a new one."""
        assert self.index.stop(PATIENCE_SECONDS)
        self.index = Index(self.root, self.records.append, self.clock, self.log)
        self.index.start()

    def surroundings(
        self, open_with: Callable[..., Feed] = open_feed, **changes: Any
    ) -> Surroundings:
        found = Surroundings(
            root=self.root,
            batch_seconds=self.batch_seconds,
            open_feed=open_with,
            outlets=Outlets(batch=self._batch, closed=self._closed),
            tell=lambda *event: self.told.append(event),
            spare=lambda epoch, seconds: self.spared.append((epoch, seconds)),
            make_room=lambda: None,
            pulse=self.pulse,
            clock=self.clock,
            log=self.log,
        )
        return replace(found, **changes)

    def _closed(self, item: Closing) -> None:
        self.index.put(item)

    def _batch(self, batch: Batch) -> None:
        self.batches.append(batch)
        if (self.root / batch.path).stat().st_size < batch.offset + batch.bytes:
            self.early.append(batch)

    def carry(self, feed: Feed, **changes: Any) -> Capture:
        """Run a capture over one feed on this thread, and let the index settle."""
        capture = Capture(
            camera_settings("test:64x64@1"), self.surroundings(lambda *_: feed, **changes)
        )
        try:
            capture.run_once()
        finally:
            self.settle()
        return capture

    @contextmanager
    def capturing(self, camera: CameraSettings, **changes: Any) -> Iterator[Capture]:
        """A capture on its own thread, asked to stop at the end."""
        if not self._running:
            self.pulse = Pulse(self.clock, self.heartbeat_seconds)
            self.pulse.start()
        self._running += 1
        capture = Capture(camera, self.surroundings(**changes))
        capture.start()
        try:
            yield capture
        finally:
            capture.ask_to_stop("the test is over")
            assert capture.join(PATIENCE_SECONDS)
            self._running -= 1
            if not self._running:
                self.pulse.stop()
                self.settle()

    def record(self, camera: CameraSettings, fragments: int, seconds: float = 15) -> Capture:
        """Record a source until so many fragments are closed."""
        with self.capturing(camera) as capture:
            eventually(
                lambda: len(self.fragments) >= fragments or capture.state.startswith("offline"),
                seconds,
                f"{fragments} fragments",
            )
        return capture

    # -- what became of it --------------------------------------------------------------------

    @property
    def fragments(self) -> list[Fragment]:
        return [each for each in list(self.records) if isinstance(each, Fragment)]

    @property
    def ends(self) -> list[EpochEnd]:
        return [each for each in list(self.records) if isinstance(each, EpochEnd)]

    @property
    def reasons(self) -> list[str]:
        return [each.reason for each in self.ends]

    def epochs(self, camera: str = CAMERA) -> list[EpochIndex]:
        reader = FrameReader(self.root)
        return [reader.closed(camera, epoch) for epoch in reader.epochs(camera)]

    def bytes_of(self, fragments: Iterable[Fragment]) -> bytes:
        return b"".join((self.root / each.path).read_bytes() for each in fragments)

    def counters_of(self, fragment: Fragment) -> list[int]:
        """The frame numbers in a fragment, decoded alone."""
        return decode_counters(self.root / fragment.path)

    def check(self) -> None:
        """Everything that must hold of any store, whatever happened."""
        assert not self.early
        for index in self.epochs():
            assert not index.torn
            assert index.end is not None
            assert index.end.fragments == len(index.fragments)
            for fragment in index.fragments:
                assert (self.root / fragment.path).stat().st_size == fragment.bytes
        for fragment in self.fragments:
            self._check_batches(fragment)

    def _check_batches(self, fragment: Fragment) -> None:
        mine = [each for each in self.batches if each.path == fragment.path]
        assert [each.part for each in mine] == list(range(len(mine)))
        assert sum(each.frames for each in mine) == fragment.frames
        ends = [each.offset + each.bytes for each in mine]
        assert [each.offset for each in mine] == [0, *ends[:-1]]
        assert ends[-1] == fragment.bytes
        assert mine[0].captured_at == fragment.captured_at
        assert mine[0].frames <= FIRST_BATCH_FRAMES
        data = self.bytes_of([fragment])
        for each in mine:
            if each.frames:
                ticks = _time_at(data, each.offset) - _time_at(data, 0)
                after = (each.captured_at - fragment.captured_at).total_seconds()
                assert abs(after - ticks / TICKS) < 0.002


def _time_at(data: bytes, offset: int) -> int:
    """Of the first frame that begins at or after `offset`, in ticks."""
    ticks = frame_time(data, offset + int(frame_offsets(data[offset:])[0]))
    assert ticks is not None
    return ticks


def carried_by_ffmpeg(data: bytes, target: Path, *options: str) -> str:
    """Put joined fragments into `target` by stream copy; what ffmpeg warned of."""
    command = [
        *(find_program("ffmpeg"), "-v", "warning", "-y", "-f", "mpegts", "-i", "-"),
        *("-map", "0", "-c", "copy", *options, str(target)),
    ]
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    return said


def count_packets(path: Path, kind: str = "video") -> int:
    with av.open(str(path)) as container:
        streams = [each for each in container.streams if each.type == kind]
        return sum(1 for packet in container.demux(streams) if packet.size)


class HandFeed:
    """A feed whose packets the test has made or damaged."""

    def __init__(
        self,
        file: Path,
        *,
        change: Callable[[list[Arrival]], Iterable[Arrival | None]] = lambda arrivals: arrivals,
        clock: SimulatedClock | None = None,
        fail: str | None = None,
    ) -> None:
        """Packets of `file`, changed; `clock` is turned to each frame's time before it is given."""
        self._container = av.open(str(file))
        self.video_template = self._container.streams.video[0]
        sound = self._container.streams.audio
        self.audio_template = sound[0] if sound else None
        self.parameters = StreamParameters.model_validate(
            {
                "video_codec": self.video_template.codec_context.name,
                "width": self.video_template.width,
                "height": self.video_template.height,
                "frames_per_second": float(self.video_template.average_rate or 0),
                "audio_codec": "aac" if sound else None,
            }
        )
        self._change = change
        self._clock = clock
        self._fail = fail
        self.is_closed = False

    def arrivals(self) -> Iterator[Arrival | None]:
        index = self.video_template.index
        chosen = [each for each in (self.video_template, self.audio_template) if each is not None]
        packets = [
            arrival(packet, packet.stream_index == index)
            for packet in self._container.demux(chosen)
            if packet.size
        ]
        began = self._clock.monotonic() if self._clock else 0.0
        for each in self._change(packets):
            if self._clock and each is not None and each.is_video and each.dts is not None:
                self._clock.advance(max(0.0, began + each.dts / 90_000 - self._clock.monotonic()))
            yield each
        if self._fail is not None:
            raise SourceFailed(self._fail)

    def close(self) -> None:
        self.is_closed = True
        self._container.close()


def at(seconds: float) -> Callable[[Arrival], bool]:
    """Picks the arrivals from this time of the source on."""
    return lambda each: (each.dts or 0) >= seconds * 90_000


def shifted(
    arrivals: Sequence[Arrival], by_seconds: float, which: Callable[[Arrival], bool]
) -> list[Arrival]:
    """Arrivals with the times of some moved."""
    by = round(by_seconds * 90_000)
    return [
        each._replace(
            pts=None if each.pts is None else each.pts + by,
            dts=None if each.dts is None else each.dts + by,
        )
        if which(each)
        else each
        for each in arrivals
    ]


def wait_until_written(studio: Studio, frames: int, seconds: float = 10) -> None:
    """Wait until batches with so many frames were announced."""
    eventually(
        lambda: sum(each.frames for each in list(studio.batches)) >= frames,
        seconds,
        f"{frames} frames in batches",
    )
