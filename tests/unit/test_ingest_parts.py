"""Small parts of ingest: sampling, what is stored, parameters, the test picture, freezes."""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import interrupt
from ingest.encoding import AudioEncoder, VideoEncoder
from ingest.feed import Arrival
from ingest.interrupt import Interrupt
from ingest.parameters import ParameterSets, picture_size, sequence_parameters
from ingest.pictures import device_feed, draw, generated_feed
from ingest.pulse import Pulse
from ingest.sampling import Sampler, slot_of, spread
from ingest.stored import STORED_NAME, note_stored, read_stored
from shared.clock import SimulatedClock
from shared.errors import BadMessage, SourceFailed
from shared.identity import fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import (
    Event,
    Fragment,
    Picture,
    Sample,
    Stage,
    StreamParameters,
    read_event,
    read_sample,
)
from tests.ingest_studio import RecordingLog, camera_settings
from tests.videos import Videos, read_counter

CAMERA = "camera-1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = new_epoch(NOON)
TICKS = 90_000
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec=None
)


def fragment(seconds: float) -> Fragment:
    number = int(seconds)
    return Fragment(
        camera=CAMERA,
        epoch=EPOCH,
        fragment=number,
        path=fragment_path(CAMERA, EPOCH, number),
        bytes=2000,
        frames=30,
        captured_at=NOON + timedelta(seconds=seconds),
        duration_seconds=1,
        key_frame_bytes=900,
        stream=STREAM,
    )


def picture(number: int) -> Picture:
    return Picture(
        camera=CAMERA,
        epoch=EPOCH,
        fragment=number,
        path=fragment_path(CAMERA, EPOCH, number),
        bytes=1,
        captured_at=NOON + timedelta(seconds=number),
    )


# -- sampling -----------------------------------------------------------------------------------


@given(st.integers(min_value=1, max_value=200), st.integers(min_value=1, max_value=16))
def test_pictures_are_spread_evenly_and_end_with_the_last(count: int, wanted: int) -> None:
    pictures = [picture(number) for number in range(count)]
    chosen = spread(pictures, wanted)
    numbers = [each.fragment for each in chosen]
    assert len(chosen) == min(count, wanted)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == count - 1
    gaps = [after - before for before, after in zip([-1, *numbers], numbers, strict=False)]
    assert max(gaps) - min(gaps) <= 1


def samples_of(sampler: Sampler, seconds: Iterable[float]) -> list[Sample]:
    return [sample for each in seconds if (sample := sampler.add(fragment(each))) is not None]


def first_of_slot(interval: float) -> int:
    """The first whole second from NOON on that begins an interval of our camera."""
    slots = [slot_of(CAMERA, NOON + timedelta(seconds=each), interval) for each in range(200)]
    return next(each for each in range(1, 200) if slots[each] != slots[each - 1])


def test_a_sample_is_made_of_each_interval_when_the_next_begins() -> None:
    start = first_of_slot(60)
    first, second = samples_of(Sampler(60, 4, 600), range(start, start + 121))
    assert [each.fragment - start for each in first.pictures] == [14, 29, 44, 59]
    assert [each.fragment - start for each in second.pictures] == [74, 89, 104, 119]
    assert (first.starts_at, first.ends_at) == (
        NOON + timedelta(seconds=start),
        NOON + timedelta(seconds=start + 59),
    )
    assert first.previous is None
    assert second.previous == first.pictures[-1]
    assert all(each.bytes == 900 for each in first.pictures)


def test_the_intervals_of_cameras_do_not_begin_together() -> None:
    begins = {
        next(
            each
            for each in range(1, 60)
            if slot_of(camera, NOON + timedelta(seconds=each), 60)
            != slot_of(camera, NOON + timedelta(seconds=each - 1), 60)
        )
        for camera in ("camera-1", "camera-2", "camera-3", "camera-4")
    }
    assert len(begins) == 4


def test_a_heartbeat_comes_at_once_and_then_as_often_as_it_should() -> None:
    start = first_of_slot(60)
    samples = samples_of(Sampler(60, 1, 600), range(start, start + 1321))
    assert [number for number, each in enumerate(samples) if each.heartbeat] == [0, 10, 20]


def test_an_interval_without_a_fragment_makes_no_sample() -> None:
    start = first_of_slot(60)
    seconds = [start + each for each in (0, 1, 500, 501, 600)]
    samples = samples_of(Sampler(60, 2, 600), seconds)
    assert [[each.fragment - start for each in sample.pictures] for sample in samples] == [
        [0, 1],
        [500, 501],
    ]


