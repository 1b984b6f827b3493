"""Capture, packet by packet: what is stored is whole, and a damaged packet costs what it must."""

import errno
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.convert import convert_command
from encoder.command import Recipe, hls_command
from ingest import recording
from ingest.camera import Capture, Frozen
from ingest.demuxed import DemuxedFeed
from ingest.feed import Arrival, Feed
from ingest.fragment import CannotCarry, GrowingFragment, Memory
from ingest.open import open_feed
from ingest.pulse import Pulse
from shared.clock import Clock, SimulatedClock
from shared.config import CameraSettings
from shared.errors import FrameStoreFailed, SourceFailed
from shared.log import Log, get_logger
from shared.transport import count_frames
from tests import flv
from tests.ingest_studio import (
    HandFeed,
    Studio,
    at,
    camera_settings,
    carried_by_ffmpeg,
    count_packets,
    shifted,
)
from tests.videos import Videos, decode_counters

SECONDS = 4
RATE = 30
FRAMES = SECONDS * RATE
Change = Callable[[list[Arrival]], list[Arrival]]


@pytest.fixture(scope="session")
def video(videos: Videos) -> Path:
    return videos(seconds=SECONDS, size=(160, 90))


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def studio(tmp_path: Path, clock: SimulatedClock) -> Iterator[Studio]:
    with Studio(tmp_path, clock) as found:
        yield found


@pytest.fixture
def carry(studio: Studio, video: Path, clock: SimulatedClock) -> Callable[[Change], Studio]:
    """Carry the video with its packets changed, in simulated real time."""

    def run(change: Change) -> Studio:
        studio.carry(HandFeed(video, clock=clock, change=change))
        studio.check()
        return studio

    return run


def unchanged(arrivals: list[Arrival]) -> list[Arrival]:
    return arrivals


# -- what is stored -----------------------------------------------------------------------------


def test_every_frame_is_stored_once_in_fragments_of_one_gop(
    carry: Callable[[Change], Studio],
) -> None:
    studio = carry(unchanged)
    assert [each.frames for each in studio.fragments] == [RATE] * SECONDS
    assert [studio.counters_of(each) for each in studio.fragments] == [
        list(range(first, first + RATE)) for first in range(0, FRAMES, RATE)
    ]
    assert studio.reasons == ["source ended"]


def test_joined_fragments_pass_a_stream_copy_exactly_and_without_a_warning(
    carry: Callable[[Change], Studio], tmp_path: Path
) -> None:
    studio = carry(unchanged)
    target = tmp_path / "joined.mp4"
    assert carried_by_ffmpeg(studio.bytes_of(studio.fragments), target) == ""
    assert count_packets(target) == FRAMES
    assert decode_counters(target) == list(range(FRAMES))
    assert count_packets(target, "audio") > SECONDS * 45


def test_the_bytes_say_what_the_references_say(carry: Callable[[Change], Studio]) -> None:
    studio = carry(unchanged)
    for each in studio.fragments:
        data = (studio.root / each.path).read_bytes()
        assert count_frames(data) == each.frames
        assert count_frames(data[: each.key_frame_bytes]) == 1
        assert count_frames(data[: each.key_frame_bytes + 188]) == 2


def test_the_first_bytes_of_a_fragment_are_enough_for_its_picture(
    carry: Callable[[Change], Studio], tmp_path: Path
) -> None:
    studio = carry(unchanged)
    for number, each in enumerate(studio.fragments):
        picture = tmp_path / "picture.ts"
        picture.write_bytes((studio.root / each.path).read_bytes()[: each.key_frame_bytes])
        assert decode_counters(picture) == [number * RATE]


def test_capture_times_follow_media_time(
    carry: Callable[[Change], Studio], clock: SimulatedClock
) -> None:
    began = clock.now()
    studio = carry(unchanged)
    starts = [each.captured_at for each in studio.fragments]
    assert starts == [began + timedelta(seconds=number) for number in range(SECONDS)]
    for one, next_one in zip(studio.fragments, studio.fragments[1:], strict=False):
        assert one.ends_at == next_one.captured_at
    assert studio.ends[0].ended_at == began + timedelta(seconds=SECONDS)


