"""The live folder: carried on after a restart, cleaned without taking from a player's mouth."""

from datetime import timedelta
from pathlib import Path

import pytest

from encoder.folder import LEAST_LINGER_SECONDS, LiveFolder
from encoder.playlist import NAME, Playlist, Segment, parse
from shared.clock import SimulatedClock
from shared.errors import SeatTaken


class Output:
    """A folder, and segments that ffmpeg would have written there."""

    def __init__(self, root: Path, after_seconds: float = 0) -> None:
        self.root = root
        self.clock = SimulatedClock()
        self.clock.advance(after_seconds)
        self.path = root / "camera-1"
        self.take_over()

    def take_over(self) -> None:
        self.folder = LiveFolder(self.root, "camera-1", self.clock)
        self.playlist = self.folder.load(1)

    def begin(self) -> None:
        self.name, self.generation = self.folder.new_generation()
        self.count = 0

    def segment(self, keep: int = 3) -> Path:
        """Write and publish one."""
        file = self.generation / f"{self.count:06d}.ts"
        file.write_bytes(b"media")
        new = Segment(f"{self.name}/{file.name}", 1.0, self.clock.now(), self.count == 0)
        before = self.playlist
        self.playlist = before.with_segment(new, keep=keep, least_target_seconds=1)
        self.folder.write(self.playlist, before, lambda _error: None)
        self.count += 1
        self.clock.advance(1)
        self.folder.clean()
        return file

    def published(self) -> Playlist | None:
        return parse((self.path / NAME).read_text())


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path)


def test_a_restart_goes_on_from_the_playlist_that_is_there(output: Output) -> None:
    output.begin()
    for _ in range(5):
        output.segment()
    before = output.playlist
    output.take_over()
    assert output.playlist == before == output.published()


def test_a_playlist_that_is_not_ours_is_begun_anew_above_it(output: Output) -> None:
    (output.path / NAME).write_bytes(b"\xff\x00 torn")
    output.clock.advance(10)
    earlier = output.playlist
    output.take_over()
    assert output.playlist.media_sequence > earlier.media_sequence
    output.begin()
    output.segment()
    assert output.published() == output.playlist


def test_segments_whose_files_are_gone_are_no_longer_listed(output: Output) -> None:
    output.begin()
    files = [output.segment() for _ in range(3)]
    files[1].unlink()
    sequence = output.playlist.media_sequence
    output.take_over()
    assert [each.uri[-9:] for each in output.playlist.segments] == ["000002.ts"]
    assert output.playlist.media_sequence == sequence + 2


def test_a_segment_stays_for_players_that_still_read_the_list_before(output: Output) -> None:
    output.begin()
    first = output.segment(keep=1)
    output.segment(keep=1)
    while output.clock.monotonic() < 1000 + LEAST_LINGER_SECONDS:
        output.segment(keep=1)
        assert first.exists()
    for _ in range(5):
        output.segment(keep=1)
    assert not first.exists()
    assert (output.generation / f"{output.count - 1:06d}.ts").exists()


def test_a_generation_goes_with_its_last_segment(output: Output) -> None:
    output.begin()
    old, old_name = output.generation, output.name
    (old / "init.mp4").write_bytes(b"")
    output.segment()
    output.begin()
    output.folder.end_generation(old_name)
    for _ in range(int(LEAST_LINGER_SECONDS) + 8):
        output.segment()
    assert not old.exists()
    assert output.generation.exists()


def test_each_segment_of_an_ended_generation_stays_its_own_while(output: Output) -> None:
    output.begin()
    old = output.name
    files = [output.segment() for _ in range(6)]
    output.begin()
    output.folder.end_generation(old)
    for _ in range(60):
        output.segment()
        gone = [not file.exists() for file in files]
        assert gone == sorted(gone, reverse=True)
        if gone[0] and not gone[-1]:
            return
    pytest.fail("all went at once")


def test_a_running_generation_is_kept_however_long_it_lists_nothing(output: Output) -> None:
    output.begin()
    output.clock.advance(3600)
    output.folder.clean()
    assert output.generation.exists()


def test_what_a_killed_run_left_goes_and_nothing_else_does(output: Output) -> None:
    output.begin()
    output.segment()
    leftover = output.path / ("a" * 20)
    leftover.mkdir()
    (leftover / "000000.ts").write_bytes(b"media")
    torn = output.path / f".{NAME}.77.tmp"
    torn.write_bytes(b"#EXTM3U")
    foreign = output.path / "notes.txt"
    foreign.write_bytes(b"of a person")
    output.take_over()
    output.clock.advance(LEAST_LINGER_SECONDS + 1)
    output.folder.clean()
    assert not leftover.exists()
    assert not torn.exists()
    assert foreign.exists()
    assert output.published() is not None
    assert output.generation.exists()


def test_a_worker_that_was_overtaken_does_not_put_its_old_list_back(output: Output) -> None:
    output.begin()
    output.segment()
    successor = Output(output.root, after_seconds=30)
    successor.begin()
    successor.segment()
    successor.segment()
    with pytest.raises(SeatTaken):
        output.segment()
    assert output.published() == successor.playlist


def test_the_successor_goes_on_when_the_overtaken_one_wrote_once_more(output: Output) -> None:
    output.begin()
    output.segment()
    successor = Output(output.root, after_seconds=30)
    successor.begin()
    output.segment()  # it looked at the file just before the successor's first write
    for _ in range(3):
        successor.segment()
    assert output.published() == successor.playlist


def test_the_playlist_is_replaced_whole(output: Output) -> None:
    output.begin()
    output.segment()
    with (output.path / NAME).open() as reader:
        output.segment()
        assert reader.read().endswith("000000.ts\n")
    assert not list(output.path.glob("*.tmp"))


def test_a_listed_time_survives_the_restart(output: Output) -> None:
    output.begin()
    output.segment()
    at = output.playlist.segments[0].captured_at
    output.clock.advance(timedelta(minutes=1).total_seconds())
    output.take_over()
    assert output.playlist.segments[0].captured_at == at