def test_a_clock_that_was_stepped_back_ends_the_interval() -> None:
    start = first_of_slot(60)
    seconds = [start + each for each in (100, 101, 5, 6, 66)]
    samples = samples_of(Sampler(60, 2, 600), seconds)
    assert [[each.fragment - start for each in sample.pictures] for sample in samples] == [
        [100, 101],
        [5, 6],
    ]


@given(
    st.lists(st.floats(min_value=0, max_value=10**6 - 1), max_size=80),
    st.floats(min_value=1, max_value=3600),
    st.integers(min_value=1, max_value=12),
)
def test_every_sample_can_be_read(
    seconds: list[float], interval_seconds: float, pictures: int
) -> None:
    for sample in samples_of(Sampler(interval_seconds, pictures, 600), seconds):
        assert 1 <= len(sample.pictures) <= pictures
        assert read_sample(sample.to_body()) == sample


# -- what is stored -----------------------------------------------------------------------------


def stored_event(**detail: Any) -> bytes:
    return Event(
        stage=Stage.ARCHIVER,
        worker="archiver-1",
        camera=CAMERA,
        event="stored",
        at=NOON,
        detail={"epoch": EPOCH, "first": 0, "last": 9, **detail},
    ).to_body()


def test_what_is_said_to_be_stored_is_remembered(tmp_path: Path) -> None:
    folder = tmp_path / CAMERA / EPOCH
    folder.mkdir(parents=True)
    assert note_stored(tmp_path, stored_event())
    assert note_stored(tmp_path, stored_event(first=20, last=29, key="clips/..."))
    assert list(read_stored(folder)) == [(0, 9), (20, 29)]


def test_what_is_said_of_an_epoch_that_is_gone_is_ignored(tmp_path: Path) -> None:
    assert not note_stored(tmp_path, stored_event())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "detail",
    [
        {"epoch": "../../etc"},
        {"epoch": ""},
        {"epoch": "."},
        {"epoch": "/etc"},
        {"epoch": None},
        {"epoch": EPOCH + "\n"},
        {"first": "0"},
        {"first": -1},
        {"first": True},
        {"first": 10},
        {"last": 1.5},
        {"last": None},
    ],
)
def test_a_stored_event_that_cannot_be_is_refused(tmp_path: Path, detail: dict[str, Any]) -> None:
    (tmp_path / CAMERA / EPOCH).mkdir(parents=True)
    with pytest.raises(BadMessage):
        note_stored(tmp_path, stored_event(**detail))
    assert list((tmp_path / CAMERA / EPOCH).iterdir()) == []


@pytest.mark.parametrize("change", [{"stage": Stage.ENCODER}, {"event": "live"}])
def test_only_the_archivers_word_counts_as_stored(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / CAMERA / EPOCH).mkdir(parents=True)
    event = read_event(stored_event()).model_copy(update=change)
    with pytest.raises(BadMessage):
        note_stored(tmp_path, event.to_body())


@given(st.binary(max_size=100))
def test_garbage_in_the_list_of_stored_fragments_never_breaks_its_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("epoch")
    (folder / STORED_NAME).write_bytes(content)
    for first, last in read_stored(folder):
        assert 0 <= first <= last


def test_no_list_of_stored_fragments_is_an_empty_one(tmp_path: Path) -> None:
    assert not read_stored(tmp_path)


# -- parameters ---------------------------------------------------------------------------------


def key_frame(video: Path) -> tuple[Any, bytes]:
    with av.open(str(video)) as container:
        packet = next(container.demux(video=0))
        return packet.stream.codec_context.extradata, bytes(packet)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_key_frame_says_its_parameters_and_size(videos: Videos, codec: str) -> None:
    _, small = key_frame(videos(".ts", seconds=1, size=(160, 90), codec=codec))
    _, large = key_frame(videos(".ts", seconds=1, size=(320, 180), codec=codec))
    assert sequence_parameters(codec, small) is not None
    assert sequence_parameters(codec, small) != sequence_parameters(codec, large)
    assert picture_size(codec, small) == (160, 90)
    assert picture_size(codec, large) == (320, 180)


