"""Recovery: what a dead writer left is closed, exactly as far as its bytes go."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.recovery import (
    EPOCH_FILE,
    append_lines,
    begin_epoch,
    close_epoch,
    read_tail,
    recover,
)
from shared.clock import SimulatedClock
from shared.framestore import INDEX_NAME, EpochIndex, FrameReader, parse_index
from shared.identity import new_epoch
from shared.log import get_logger
from shared.messages import EpochEnd, StreamParameters
from shared.transport import count_frames
from tests.ingest_studio import CAMERA, HandFeed, Studio
from tests.videos import Videos

LOG = get_logger()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRAGMENTS = 4


class Wreck:
    """A store whose epoch was recorded whole, to be broken by the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (epoch,) = FrameReader(root).epochs(CAMERA)
        self.epoch = epoch
        self.folder = root / CAMERA / epoch
        self.whole = FrameReader(root).closed(CAMERA, epoch)
        self.lines = (self.folder / INDEX_NAME).read_bytes().splitlines(keepends=True)

    def file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.ts"

    def keep_lines(self, count: int, tail: bytes = b"") -> None:
        (self.folder / INDEX_NAME).write_bytes(b"".join(self.lines[:count]) + tail)

    def recover(self) -> list[EpochEnd]:
        found = recover(self.root, CAMERA, LOG)
        for error in found.failed.values():
            raise error
        return found.ends

    def index(self) -> EpochIndex:
        return FrameReader(self.root).closed(CAMERA, self.epoch)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, videos: Videos) -> Path:
    root = tmp_path_factory.mktemp("recorded")
    clock = SimulatedClock()
    with Studio(root, clock) as studio:
        studio.carry(HandFeed(videos(seconds=FRAGMENTS, size=(160, 90)), clock=clock))
    return root


@pytest.fixture
def wreck(recorded: Path, tmp_path: Path) -> Wreck:
    return Wreck(Path(shutil.copytree(recorded, tmp_path / "frames")))


def test_an_epoch_that_ended_is_left_alone(wreck: Wreck) -> None:
    before = {path: path.read_bytes() for path in wreck.folder.iterdir()}
    assert wreck.recover() == []
    assert {path: path.read_bytes() for path in wreck.folder.iterdir()} == before


@pytest.mark.parametrize("lines", range(FRAGMENTS + 1))
def test_fragments_behind_the_index_are_closed_as_their_writer_would_have(
    wreck: Wreck, lines: int
) -> None:
    wreck.keep_lines(lines)
    (end,) = wreck.recover()
    index = wreck.index()
    assert index.fragments == wreck.whole.fragments
    assert wreck.whole.end is not None
    assert (
        index.end == end == wreck.whole.end.model_copy(update={"reason": "ingest was interrupted"})
    )
    assert wreck.recover() == []


@pytest.mark.parametrize("cut", [0, 1, 187, 188, 189, 5 * 188 + 90])
def test_an_unfinished_fragment_is_closed_at_its_last_whole_packet(wreck: Wreck, cut: int) -> None:
    wreck.keep_lines(FRAGMENTS - 1)
    last = wreck.file(FRAGMENTS - 1)
    data = last.read_bytes()
    last.write_bytes(data[: len(data) - cut])
    wreck.recover()
    fragment = wreck.index().fragments[-1]
    assert fragment.fragment == FRAGMENTS - 1
    assert fragment.bytes == last.stat().st_size == (len(data) - cut) // 188 * 188
    assert fragment.frames == count_frames(last.read_bytes())


def test_bytes_that_arrive_after_the_closing_change_nothing(wreck: Wreck) -> None:
    """A frozen writer wakes up and goes on writing into the file that it has open."""
    wreck.keep_lines(FRAGMENTS - 1)
    writer = os.open(wreck.file(FRAGMENTS - 1), os.O_WRONLY | os.O_APPEND)
    wreck.recover()
    fragment = wreck.index().fragments[-1]
    before = wreck.file(FRAGMENTS - 1).read_bytes()
    os.write(writer, b"late")
    os.close(writer)
    assert wreck.file(FRAGMENTS - 1).read_bytes() == before
    assert len(before) == fragment.bytes


@pytest.mark.parametrize("left", [b"", b"\0" * 188, b"\x47" * 188, b"x" * 1000])
def test_a_last_file_without_a_frame_is_not_a_fragment(wreck: Wreck, left: bytes) -> None:
    wreck.keep_lines(FRAGMENTS - 1)
    wreck.file(FRAGMENTS - 1).write_bytes(left)
    (end,) = wreck.recover()
    assert end.fragments == len(wreck.index().fragments) == FRAGMENTS - 1


def test_behind_a_hole_nothing_is_closed(wreck: Wreck) -> None:
    wreck.keep_lines(1)
    wreck.file(2).unlink()
    wreck.recover()
    assert [each.fragment for each in wreck.index().fragments] == [0, 1]
    assert wreck.file(3).exists()


def test_fragments_that_the_janitor_has_deleted_do_not_matter(wreck: Wreck) -> None:
    wreck.keep_lines(FRAGMENTS - 1)
    wreck.file(0).unlink()
    wreck.recover()
    assert len(wreck.index().fragments) == FRAGMENTS