def test_batches_come_every_half_second_and_the_first_with_its_fourth_frame(
    carry: Callable[[Change], Studio],
) -> None:
    studio = carry(unchanged)
    for number in range(SECONDS):
        frames = [each.frames for each in studio.batches if each.fragment == number]
        assert frames[0] == 4
        assert len(frames) in {3, 4}
        assert max(frames) <= RATE // 2 + 1


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_frames_that_refer_to_later_ones_are_carried(
    studio: Studio, clock: SimulatedClock, videos: Videos, tmp_path: Path, codec: str, bframes: int
) -> None:
    video = videos(seconds=3, size=(160, 90), codec=codec, bframes=bframes)
    studio.carry(HandFeed(video, clock=clock))
    studio.check()
    assert [each.frames for each in studio.fragments] == [RATE] * 3
    assert studio.counters_of(studio.fragments[1]) == list(range(RATE, 2 * RATE))
    assert studio.fragments[0].stream.video_codec == codec
    joined = tmp_path / "joined.mp4"
    assert carried_by_ffmpeg(studio.bytes_of(studio.fragments), joined) == ""
    assert decode_counters(joined) == list(range(3 * RATE))


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".flv"])
def test_leading_frames_of_an_open_gop_are_kept(
    studio: Studio, clock: SimulatedClock, tmp_path: Path, suffix: str
) -> None:
    """Decoded alone, a fragment lacks the frames that refer to the one before; joined, none."""
    video = tmp_path / f"open{suffix}"
    make_open_gop(video)
    feed = DemuxedFeed(camera_settings(video.as_uri()), clock, SkipWaits(), get_logger())
    studio.carry(feed)
    studio.check()
    total = count_packets(video)
    assert len(studio.fragments) == 4
    assert sum(each.frames for each in studio.fragments) == total == 100
    for each in studio.fragments:
        assert len(decoded(studio.root / each.path)) >= each.frames - 3
        picture = tmp_path / "picture.ts"
        picture.write_bytes((studio.root / each.path).read_bytes()[: each.key_frame_bytes])
        assert len(decoded(picture)) == 1
    joined = tmp_path / "joined.mp4"
    assert carried_by_ffmpeg(studio.bytes_of(studio.fragments), joined) == ""
    assert len(decoded(joined)) == total