def test_a_length_prefixed_key_frame_says_nothing_of_its_parameters(videos: Videos) -> None:
    _, data = key_frame(videos(seconds=1, size=(160, 90)))
    assert sequence_parameters("h264", data) is None


@given(st.binary(max_size=300), st.sampled_from(["h264", "hevc"]))
def test_garbage_has_parameters_or_none(data: bytes, codec: str) -> None:
    sequence_parameters(codec, data)
    sequence_parameters(codec, b"\0\0\0\1" + data)
    assert picture_size(codec, data) is None


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_garbage_configuration_record_never_breaks_its_reader(record: bytes, data: bytes) -> None:
    for each in (record, b"\1\x42\0\x0a\xff" + record):
        completed = ParameterSets(each).complete(data)
        assert completed is None or completed.endswith(data)


def test_an_idr_picture_needs_nothing(videos: Videos) -> None:
    record, data = key_frame(videos(seconds=1, size=(160, 90)))
    assert ParameterSets(record).complete(data) is None


def test_a_recovery_point_gets_the_sets_of_its_record() -> None:
    record = bytes([1, 66, 0, 10, 0xFF, 0xE1, 0, 2, 0x67, 7, 1, 0, 3, 0x68, 8, 9])
    slice_ = b"\0\0\0\1\6" + b"\0\0\0\2\x41\xaa"
    assert ParameterSets(record).complete(slice_) == (
        b"\0\0\0\2\x67\7" + b"\0\0\0\3\x68\x08\x09" + slice_
    )


# -- reads that block ---------------------------------------------------------------------------


def test_that_reads_cannot_be_ended_is_said_once(
    videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupt, "_told", threading.Event())
    lines: list[dict[str, Any]] = []
    clock = SimulatedClock()
    with av.open(str(videos(seconds=1, size=(160, 90)))) as container:
        for _ in range(2):  # opened at no time of this clock: what marks the field is not there
            assert not Interrupt(container, clock.monotonic(), clock, 1, RecordingLog(lines)).works
    assert [each["action"] for each in lines] == ["feed.uninterruptible"]


# -- pictures -----------------------------------------------------------------------------------


@given(
    st.integers(min_value=0, max_value=2**20 - 1),
    st.sampled_from([(320, 180), (640, 360), (1280, 720)]),
)
@settings(max_examples=20)
def test_the_test_picture_carries_its_number(number: int, size: tuple[int, int]) -> None:
    assert read_counter(draw(*size, number, NOON)) == number


@pytest.mark.parametrize("size", [(10, 10), (16, 99), (99, 16), (3840, 2160)])
def test_a_test_picture_of_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    assert draw(*size, 7, NOON).shape == (size[1], size[0], 3)


class Waits(threading.Event):
    """A stop whose waits turn the clock."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timeout or 0)
        return self.is_set()


def test_the_generated_source_gives_frames_in_its_rate_and_a_key_frame_a_second() -> None:
    clock = SimulatedClock()
    stop = Waits(clock)
    feed = generated_feed(camera_settings("test:160x90@10"), clock, stop)
    arrivals: list[Arrival] = []
    for each in feed.arrivals():
        assert each is not None
        arrivals.append(each)
        if len(arrivals) == 35:
            stop.set()
    feed.close()
    assert [number for number, each in enumerate(arrivals) if each.packet.is_keyframe] == [
        0,
        10,
        20,
        30,
    ]
    times = [each.dts or 0 for each in arrivals]
    assert all(after - before == 9000 for before, after in pairwise(times))
    assert all(each.pts == each.dts for each in arrivals)
    assert (feed.parameters.width, feed.parameters.height) == (160, 90)


class Webcam:
    """A capture of OpenCV's: it gives so many pictures, ten a second, and fails."""

    def __init__(self, clock: SimulatedClock, pictures: int, rate: float = 10) -> None:
        self._clock = clock
        self._rate = rate
        self._pictures = pictures
        self._given = 0
        self.is_open = pictures > 0
        self.opened: list[int] = []

    def __call__(self, number: int) -> "Webcam":
        self.opened.append(number)
        return self

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.is_open

    def get(self, what: int) -> float:
        facts = {cv2.CAP_PROP_FRAME_WIDTH: 320, cv2.CAP_PROP_FRAME_HEIGHT: 180}
        return facts.get(what, self._rate)

    def read(self) -> tuple[bool, Any]:
        if self._given == self._pictures:
            return False, None
        self._clock.advance(0.1)
        self._given += 1
        return True, draw(320, 180, self._given - 1, NOON)

    def release(self) -> None:
        self.is_open = False


