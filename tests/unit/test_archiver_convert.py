"""Conversion with the real ffmpeg: exact, and when it fails the original bytes are the clip."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import pytest

from archiver.clip import Clip, MadeFile
from archiver.convert import (
    Abandoned,
    Converter,
    FragmentsGone,
    FragmentUnreadable,
    convert_command,
    count_packets,
)
from archiver.poster import encode_poster, make_poster
from archiver.windows import window_of
from shared.bucketframes import BucketFrames
from shared.clock import SimulatedClock, SystemClock
from shared.errors import ChildFailed, Misconfigured, StoreUnavailable, Unavailable
from shared.framestore import FrameReader
from shared.log import get_logger
from shared.messages import Fragment
from tests.archiver_fragments import Recorded, empty_bucket, footage, put, record, reference
from tests.memory_store import MemoryStore


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("footage")


@pytest.fixture
def recorded(tmp_path: Path, clips: Path) -> Recorded:
    return record(tmp_path / "frames", footage(clips, 4))


def clip_of(recorded: Recorded) -> Clip:
    return Clip(tuple(recorded.fragments), window_of(recorded.fragments[0], 600), 600)


def make(
    recorded: Recorded,
    tmp_path: Path,
    *,
    timeout_seconds: float = 30,
    abandon: threading.Event | None = None,
) -> MadeFile:
    converter = Converter(
        FrameReader(recorded.root),
        SystemClock(),
        get_logger(),
        timeout_seconds=timeout_seconds,
        abandon=abandon or threading.Event(),
    )
    return converter.make(clip_of(recorded), tmp_path / "clip.mp4")


def original(recorded: Recorded) -> bytes:
    return b"".join((recorded.root / each.path).read_bytes() for each in recorded.fragments)


def boxes(path: Path) -> list[bytes]:
    """The top-level boxes of an MP4, in order."""
    data, found, offset = path.read_bytes(), [], 0
    while offset < len(data):
        found.append(data[offset + 4 : offset + 8])
        offset += int.from_bytes(data[offset : offset + 4], "big")
    return found


def test_the_mp4_holds_exactly_the_referenced_frames_and_the_sound(
    recorded: Recorded, tmp_path: Path
) -> None:
    file = make(recorded, tmp_path)
    assert file.made.container == "mp4"
    assert file.made.reason is None
    assert file.made.probed_frames == recorded.frames == 120
    assert file.made.bytes == file.path.stat().st_size
    with av.open(str(file.path), "r") as container:
        assert sum(1 for _ in container.decode(video=0)) == 120
    with av.open(str(file.path), "r") as container:
        assert container.streams.audio[0].frames > 180


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_an_mp4_is_counted_by_its_index_as_a_player_reads_it(
    tmp_path: Path, clips: Path, codec: str
) -> None:
    recorded = record(tmp_path / "frames", footage(clips, 2, codec), codec=codec)
    path = make(recorded, tmp_path).path
    with av.open(str(path), "r") as container:
        demuxed = [packet for packet in container.demux(video=0) if packet.size]
    assert count_packets(path, "mp4") == len(demuxed) == recorded.frames
    last = max(packet.pos for packet in demuxed if packet.pos is not None)
    path.write_bytes(path.read_bytes()[: last + 1])
    assert count_packets(path, "mp4") == len(demuxed) - 1, "what is cut off does not count"
    path.write_bytes(b"")
    with pytest.raises(ChildFailed, match="cannot be read back"):
        count_packets(path, "mp4")


def test_original_bytes_are_counted_too(recorded: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    path.write_bytes(original(recorded))
    assert count_packets(path, "ts") == recorded.frames


def test_the_index_stands_before_the_media(recorded: Recorded, tmp_path: Path) -> None:
    found = boxes(make(recorded, tmp_path).path)
    assert found.index(b"moov") < found.index(b"mdat")


def test_hevc_is_tagged_for_players(tmp_path: Path, clips: Path) -> None:
    recorded = record(tmp_path / "frames", footage(clips, 2, "hevc"), codec="hevc")
    file = make(recorded, tmp_path)
    assert file.made.container == "mp4"
    with av.open(str(file.path), "r") as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize("audio_from", [8.0, 1000.0])
def test_sound_that_begins_late_or_never_does_not_cost_the_mp4(
    tmp_path: Path, clips: Path, audio_from: float
) -> None:
    recorded = record(tmp_path / "frames", footage(clips, 12), audio_from_seconds=audio_from)
    file = make(recorded, tmp_path)
    assert file.made.container == "mp4"
    assert file.made.probed_frames == recorded.frames
    with av.open(str(file.path), "r") as container:
        assert len(container.streams.audio) == (1 if audio_from < 12 else 0)


def fail_without_ffmpeg(recorded: Recorded, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("shared.child.shutil.which", lambda *_, **__: None)


def fail_with_damaged_bytes(recorded: Recorded, _: pytest.MonkeyPatch) -> None:
    for number in range(len(recorded.fragments)):
        path = recorded.path(number)
        path.write_bytes(b"\xff" * path.stat().st_size)


def fail_with_any_exception(_: Recorded, patch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("of all things")

    patch.setattr("archiver.convert.count_packets", broken)


def fail_with_a_short_file(recorded: Recorded, _: pytest.MonkeyPatch) -> None:
    path = recorded.path(2)
    path.write_bytes(path.read_bytes()[:-188])


def fail_with_a_frame_missing(recorded: Recorded, _: pytest.MonkeyPatch) -> None:
    first = recorded.fragments[0]
    recorded.fragments[0] = first.model_copy(update={"frames": first.frames + 1})


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (fail_without_ffmpeg, "not installed"),
        (fail_with_damaged_bytes, "not a transport stream"),
        (fail_with_any_exception, "ZeroDivisionError"),
        (fail_with_a_short_file, "bytes and not"),
        (fail_with_a_frame_missing, "holds 120 frames and not 121"),
    ],
)
def test_when_conversion_fails_the_original_bytes_are_the_clip(
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fail: object,
    words: str,
) -> None:
    assert callable(fail)
    fail(recorded, monkeypatch)
    file = make(recorded, tmp_path)
    assert file.made.container == "ts"
    assert file.made.reason is not None
    assert words in file.made.reason
    assert file.path.suffix == ".ts"
    assert file.path.read_bytes() == original(recorded)


def test_a_conversion_that_takes_too_long_is_given_up(recorded: Recorded, tmp_path: Path) -> None:
    file = make(recorded, tmp_path, timeout_seconds=0)
    assert file.made.container == "ts"
    assert "longer than 0 s" in (file.made.reason or "")


class SlowFrames(FrameReader):
    """A frame store that takes its time for each fragment."""

    def __init__(self, root: Path, clock: SimulatedClock, seconds: float) -> None:
        super().__init__(root)
        self.clock, self.seconds = clock, seconds
        self.copied: list[str] = []
        self.stopping: threading.Event | None = None

    def copy_to(self, path: str, offset: int, length: int, out_fd: int) -> int:
        if path not in self.copied:
            self.copied.append(path)
            self.clock.advance(self.seconds)
            if self.stopping is not None:
                self.stopping.set()
        return super().copy_to(path, offset, length, out_fd)


def test_a_frame_store_that_is_slow_costs_no_mp4(recorded: Recorded, tmp_path: Path) -> None:
    """The time-out is of ffmpeg, which is well."""
    clock = SimulatedClock()
    frames = SlowFrames(recorded.root, clock, seconds=100)
    converter = Converter(
        frames, clock, get_logger(), timeout_seconds=30, abandon=threading.Event()
    )
    made = converter.make(clip_of(recorded), tmp_path / "clip.mp4").made
    assert (made.container, made.reason) == ("mp4", None)


def test_a_stopping_worker_waits_for_one_fragment_of_a_slow_frame_store_at_most(
    recorded: Recorded, tmp_path: Path
) -> None:
    clock, abandon = SimulatedClock(), threading.Event()
    frames = SlowFrames(recorded.root, clock, seconds=100)
    frames.stopping = abandon
    converter = Converter(frames, clock, get_logger(), timeout_seconds=30, abandon=abandon)
    with pytest.raises(Abandoned):
        converter.make(clip_of(recorded), tmp_path / "clip.mp4")
    assert len(frames.copied) == 1


def test_a_stopping_worker_abandons_a_conversion(recorded: Recorded, tmp_path: Path) -> None:
    abandon = threading.Event()
    abandon.set()
    with pytest.raises(Abandoned):
        make(recorded, tmp_path, abandon=abandon)


def test_fragments_that_are_gone_are_named(recorded: Recorded, tmp_path: Path) -> None:
    recorded.path(1).unlink()
    recorded.path(3).write_bytes(b"")
    with pytest.raises(FragmentsGone) as gone:
        make(recorded, tmp_path)
    assert gone.value.numbers == {1, 3}


@pytest.mark.parametrize("away", ["root", "camera", "empty camera", "epoch", "empty epoch"])
def test_while_the_frame_store_is_away_nothing_is_called_gone(
    recorded: Recorded, tmp_path: Path, away: str
) -> None:
    epoch = recorded.path(0).parent
    empty, _, level = away.rpartition(" ")
    folder = {"root": recorded.root, "camera": epoch.parent, "epoch": epoch}[level]
    folder.rename(tmp_path / "elsewhere")
    if empty:
        folder.mkdir()
    with pytest.raises(Unavailable):
        make(recorded, tmp_path)
    if empty:
        folder.rmdir()
    (tmp_path / "elsewhere").rename(folder)
    assert make(recorded, tmp_path).made.container == "mp4"


def test_an_epoch_that_was_removed_from_a_store_that_is_there_is_gone(
    recorded: Recorded, tmp_path: Path
) -> None:
    epoch = recorded.path(0).parent
    (epoch.parent / "cursor.json").write_bytes(b"{}")
    epoch.rename(tmp_path / "elsewhere")
    with pytest.raises(FragmentsGone) as gone:
        make(recorded, tmp_path)
    assert gone.value.numbers == {0, 1, 2, 3}


def test_the_command_copies_and_never_encodes(tmp_path: Path) -> None:
    command = convert_command(tmp_path / "x.mp4", hevc=False, sound=True)
    assert command[command.index("-c") + 1] == "copy"
    assert command[command.index("-movflags") + 1] == "+faststart"


def test_the_poster_is_a_small_jpeg_of_the_key_frame(recorded: Recorded) -> None:
    picture = encode_poster(recorded.path(0).read_bytes())
    assert picture.startswith(b"\xff\xd8")
    assert len(picture) < 100_000


def test_a_clip_can_do_without_a_poster(recorded: Recorded) -> None:
    fail_with_damaged_bytes(recorded, pytest.MonkeyPatch())
    assert make_poster(FrameReader(recorded.root), recorded.fragments[0], get_logger()) is None


def test_a_store_that_is_away_for_a_moment_costs_no_poster(recorded: Recorded) -> None:
    frames, store = in_bucket(recorded)
    store.is_away = True
    with pytest.raises(StoreUnavailable):
        make_poster(frames, recorded.fragments[0], get_logger())
    store.is_away = False
    assert make_poster(frames, recorded.fragments[0], get_logger()) is not None


def test_a_fragment_whose_disk_gives_an_error_is_named(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = recorded.path(1)
    real = os.open

    def open_it(path: Any, *arguments: Any, **more: Any) -> int:
        if Path(path) == bad:
            raise OSError(5, "Input/output error")
        return real(path, *arguments, **more)

    monkeypatch.setattr("shared.framestore.os.open", open_it)
    with pytest.raises(FragmentUnreadable) as found:
        make(recorded, tmp_path)
    assert found.value.number == 1


def in_bucket(recorded: Recorded) -> tuple[BucketFrames, MemoryStore]:
    frames, store = empty_bucket()
    for each in recorded.fragments:
        frames.put(each, (recorded.root / each.path).read_bytes())
    return frames, store


def converter_of(frames: BucketFrames) -> Converter:
    return Converter(
        frames, SystemClock(), get_logger(), timeout_seconds=30, abandon=threading.Event()
    )


@pytest.mark.parametrize("at", ["list", "read"])
def test_while_a_bucket_refuses_the_key_the_clip_waits(
    recorded: Recorded, tmp_path: Path, at: str
) -> None:
    """A key that is changed under way must not make a .ts of every clip of that minute."""
    frames, store = in_bucket(recorded)
    store.refuses = Misconfigured("archive.access_key: it is refused (AccessDenied)"), {at}
    with pytest.raises(StoreUnavailable, match="AccessDenied"):
        converter_of(frames).make(clip_of(recorded), tmp_path / "clip.mp4")
    store.refuses = None
    made = converter_of(frames).make(clip_of(recorded), tmp_path / "clip.mp4").made
    assert (made.container, made.probed_frames) == ("mp4", recorded.frames)


def test_without_ffmpeg_what_lies_in_a_bucket_is_the_clip_as_it_is(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, _ = in_bucket(recorded)
    fail_without_ffmpeg(recorded, monkeypatch)
    file = converter_of(frames).make(clip_of(recorded), tmp_path / "clip.mp4")
    assert file.path.read_bytes() == original(recorded)


def test_a_listing_that_is_late_calls_no_fragment_gone(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, store = in_bucket(recorded)
    late = {recorded.fragments[1].path, recorded.fragments[3].path}
    real = store.list
    monkeypatch.setattr(
        store, "list", lambda prefix: (each for each in real(prefix) if each.key not in late)
    )
    made = converter_of(frames).make(clip_of(recorded), tmp_path / "clip.mp4").made
    assert (made.container, made.probed_frames) == ("mp4", recorded.frames)
    frames.remove(recorded.fragments[1].path)
    with pytest.raises(FragmentsGone) as found:
        converter_of(frames).make(clip_of(recorded), tmp_path / "again.mp4")
    assert found.value.numbers == {1}


def test_clips_made_at_once_of_large_fragments_fetch_each_of_them_once() -> None:
    """Pipes take them bit by bit, by turns, and together they have more than 64 MiB."""
    frames, store = empty_bucket()
    size, at_once = 10_000_000, 8
    fragments = [reference(n).model_copy(update={"bytes": size}) for n in range(at_once)]
    put(frames, *fragments)
    turn = threading.Barrier(at_once, timeout=20)

    def copy(fragment: Fragment) -> None:
        with Path(os.devnull).open("wb") as out:
            for offset in range(0, size, size // 4):
                turn.wait()
                frames.copy_to(fragment.path, offset, size // 4, out.fileno())

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(copy, fragments))
    assert sorted(key for what, key in store.asked if what == "read") == [
        each.path for each in fragments
    ]