class SkipWaits(threading.Event):
    """A stop that nobody sets and that takes no time to wait for."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def make_open_gop(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        stream.options = {"x264-params": "open-gop=1:keyint=30:scenecut=0:bframes=3:b-adapt=0"}
        for number in range(100):
            frame = av.VideoFrame(160, 90, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([number * 2 % 256]) * plane.buffer_size)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def decoded(path: Path) -> list[av.VideoFrame]:
    frames: list[av.VideoFrame] = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            with suppress(av.FFmpegError):
                frames += packet.decode()
    return frames


def test_a_video_without_sound_is_stored(
    studio: Studio, clock: SimulatedClock, videos: Videos
) -> None:
    video = videos(seconds=2, size=(160, 90), audio=None)
    studio.carry(HandFeed(video, clock=clock))
    studio.check()
    assert [each.frames for each in studio.fragments] == [RATE] * 2
    assert studio.fragments[0].stream.audio_codec is None


def test_many_key_frames_share_a_fragment(
    studio: Studio, clock: SimulatedClock, videos: Videos
) -> None:
    video = videos(seconds=2, size=(160, 90), gop_seconds=0.1)
    studio.carry(HandFeed(video, clock=clock))
    studio.check()
    assert [each.frames for each in studio.fragments] == [12] * 5


# -- sound ---------------------------------------------------------------------------------------


def test_sound_that_pauses_does_not_delay_the_picture(carry: Callable[[Change], Studio]) -> None:
    """The muxer must not hold video back while it waits for sound."""
    studio = carry(lambda all_: [each for each in all_ if each.is_video or not at(1)(each)])
    assert sum(each.frames for each in studio.fragments) == FRAMES
    for batch in studio.batches:
        assert batch.written_at - batch.captured_at < timedelta(seconds=0.6)


def test_sound_that_pauses_for_long_comes_back_in_step_in_clip_and_live(
    studio: Studio, clock: SimulatedClock, videos: Videos, tmp_path: Path
) -> None:
    """ffmpeg closes gaps of over 10 s, and the sound would be ahead of the picture ever after."""
    video = videos(seconds=16, size=(160, 90))

    def pause(arrivals: list[Arrival]) -> list[Arrival]:
        return [each for each in arrivals if each.is_video or not 2 <= seconds_of(each) < 14]

    studio.carry(HandFeed(video, clock=clock, change=pause))
    studio.check()
    recipe = Recipe(transcode=False, fragmented_mp4=False, sound=True, segment_seconds=1)
    clip = tmp_path / "clip.mp4"
    live = hls_command(recipe)
    live[live.index("hls") :] = ["mpegts", str(tmp_path / "live.ts")]
    for command in (convert_command(clip, hevc=False, sound=True), live):
        data = studio.bytes_of(studio.fragments)
        subprocess.run(command, input=data, check=True, timeout=30, stderr=subprocess.PIPE)
    for path in (clip, tmp_path / "live.ts"):
        sound, picture = times_of(path, "audio"), times_of(path, "video")
        assert not [time for time in sound if 2.1 < time - picture[0] < 13.9]
        assert sound[-1] - picture[0] > 15.8


def times_of(path: Path, kind: str) -> list[float]:
    with av.open(str(path)) as container:
        streams = [each for each in container.streams if each.type == kind]
        return [
            float(packet.pts * packet.time_base)
            for packet in container.demux(streams)
            if packet.pts is not None
        ]


def seconds_of(each: Arrival) -> float:
    return (each.dts or 0) / 90_000


def test_sound_out_of_place_is_dropped_and_counted_and_the_picture_goes_on(
    carry: Callable[[Change], Studio],
) -> None:
    studio = carry(lambda all_: shifted(all_, -1, lambda each: not each.is_video and at(2)(each)))
    assert sum(each.frames for each in studio.fragments) == FRAMES
    assert len(studio.ends) == 1


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_parameters_that_change_beside_the_stream_end_the_feed(
    studio: Studio, clock: SimulatedClock, videos: Videos, tmp_path: Path, codec: str
) -> None:
    """FLV and RTMP say them in a header of their own, and the key frames do not."""
    film, other = (videos(seconds=2, size=size, codec=codec) for size in ((160, 90), (320, 180)))
    joined = flv.join([film, film, other], tmp_path / "joined.flv")
    feed = DemuxedFeed(camera_settings(joined.as_uri()), clock, SkipWaits(), get_logger())
    with pytest.raises(SourceFailed, match="parameters changed"):
        studio.carry(feed)
    studio.check()
    assert sum(each.frames for each in studio.fragments) == 4 * RATE
    for each in studio.fragments:
        assert studio.counters_of(each)
    assert studio.reasons == ["the stream's parameters changed"]


# -- damaged packets -----------------------------------------------------------------------------


def replaced(number: int, change: Callable[[Arrival], list[Arrival]]) -> Change:
    """Change the video packet of this number."""

    def all_of(arrivals: list[Arrival]) -> list[Arrival]:
        found: list[Arrival] = []
        count = 0
        for each in arrivals:
            found += change(each) if each.is_video and count == number else [each]
            count += each.is_video
        return found

    return all_of


def untimed(each: Arrival) -> list[Arrival]:
    return [each._replace(pts=None, dts=None)]


def test_a_frame_without_a_time_is_kept_in_its_place(
    carry: Callable[[Change], Studio],
) -> None:
    studio = carry(replaced(40, untimed))
    assert [each.frames for each in studio.fragments] == [RATE] * SECONDS
    assert studio.counters_of(studio.fragments[1]) == list(range(RATE, 2 * RATE))
    assert len(studio.ends) == 1


def test_a_first_key_frame_without_a_time_waits_for_the_next(
    carry: Callable[[Change], Studio],
) -> None:
    studio = carry(replaced(0, untimed))
    assert [each.frames for each in studio.fragments] == [RATE] * (SECONDS - 1)


def test_what_comes_before_the_first_key_frame_is_dropped(
    carry: Callable[[Change], Studio],
) -> None:
    studio = carry(lambda all_: all_[20:])
    assert studio.counters_of(studio.fragments[0])[0] == RATE
    assert len(studio.fragments) == SECONDS - 1


def test_time_that_runs_back_begins_a_new_epoch_at_the_next_key_frame(
    carry: Callable[[Change], Studio],
) -> None:
    studio = carry(lambda all_: shifted(all_, -100, at(1.5)))
    assert [each.frames for each in studio.fragments] == [30, 15, 30, 30]
    assert len(studio.ends) == 2
    assert "backwards" in studio.reasons[0]
    assert studio.fragments[2].epoch > studio.fragments[1].epoch


def test_time_that_jumps_ahead_begins_a_new_epoch(
    studio: Studio, video: Path, clock: SimulatedClock
) -> None:
    def jump(all_: list[Arrival]) -> Iterator[Arrival]:
        began = clock.monotonic()
        for each in shifted(all_, 1000, at(2)):
            clock.advance(max(0.0, began + min(seconds_of(each), 4) - clock.monotonic()))
            yield each

    studio.carry(HandFeed(video, change=jump))
    studio.check()
    assert [each.frames for each in studio.fragments] == [RATE] * SECONDS
    assert "off the machine's time" in studio.reasons[0]
    assert len(studio.ends) == 2


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("number", [50, 2 * RATE])
def test_a_truncated_packet_costs_its_frame_and_nothing_else(
    studio: Studio,
    clock: SimulatedClock,
    videos: Videos,
    suffix: str,
    number: int,
) -> None:
    """In MP4 the muxer notices and does not take it, in a transport stream it is carried on."""

    def cut(each: Arrival) -> list[Arrival]:
        packet = av.Packet(bytes(each.packet)[:30])
        packet.stream, packet.time_base = each.packet.stream, each.packet.time_base
        packet.is_keyframe = each.packet.is_keyframe
        return [each._replace(packet=packet)]

    video = videos(suffix, seconds=SECONDS, size=(160, 90))
    studio.carry(HandFeed(video, clock=clock, change=replaced(number, cut)))
    studio.check()
    assert len(studio.ends) == 1
    stored = sum(each.frames for each in studio.fragments)
    if suffix == ".ts":
        assert [each.frames for each in studio.fragments] == [RATE] * SECONDS
    else:
        assert stored == (FRAMES - 1 if number == 50 else FRAMES - RATE)
    assert studio.counters_of(studio.fragments[-1]) == list(range(3 * RATE, 4 * RATE))


def test_a_lost_key_frame_makes_a_longer_fragment(carry: Callable[[Change], Studio]) -> None:
    studio = carry(replaced(RATE, lambda _: []))
    assert [each.frames for each in studio.fragments] == [59, 30, 30]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=2 * FRAMES),
            st.sampled_from(["drop", "double", "untimed", "swap", "cut", "back", "ahead"]),
        ),
        max_size=6,
    )
)
def test_whatever_happens_to_packets_the_store_is_sound(
    tmp_path_factory: pytest.TempPathFactory, video: Path, faults: list[tuple[int, str]]
) -> None:
    clock = SimulatedClock()

    def damage(arrivals: list[Arrival]) -> list[Arrival]:
        for place, fault in faults:
            if place >= len(arrivals):
                continue
            each = arrivals[place]
            match fault:
                case "drop":
                    del arrivals[place]
                case "double":
                    arrivals.insert(place, each)
                case "untimed":
                    arrivals[place] = each._replace(pts=None, dts=None)
                case "swap":
                    arrivals[place : place + 2] = reversed(arrivals[place : place + 2])
                case "cut":
                    packet = av.Packet(bytes(each.packet)[:9])
                    packet.time_base = each.packet.time_base
                    packet.is_keyframe = each.packet.is_keyframe
                    arrivals[place] = each._replace(packet=packet)
                case _:
                    by = -50 if fault == "back" else 50
                    arrivals[place:] = shifted(arrivals[place:], by, at(-1000))
        return arrivals

    with Studio(tmp_path_factory.mktemp("store"), clock) as studio:
        with suppress(SourceFailed):
            studio.carry(HandFeed(video, clock=clock, change=damage))
        studio.check()


# -- epochs --------------------------------------------------------------------------------------


def test_changed_parameters_begin_a_new_epoch_with_the_new_size(
    studio: Studio, clock: SimulatedClock, videos: Videos
) -> None:
    small = videos(".ts", seconds=2, size=(160, 90))
    large = videos(".ts", seconds=2, size=(320, 180))
    large_feed = HandFeed(large)

    def switch(arrivals: list[Arrival]) -> Iterator[Arrival | None]:
        yield from arrivals
        end = max(each.dts or 0 for each in arrivals if each.is_video) + 3000
        others = [each for each in large_feed.arrivals() if each is not None]
        begin = min(each.dts or 0 for each in others if each.is_video)
        yield from shifted(others, (end - begin) / 90_000, at(-1000))

    studio.carry(HandFeed(small, clock=clock, change=switch))
    studio.check()
    assert studio.reasons == ["the stream's parameters changed", "source ended"]
    sizes = [(each.stream.width, each.stream.height) for each in studio.fragments]
    assert sizes == [(160, 90)] * 2 + [(320, 180)] * 2
    assert studio.counters_of(studio.fragments[2]) == list(range(RATE))


def test_a_stepped_wall_clock_begins_a_new_epoch_that_sorts_behind(
    studio: Studio, video: Path, clock: SimulatedClock
) -> None:
    def step(arrivals: list[Arrival]) -> Iterator[Arrival]:
        for each in arrivals:
            if each is arrivals[len(arrivals) // 2]:
                clock.step(-3600)
            yield each

    studio.carry(HandFeed(video, clock=clock, change=step))
    studio.check()
    assert "wall clock was stepped by -3600" in studio.reasons[0]
    first, second = (each.epoch for each in studio.ends)
    assert first < second
    assert studio.fragments[-1].captured_at < studio.fragments[0].captured_at


def test_a_source_that_fails_ends_its_epoch_with_the_reason(
    studio: Studio, video: Path, clock: SimulatedClock
) -> None:
    feed = HandFeed(video, clock=clock, fail="broke off: rtsp://user:hush@host/1 says so")
    with pytest.raises(SourceFailed):
        studio.carry(feed)
    studio.check()
    assert studio.reasons == ["broke off: rtsp://***@host/1 says so"]
    assert sum(each.frames for each in studio.fragments) == FRAMES
    assert feed.is_closed


def test_sound_alone_is_a_stall(studio: Studio, video: Path, clock: SimulatedClock) -> None:
    def silent_film(arrivals: list[Arrival]) -> Iterator[Arrival | None]:
        for each in arrivals:
            if each.is_video and at(1)(each):
                continue
            yield each
        for _ in range(20):
            clock.advance(0.5)
            yield None

    with pytest.raises(SourceFailed, match="no video for"):
        studio.carry(HandFeed(video, clock=clock, change=silent_film))
    studio.check()
    assert sum(each.frames for each in studio.fragments) == RATE


def test_video_without_a_key_frame_is_given_up(
    studio: Studio, videos: Videos, clock: SimulatedClock
) -> None:
    film = videos(seconds=125, size=(64, 36), frames_per_second=2, gop_seconds=200)
    feed = HandFeed(film, clock=clock, change=replaced(0, lambda _: []))
    with pytest.raises(SourceFailed, match="no key frame came for 120 s"):
        studio.carry(feed)
    assert studio.epochs() == []


def test_video_whose_only_key_frame_is_damaged_is_given_up(
    studio: Studio, videos: Videos, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CannotCarry("the key frame is damaged")

    monkeypatch.setattr(GrowingFragment, "_append", refuse)
    film = videos(seconds=125, size=(64, 36), frames_per_second=2, gop_seconds=200)
    with pytest.raises(SourceFailed, match="no key frame came for 120 s"):
        studio.carry(HandFeed(film, clock=clock))
    assert studio.fragments == []


def test_a_frozen_process_ends_its_captures(
    studio: Studio, video: Path, clock: SimulatedClock
) -> None:
    studio.pulse = Pulse(clock, 10)

    def freeze(arrivals: list[Arrival]) -> Iterator[Arrival]:
        for number, each in enumerate(arrivals):
            if number == 100:
                clock.advance(11)
            elif number < 100:
                studio.pulse.beat()
            yield each

    with pytest.raises(Frozen):
        studio.carry(HandFeed(video, clock=clock, change=freeze))
    studio.check()


def test_a_camera_is_told_to_be_on_or_off_line_once(
    studio: Studio, video: Path, clock: SimulatedClock
) -> None:
    tries: list[HandFeed] = []
    capture: Capture

    def open_feed(*_: object) -> HandFeed:
        if len(tries) in {1, 2}:
            tries.append(HandFeed(video))
            raise SourceFailed("no route to the camera")
        if len(tries) == 4:
            capture.ask_to_stop("that will do")
        tries.append(HandFeed(video, clock=clock, fail="it broke off"))
        return tries[-1]

    capture = Capture(camera_settings("test:64x64@1"), studio.surroundings(open_feed))
    capture._stop.wait = lambda _seconds=None: capture._stop.is_set()  # type: ignore[assignment]
    capture.run()
    studio.settle()
    studio.check()
    told = [(event, detail.get("reason")) for _, event, detail in studio.told]
    assert told == [
        ("online", None),
        ("offline", "it broke off"),
        ("offline", "no route to the camera"),
        ("online", None),
        ("offline", "it broke off"),
        ("offline", "that will do"),
    ]
    assert len([line for line in studio.lines if line["action"] == "camera.failed"]) == 4


def test_a_missing_password_is_said_once_as_an_error_and_the_capture_goes_on(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_PW", raising=False)
    tries: list[CameraSettings] = []
    capture: Capture

    def open_it(camera: CameraSettings, clock: Clock, stop: threading.Event, log: Log) -> Feed:
        tries.append(camera)
        if len(tries) == 3:
            capture.ask_to_stop("that will do")
        return open_feed(camera, clock, stop, log)

    camera = camera_settings("rtsp://192.0.2.1/1", username="viewer", password_env="A_PW")
    capture = Capture(camera, studio.surroundings(open_it))
    capture._stop.wait = lambda _seconds=None: capture._stop.is_set()  # type: ignore[assignment]
    capture.run()
    assert len(tries) == 3
    words = "cameras.camera-1.password_env: the environment variable A_PW is not set; set it"
    [line] = [each for each in studio.lines if each["action"] == "camera.misconfigured"]
    assert line["reason"].startswith(words)
    assert line["level"] == "error"
    assert capture.state.startswith(f"offline: {words}")
    (_, first, detail), (_, last, _) = studio.told
    assert (first, last) == ("offline", "offline")
    assert str(detail["reason"]).startswith(words)


# -- the disk ------------------------------------------------------------------------------------


def test_a_full_disk_ends_the_epoch_and_what_was_written_is_closed(
    studio: Studio, video: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write

    def write(file: int, data: memoryview) -> int:
        size = os.fstat(file).st_size
        if os.readlink(f"/proc/self/fd/{file}").endswith("000001.ts") and size + len(data) > 9_000:
            if size >= 9_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[: 9_000 - size]
        return real_write(file, data)

    monkeypatch.setattr("ingest.fragment.os.write", write)
    with pytest.raises(SourceFailed, match="full"):
        studio.carry(HandFeed(video, clock=clock))
    (index,) = studio.epochs()
    assert index.end is not None
    assert index.end.fragments == len(index.fragments)
    assert [each.fragment for each in index.fragments] == [0, 1]
    assert index.fragments[1].bytes == 9_000 // 188 * 188
    numbers = [number for each in index.fragments for number in studio.counters_of(each)]
    assert numbers[:-1] == list(range(len(numbers) - 1))


@pytest.mark.parametrize("taken", [0, 1_000], ids=["nothing taken", "a part taken"])
def test_a_disk_that_was_full_for_a_moment_leaves_no_fragment_that_is_not_as_its_record_says(
    studio: Studio, video: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """There is room again when the epoch is ended: what was cut off must not be written behind."""
    real_write = os.write
    full: list[int] = []

    def write(file: int, data: memoryview) -> int:
        is_second = os.readlink(f"/proc/self/fd/{file}").endswith("000001.ts")
        if is_second and os.fstat(file).st_size and len(full) < 2:
            full.append(file)
            if len(full) == 2 or not taken:
                full.append(file)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[:taken]
        return real_write(file, data)

    monkeypatch.setattr("ingest.fragment.os.write", write)
    with pytest.raises(SourceFailed, match="full"):
        studio.carry(HandFeed(video, clock=clock))
    (index,) = studio.epochs()
    assert index.end is not None
    for each in index.fragments:
        assert (studio.root / each.path).stat().st_size == each.bytes
        assert len(studio.counters_of(each)) >= each.frames - 1  # the last may be cut in the middle
    numbers = [number for each in index.fragments for number in studio.counters_of(each)]
    assert numbers == list(range(len(numbers)))


def test_a_store_that_cannot_be_written_begins_no_epoch(
    studio: Studio, video: Path, clock: SimulatedClock
) -> None:
    (studio.root / "camera-1").write_text("in the way")
    with pytest.raises(SourceFailed, match="cannot be written"):
        studio.carry(HandFeed(video, clock=clock))
    assert studio.records == []


@pytest.mark.parametrize(
    ("error", "longest_seconds"),
    [(FrameStoreFailed("it is full"), 5.0), (SourceFailed("no route to the camera"), 30.0)],
    ids=["full disk", "dead camera"],
)
def test_a_full_disk_is_tried_more_often_than_a_dead_camera(
    studio: Studio, error: SourceFailed, longest_seconds: float
) -> None:
    capture: Capture
    pauses: list[float] = []

    def open_feed(*_: object) -> HandFeed:
        raise error

    def wait(seconds: float | None = None) -> bool:
        pauses.append(seconds or 0.0)
        if len(pauses) == 20:
            capture.ask_to_stop("that will do")
        return capture._stop.is_set()

    capture = Capture(camera_settings("test:64x64@1"), studio.surroundings(open_feed))
    capture._stop.wait = wait  # type: ignore[assignment]
    capture.run()
    assert longest_seconds / 2 <= max(pauses) <= longest_seconds


def test_packets_that_can_never_be_muxed_fail_the_source_without_an_empty_fragment(
    studio: Studio, video: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CannotCarry("no")

    monkeypatch.setattr(GrowingFragment, "_mux", refuse)
    monkeypatch.setattr(recording, "MOST_DAMAGED", 2)
    with pytest.raises(SourceFailed, match="cannot be carried"):
        studio.carry(HandFeed(video, clock=clock))
    assert studio.fragments == []
    assert [each.fragments for each in studio.ends] == [0]
    assert list(studio.root.rglob("*.ts")) == []


def test_a_discarded_fragment_writes_nothing_into_the_next(tmp_path: Path, video: Path) -> None:
    feed, memory = HandFeed(video), Memory()
    packets = [each for each in feed.arrivals() if each is not None and each.is_video]
    dropped = GrowingFragment(tmp_path / "0.ts", feed, 0, memory)
    for number, each in enumerate(packets[:3]):
        dropped.video(each.packet, (number * 3000, number * 3000))
    dropped.discard()
    assert not memory.data
    following = GrowingFragment(tmp_path / "1.ts", feed, 0, memory)
    dropped._muxer.close()  # as the collector does
    assert not memory.data
    following.discard()
    feed.close()
    assert list(tmp_path.iterdir()) == []