def test_a_webcam_gives_frames_at_its_rate_until_it_has_no_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimulatedClock()
    webcam = Webcam(clock, pictures=25)
    monkeypatch.setattr(cv2, "VideoCapture", webcam)
    feed = device_feed(camera_settings("device:3"), clock, threading.Event(), get_logger())
    arrivals: list[Arrival] = []
    with pytest.raises(SourceFailed, match="the device gives no more pictures"):
        arrivals.extend(feed.arrivals())
    feed.close()
    assert webcam.opened == [3]
    assert not webcam.is_open
    assert (feed.parameters.width, feed.parameters.height) == (320, 180)
    assert feed.parameters.frames_per_second == 10
    times = [each.dts or 0 for each in arrivals]
    assert [after - before for before, after in pairwise(times)] == [9000] * 24
    keys = [number for number, each in enumerate(arrivals) if each.packet.is_keyframe]
    assert keys == [0, 10, 20]
    decoder = av.CodecContext.create("h264", "r")
    packets = [av.Packet(bytes(each.packet)) for each in arrivals]
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    shown = [each.to_ndarray(format="gray").astype(np.uint8, copy=False) for each in frames]
    assert [read_counter(each) for each in shown] == list(range(25))


def test_a_webcam_that_says_no_rate_is_taken_for_one_of_25(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimulatedClock()
    monkeypatch.setattr(cv2, "VideoCapture", Webcam(clock, pictures=1, rate=0))
    feed = device_feed(camera_settings("device:0"), clock, threading.Event(), get_logger())
    assert feed.parameters.frames_per_second == 25
    feed.close()


def test_a_webcam_that_cannot_be_opened_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimulatedClock()
    monkeypatch.setattr(cv2, "VideoCapture", Webcam(clock, pictures=0))
    with pytest.raises(SourceFailed, match="no camera device:7, or another program uses it"):
        device_feed(camera_settings("device:7"), clock, threading.Event(), get_logger())


@pytest.mark.parametrize("size", [(161, 91), (64, 48), (33, 17)])
def test_odd_sizes_are_encoded_one_pixel_smaller(size: tuple[int, int]) -> None:
    encoder = VideoEncoder(*size, 25)
    picture_ = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), "bgr24")
    picture_.pts = 0
    packets = list(encoder.encode(picture_))
    assert packets[0].packet.is_keyframe
    width, height = size[0] // 2 * 2, size[1] // 2 * 2
    assert (encoder.parameters.width, encoder.parameters.height) == (width, height)
    assert picture_size("h264", bytes(packets[0].packet)) == (width, height)


def sound(samples: int, rate: int = 8000, layout: str = "mono", form: str = "s16") -> av.AudioFrame:
    frame = av.AudioFrame(format=form, layout=layout, samples=samples)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate = rate
    return frame


def test_sound_keeps_its_place_over_a_pause() -> None:
    encoder = AudioEncoder(1)
    arrivals: list[Arrival] = []
    for block in [*range(50), *range(200, 250)]:  # 20 ms each; 3 s are missing
        arrivals += encoder.encode(sound(160), Fraction(block, 50))
    times = [(each.pts or 0) / TICKS for each in arrivals]
    assert times == sorted(times)
    assert not [time for time in times if 1.1 < time < 3.9]
    assert times[-1] == pytest.approx(5, abs=0.15)


def test_sound_that_changes_its_form_is_still_encoded() -> None:
    encoder = AudioEncoder(1)
    arrivals = [
        *encoder.encode(sound(8000), Fraction(0)),
        *encoder.encode(sound(16000, 16000), Fraction(1)),
        *encoder.encode(sound(48000, 48000, "stereo", "fltp"), Fraction(2)),
    ]
    assert len(arrivals) > 100


# -- freezes ------------------------------------------------------------------------------------


def test_a_freeze_is_noticed_whoever_looks_first() -> None:
    clock = SimulatedClock()
    pulse = Pulse(clock, heartbeat_seconds=10)
    clock.advance(9)
    assert not pulse.has_frozen_since(0)
    pulse.beat()
    clock.advance(11)
    assert pulse.has_frozen_since(0)
    pulse.beat()
    assert pulse.has_frozen_since(0)
    assert pulse.freezes == 1
    assert not pulse.has_frozen_since(1)