@given(st.integers(min_value=0, max_value=10**6))
@settings(max_examples=30)
def test_an_index_torn_anywhere_is_mended_to_the_same(
    recorded: Path, tmp_path_factory: pytest.TempPathFactory, at: int
) -> None:
    wreck = Wreck(Path(shutil.copytree(recorded, tmp_path_factory.mktemp("torn") / "frames")))
    data = b"".join(wreck.lines[:-1])
    (wreck.folder / INDEX_NAME).write_bytes(data[: at % len(data)])
    wreck.recover()
    index = wreck.index()
    assert index.fragments == wreck.whole.fragments
    assert index.end is not None
    assert not index.torn


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\n", b"{}\n"]), max_size=4))
@settings(max_examples=30)
def test_garbage_behind_an_index_is_cut_off(
    recorded: Path, tmp_path_factory: pytest.TempPathFactory, garbage: list[bytes]
) -> None:
    wreck = Wreck(Path(shutil.copytree(recorded, tmp_path_factory.mktemp("torn") / "frames")))
    wreck.keep_lines(2, b"".join(garbage))
    wreck.recover()
    assert wreck.index().fragments == wreck.whole.fragments
    assert not wreck.index().torn


def test_a_hole_in_an_index_is_filled_again_from_the_bytes(wreck: Wreck) -> None:
    (wreck.folder / INDEX_NAME).write_bytes(wreck.lines[0] + wreck.lines[2] + b"{")
    wreck.recover()
    assert wreck.index().fragments == wreck.whole.fragments


def test_an_epoch_without_a_fragment_gets_its_end(tmp_path: Path) -> None:
    epoch = new_epoch(NOON)
    begin_epoch(tmp_path / CAMERA / epoch, NOON, stream())
    (end,) = recover(tmp_path, CAMERA, LOG).ends
    assert (end.fragments, end.ended_at, end.epoch) == (0, NOON, epoch)


def test_an_epoch_that_says_nothing_of_itself_is_closed_where_its_index_ends(
    wreck: Wreck,
) -> None:
    wreck.keep_lines(2)
    (wreck.folder / EPOCH_FILE).write_bytes(b"{")
    (end,) = wreck.recover()
    assert end.fragments == 2


def test_epochs_are_closed_oldest_first(wreck: Wreck) -> None:
    wreck.keep_lines(1)
    later = new_epoch(NOON.replace(year=2027))
    begin_epoch(wreck.root / CAMERA / later, NOON, stream())
    assert [end.epoch for end in wreck.recover()] == [wreck.epoch, later]


def stream() -> StreamParameters:
    return StreamParameters(
        video_codec="h264", width=64, height=64, frames_per_second=0, audio_codec=None
    )


def test_a_disk_that_refuses_leaves_everything_to_the_next_try(
    wreck: Wreck, monkeypatch: pytest.MonkeyPatch
) -> None:
    wreck.keep_lines(1)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            wreck.recover()
    assert len(wreck.index().fragments) == 1
    wreck.recover()
    assert wreck.index().fragments == wreck.whole.fragments
    assert not list(wreck.folder.glob("*.copy"))


def test_an_epoch_that_cannot_be_read_keeps_no_other_from_being_closed(wreck: Wreck) -> None:
    """A camera must not stay unrecorded for one bad sector of a week ago."""
    wreck.keep_lines(1)
    earlier = new_epoch(NOON - timedelta(days=1))
    begin_epoch(wreck.root / CAMERA / earlier, NOON, stream())
    (wreck.root / CAMERA / earlier / INDEX_NAME).mkdir()
    found = recover(wreck.root, CAMERA, LOG)
    assert list(found.failed) == [earlier]
    assert [end.epoch for end in found.ends] == [wreck.epoch]


def failing(error: OSError) -> Callable[[int], None]:
    def fail(_file: int) -> None:
        raise error

    return fail


def test_an_epoch_that_cannot_be_begun_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        begin_epoch(tmp_path / CAMERA / "e", NOON, stream())
    assert list((tmp_path / CAMERA).iterdir()) == []


def test_the_tail_of_an_index_is_what_all_of_it_says(wreck: Wreck) -> None:
    for count in range(len(wreck.lines) + 1):
        wreck.keep_lines(count, b'{"torn')
        data = (wreck.folder / INDEX_NAME).read_bytes()
        index, tail = parse_index(data), read_tail(wreck.folder / INDEX_NAME)
        last = index.end or (index.fragments[-1] if index.fragments else None)
        assert (tail.last, tail.bytes, tail.size) == (last, index.bytes, len(data))


def test_lines_are_appended_to_the_index_they_were_meant_for_or_not_at_all(
    tmp_path: Path, wreck: Wreck
) -> None:
    path = tmp_path / INDEX_NAME
    first, second, *_ = wreck.whole.fragments
    length = append_lines(path, [first], 0)
    assert length == path.stat().st_size
    assert append_lines(path, [second], 0) is None
    assert append_lines(path, [second], length + 1) is None
    assert append_lines(path, [second], length) == path.stat().st_size
    assert parse_index(path.read_bytes()).fragments == (first, second)


def test_a_line_that_does_not_fit_is_taken_back(
    tmp_path: Path, wreck: Wreck, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / INDEX_NAME
    first, second, *_ = wreck.whole.fragments
    length = append_lines(path, [first], 0) or 0
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]))
    with pytest.raises(OSError, match="No space"):
        append_lines(path, [second], length)
    assert path.stat().st_size == length


def test_closing_twice_is_no_second_end(wreck: Wreck) -> None:
    wreck.keep_lines(2)
    assert close_epoch(wreck.root, CAMERA, wreck.epoch, "once", LOG) is not None
    assert close_epoch(wreck.root, CAMERA, wreck.epoch, "twice", LOG) is None
    assert (wreck.folder / INDEX_NAME).read_bytes().count(b"epoch-end") == 1
