"""One camera's stream, batch by batch, with a child that does as the test tells it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from encoder import succession
from encoder.backlog import MOST_HELD
from encoder.camera import IDLE_SECONDS, RIPE_AGE_SECONDS, SILENT_SECONDS, Camera
from encoder.cursor import CATCH_UP_SECONDS, LIVE_BUDGET_SECONDS
from encoder.loop import LoopWork
from encoder.places import local_places
from encoder.playlist import NAME, Playlist, Segment, parse
from encoder.silence import TICKS, SoundFormat, silence
from encoder.succession import LEAVE_SECONDS, LONGEST_PAUSE_SECONDS
from encoder.turns import SPACING_SECONDS, Turns
from shared.clock import SimulatedClock
from shared.config import Settings
from shared.errors import ChildFailed
from shared.framestore import FrameReader
from shared.identity import fragment_path, new_epoch
from shared.link import Delivery
from shared.log import get_logger
from shared.messages import Batch, StreamParameters
from shared.transport import VIDEO_PID

PART_SECONDS = 0.5
PARTS = 2


def picture(seconds: float) -> bytes:
    """One transport packet in which a video frame begins."""
    ticks = round(seconds * TICKS)
    pts = [0x21 | ticks >> 29 & 0xE, ticks >> 22 & 0xFF, 1 | ticks >> 14 & 0xFE]
    pts += [ticks >> 7 & 0xFF, 1 | ticks << 1 & 0xFE]
    head = [0x47, 0x40 | VIDEO_PID >> 8, VIDEO_PID & 0xFF, 0x10]
    return bytes([*head, 0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5, *pts]).ljust(188, b"\xff")


STEREO = SoundFormat(profile=1, rate_index=4, channels=2)
SOUND = silence(STEREO, 0, round(STEREO.frame_ticks) + 1)[0]


class FakeGeneration:
    """A child that takes `room` bytes and writes the segments that the test hands it."""

    made: list["FakeGeneration"] = []
    fails_to_start = False

    def __init__(self, name: str, folder: Path, recipe: Any, captured_at: Any, *_: object) -> None:
        if FakeGeneration.fails_to_start:
            raise ChildFailed("ffmpeg could not be started")
        self.name, self.folder, self.recipe, self.captured_at = name, folder, recipe, captured_at
        self.child = self
        self.stdin_fd, self.stdout_fd, self.exit_fd = range(
            3 * len(self.made), 3 * len(self.made) + 3
        )
        self.words_so_far = "words"
        self.room = 10**9
        self.dead = self.ended = self.closed = self.killed = self.reaped = False
        self.splits = True
        self.holes: list[int] = []
        self.fed_after_holes: list[int] = []
        self.stuck: str | None = None
        self.fed: list[tuple[str, int, int]] = []
        self.silence: list[bytes] = []
        self.key_frames = 0
        self.segments: list[Segment] = []
        self.count = 0
        FakeGeneration.made.append(self)

    def begin_batch(self, batch: Batch, *, after_hole: bool) -> None:
        self.key_frames += batch.part == 0
        if after_hole:
            self.holes.append(batch.fragment)

    @property
    def bears_holes(self) -> bool:
        return not self.recipe.transcode

    def splits_before(self, _batch: Batch) -> bool:
        return self.splits

    def feed(self, reader: FrameReader, batch: Batch, sent: int, *, after_hole: bool) -> int:
        if self.dead:
            raise ChildFailed("ffmpeg closed its input")
        reader.read(batch.path, batch.offset, batch.bytes)
        taken = min(batch.bytes - sent, self.room)
        self.room -= taken
        if taken:
            self.fed.append((batch.path, batch.offset + sent, taken))
            self.fed_after_holes += [batch.fragment] * after_hole
        return taken

    def feed_silence(self, data: bytes) -> None:
        if data:
            self.silence.append(data)

    def read(self) -> None:
        """All was handed over by the test."""

    def take_segments(self) -> list[Segment]:
        taken, self.segments = self.segments, []
        return taken

    def finish(self) -> None:
        self.closed = True

    def kill(self) -> None:
        self.killed = True

    def overdue(self) -> str | None:
        return self.stuck

    def reap(self) -> tuple[int, str]:
        self.reaped = True
        return 0, ""

    def write_segment(self) -> None:
        uri = f"{self.name}/{self.count:06d}.ts"
        (self.folder / f"{self.count:06d}.ts").write_bytes(b"media")
        at = self.captured_at + timedelta(seconds=self.count)
        self.segments.append(Segment(uri, 1.0, at, discontinuity=self.count == 0))
        self.count += 1


class Letter:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.acked = False

    def ack(self) -> None:
        assert not self.acked
        self.acked = True


class Room:
    """A camera, its frame store, and somebody who sends batches."""

    def __init__(self, root: Path, turns: Turns | None = None, video: str = "auto") -> None:
        self.clock = SimulatedClock()
        self.settings = Settings.model_validate(
            {
                "frames": {"url": f"file://{root}/frames"},
                "live": {"url": f"file://{root}/live", "video": video},
            }
        )
        self.callbacks: dict[int, Callable[[], None]] = {}
        self.refused: list[str] = []
        self.letters: list[Letter] = []
        self.store = root / "frames"
        self.live = root / "live" / "camera-1"
        self.camera = Camera(
            "camera-1",
            local_places(self.settings, "camera-1", self.clock),
            self,
            turns or Turns(self.clock),
            lambda _event, _facts: None,
            lambda _delivery, reason: self.refused.append(reason),
            self.clock,
            get_logger(),
        )
        self.camera.open()
        self.new_epoch()

    def watch(
        self, descriptor: int, _event: int, _work: LoopWork, callback: Callable[[], None]
    ) -> None:
        assert descriptor not in self.callbacks
        self.callbacks[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        self.callbacks.pop(descriptor, None)

    def new_epoch(self) -> None:
        self.clock.advance(0.01)
        self.epoch = new_epoch(self.clock.now())
        self.fragment = self.part = 0
        (self.store / "camera-1" / self.epoch).mkdir(parents=True)

    def write(self, *, sound: bool = True, **facts: Any) -> Batch:
        """The next batch is in the store; a fragment has PARTS of them."""
        content = picture(self.clock.monotonic()) * 5 + (SOUND if sound else b"")
        path = fragment_path("camera-1", self.epoch, self.fragment)
        with (self.store / path).open("ab") as file:
            offset = file.tell()
            file.write(content)
        values: dict[str, Any] = {
            "camera": "camera-1",
            "epoch": self.epoch,
            "fragment": self.fragment,
            "path": path,
            "part": self.part,
            "offset": offset,
            "bytes": len(content),
            "frames": 15,
            "captured_at": self.clock.now(),
            "written_at": self.clock.now(),
            "stream": StreamParameters(
                video_codec="h264", width=320, height=240, frames_per_second=30, audio_codec="aac"
            ),
        }
        self.clock.advance(PART_SECONDS)
        self.part += 1
        if self.part == PARTS:
            self.fragment, self.part = self.fragment + 1, 0
        return Batch.model_validate(values | facts)

    def send_body(self, body: bytes) -> Letter:
        letter = Letter(body)
        self.letters.append(letter)
        self.camera.deliver([cast(Delivery, letter)])
        return letter

    def send(self, batch: Batch) -> Letter:
        return self.send_body(batch.to_body())

    def send_together(self, batches: list[Batch]) -> list[Letter]:
        """They come while the loop is busy elsewhere."""
        letters = [Letter(batch.to_body()) for batch in batches]
        self.letters += letters
        self.camera.deliver(cast(list[Delivery], letters))
        return letters

    def go_on(self, batches: int = 1, *, sound: bool = True) -> list[Letter]:
        return [self.send(self.write(sound=sound)) for _ in range(batches)]

    def lose(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.write()

    def hear(self, generation: FakeGeneration) -> None:
        """The child's output is ready."""
        self.callbacks[generation.stdout_fd]()

    def end(self, generation: FakeGeneration) -> None:
        """It has said all, and is gone."""
        self.say_all(generation)
        self.callbacks[generation.exit_fd]()

    def say_all(self, generation: FakeGeneration) -> None:
        generation.ended = True
        self.hear(generation)

    def become_late(self) -> None:
        batch = self.write()
        self.clock.advance(LIVE_BUDGET_SECONDS)
        self.send(batch)
        self.lose(self.part and PARTS - self.part)

    def playlist(self) -> Playlist:
        playlist = parse((self.live / NAME).read_text())
        assert playlist is not None
        return playlist


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(succession, "Generation", FakeGeneration)
    monkeypatch.setattr(FakeGeneration, "made", [])
    monkeypatch.setattr(FakeGeneration, "fails_to_start", False)
    return Room(tmp_path)


def skipped(reason: str) -> float:
    labels = {"camera": "camera-1", "reason": reason}
    return REGISTRY.get_sample_value("cradle_encoder_skipped_batches_total", labels) or 0


def acked(room: Room) -> list[bool]:
    return [letter.acked for letter in room.letters]


def running(room: Room, batches: int = 2 * PARTS) -> FakeGeneration:
    """A generation that was fed so many batches."""
    room.go_on(batches)
    (generation,) = FakeGeneration.made
    return generation


def test_batches_are_fed_in_order_and_acknowledged(room: Room) -> None:
    generation = running(room)
    assert [(offset, length) for _, offset, length in generation.fed] == [
        (0, 1128),
        (1128, 1128),
    ] * 2
    assert generation.key_frames == 2
    assert acked(room) == [True] * PARTS + [False] * PARTS
    room.go_on()
    assert acked(room) == [True] * 2 * PARTS + [False]


def test_a_very_long_fragment_does_not_use_up_what_the_broker_gives(room: Room) -> None:
    running(room)
    path = fragment_path("camera-1", room.epoch, 2)
    for part in range(100):
        room.fragment = 2
        room.send(room.write(fragment=2, path=path, part=part))
        assert acked(room).count(False) <= MOST_HELD


def test_a_generation_starts_once_a_second_of_it_is_there(room: Room) -> None:
    first, second = room.go_on(2)
    assert FakeGeneration.made == []
    assert not first.acked
    room.go_on()
    (generation,) = FakeGeneration.made
    assert len(generation.fed) == 3
    assert first.acked
    assert second.acked


def test_a_slow_camera_is_not_waited_for_longer(room: Room) -> None:
    room.go_on(1)
    room.clock.advance(RIPE_AGE_SECONDS)
    room.camera.tick()
    assert len(FakeGeneration.made[0].fed) == 1


def test_nothing_is_fed_before_a_key_frame(room: Room) -> None:
    room.lose()
    before = skipped("no-key-frame")
    (letter,) = room.go_on()
    assert letter.acked
    assert skipped("no-key-frame") == before + 1
    running(room)
    assert FakeGeneration.made[0].fed[0][0].endswith("000001.ts")


def test_a_batch_that_does_not_fit_goes_in_bit_by_bit(room: Room) -> None:
    generation = running(room)
    generation.room = 1000
    room.go_on()
    generation.room = 128
    room.callbacks[generation.stdin_fd]()
    assert [length for _, _, length in generation.fed[-2:]] == [1000, 128]


def test_a_child_that_takes_nothing_blocks_nobody(room: Room) -> None:
    generation = running(room)
    generation.room = 0
    room.go_on(20)
    assert generation.stdin_fd in room.callbacks
    generation.room = 10**9
    room.callbacks[generation.stdin_fd]()
    assert all(acked(room)[:-PARTS])
    last_fed = generation.fed[-1][0]
    room.end(generation)
    room.go_on(2 * PARTS)
    assert last_fed <= FakeGeneration.made[1].fed[0][0]


def test_what_has_become_old_is_acknowledged_without_work(room: Room) -> None:
    generation = running(room)
    batch = room.write()
    (room.store / batch.path).unlink()  # it is not even opened
    room.clock.advance(LIVE_BUDGET_SECONDS)
    before = skipped("old")
    assert room.send(batch).acked
    assert skipped("old") == before + 1
    assert len(generation.fed) == 2 * PARTS


def test_after_what_was_too_old_the_same_ffmpeg_goes_on_at_a_key_frame(room: Room) -> None:
    """A new one for each camera that is late would make all of them late, for ever."""
    generation = running(room)
    room.become_late()
    room.go_on(PARTS)
    assert FakeGeneration.made == [generation]
    assert not generation.closed
    path, offset, _ = generation.fed[2 * PARTS]
    assert (path, offset) == (fragment_path("camera-1", room.epoch, 3), 0)
    assert generation.holes == [3]


def test_who_is_behind_goes_on_with_the_newest_key_frame(room: Room) -> None:
    generation = running(room)
    late = [room.write() for _ in range(10 * PARTS)]
    room.clock.advance(CATCH_UP_SECONDS)
    letters = room.send_together(late)
    assert generation.holes == [late[-PARTS].fragment]
    assert len(generation.fed) == 3 * PARTS
    assert all(letter.acked for letter in letters[:-PARTS])
    room.go_on(20 * PARTS)
    assert len(generation.holes) == 1


def test_who_missed_something_and_is_not_behind_leaves_out_no_more(room: Room) -> None:
    generation = running(room)
    room.lose(PARTS)
    missed = room.fragment
    waiting = [room.write() for _ in range(int(CATCH_UP_SECONDS / PART_SECONDS) // PARTS * PARTS)]
    room.send_together(waiting)
    assert generation.holes == [missed]
    assert len(generation.fed) == 2 * PARTS + len(waiting)


def test_who_is_not_too_late_leaves_out_nothing(room: Room) -> None:
    generation = running(room)
    room.send_together([room.write() for _ in range(int(LIVE_BUDGET_SECONDS / PART_SECONDS))])
    assert generation.holes == []
    assert all(acked(room)[:-PARTS])


def test_a_hole_lies_between_segments_only(room: Room) -> None:
    """Key frames that ffmpeg would not split at are left out too."""
    generation = running(room)
    room.lose()
    generation.splits = False
    room.go_on(1 + PARTS)
    assert len(generation.fed) == 2 * PARTS
    generation.splits = True
    room.go_on(PARTS)
    assert len(generation.fed) == 3 * PARTS
    assert generation.holes == [4]


def test_the_end_of_a_fragment_that_never_came_is_a_hole(room: Room) -> None:
    """Numbers do not tell, since nobody knows how many parts a fragment has; its file does."""
    generation = running(room, 2 * PARTS + 1)
    room.lose()
    room.go_on(PARTS)
    assert generation.holes == [3]


def test_a_fragment_that_went_while_it_was_shown_is_no_hole(room: Room) -> None:
    generation = running(room)
    (room.store / fragment_path("camera-1", room.epoch, 1)).unlink()
    room.go_on(PARTS)
    assert generation.holes == []
    assert len(generation.fed) == 3 * PARTS


def test_what_was_left_out_is_a_hole_even_if_its_fragment_is_gone(room: Room) -> None:
    generation = running(room, 2 * PARTS + 1)
    room.become_late()
    (room.store / fragment_path("camera-1", room.epoch, 2)).unlink()
    room.go_on(PARTS)
    assert generation.holes == [3]


def test_the_first_batch_behind_a_hole_is_known_as_such_in_all_its_pieces(room: Room) -> None:
    """Sound that it begins with would be in the segment before the hole."""
    generation = running(room)
    room.lose(PARTS)
    generation.room = 100
    room.go_on(PARTS)
    generation.room = 10**9
    room.callbacks[generation.stdin_fd]()
    assert generation.fed_after_holes == [3, 3]
    assert len(generation.fed) == 2 * PARTS + 1 + PARTS


def test_no_silence_stands_for_what_was_left_out(room: Room) -> None:
    generation = running(room)
    room.go_on(PARTS, sound=False)
    room.lose(4 * PARTS)
    room.go_on(PARTS)
    assert generation.holes == [7]
    assert generation.silence == []


def test_transcoded_cameras_that_missed_something_begin_again_one_after_the_other(
    room: Room, tmp_path: Path
) -> None:
    turns = Turns(room.clock)
    one = Room(tmp_path / "one", turns, video="h264")
    other = Room(tmp_path / "other", turns, video="h264")
    for each in (one, other):
        each.go_on(2 * PARTS)
        each.become_late()
    before = len(FakeGeneration.made)
    waited = skipped("waits-its-turn")
    for each in (one, other):
        each.go_on(2 * PARTS)
    assert len(FakeGeneration.made) == before + 1
    assert skipped("waits-its-turn") > waited
    room.clock.advance(SPACING_SECONDS)
    other.go_on(2 * PARTS)
    assert len(FakeGeneration.made) == before + 2


def test_a_transcoded_camera_that_is_behind_begins_with_a_new_key_frame(
    room: Room, tmp_path: Path
) -> None:
    room = Room(tmp_path / "transcoded", video="h264")
    room.go_on(2 * PARTS)
    late = [room.write() for _ in range(10 * PARTS)]
    room.clock.advance(CATCH_UP_SECONDS)
    room.send_together(late)
    room.go_on(1)
    second = FakeGeneration.made[1]
    assert second.fed[0][0] == late[-PARTS].path


def test_a_camera_that_was_not_late_waits_for_no_turn(room: Room, tmp_path: Path) -> None:
    turns = Turns(room.clock)
    assert turns.take()
    other = Room(tmp_path / "other", turns)
    other.go_on(2 * PARTS)
    other.new_epoch()
    other.go_on(2 * PARTS)
    assert len(FakeGeneration.made) == 2


def test_what_a_silent_camera_left_in_ffmpeg_comes_out(room: Room) -> None:
    generation = running(room)
    room.clock.advance(IDLE_SECONDS)
    room.camera.tick()
    assert not generation.closed
    room.clock.advance(1)
    room.camera.tick()
    assert generation.closed


def test_after_a_gap_the_run_goes_on_at_the_next_key_frame(room: Room) -> None:
    generation = running(room)
    room.lose()
    (letter,) = room.go_on()
    assert letter.acked
    room.go_on(2 * PARTS)
    assert FakeGeneration.made == [generation]
    assert len(generation.fed) == 4 * PARTS
    assert generation.holes == [3]


def test_what_is_left_of_another_epoch_ends_the_run(room: Room) -> None:
    generation = running(room)
    room.new_epoch()
    room.lose()
    assert room.go_on()[0].acked
    assert generation.closed


def test_a_repeated_batch_is_fed_once(room: Room) -> None:
    generation = running(room)
    batch = room.write()
    room.send(batch)
    assert room.send(batch).acked
    assert len(generation.fed) == 2 * PARTS + 1
    assert not generation.closed


def test_a_new_epoch_is_a_new_generation(room: Room) -> None:
    first = running(room)
    room.new_epoch()
    room.go_on(2 * PARTS)
    assert first.closed
    assert room.epoch in FakeGeneration.made[1].fed[0][0]


def test_a_fragment_that_is_gone_costs_the_run_only(room: Room) -> None:
    first = running(room)
    batch = room.write()
    (room.store / batch.path).unlink()
    before = skipped("fragment-gone")
    assert room.send(batch).acked
    assert skipped("fragment-gone") == before + 1
    room.lose()
    room.go_on(2 * PARTS)
    assert first.closed
    assert len(FakeGeneration.made) == 2


def test_a_fragment_that_is_too_short_costs_the_run_only(room: Room) -> None:
    generation = running(room)
    before = skipped("bad-fragment")
    assert room.send(room.write(bytes=10**6)).acked
    assert skipped("bad-fragment") == before + 1
    assert generation.closed


@pytest.mark.parametrize("body", [b"\x00garbage", b"{}", b'{"schema": 2}'])
def test_a_message_that_cannot_be_read_goes_to_the_lost(room: Room, body: bytes) -> None:
    generation = running(room)
    letter = room.send_body(body)
    assert len(room.refused) == 1
    assert not letter.acked  # whoever puts it there acknowledges it
    room.go_on()
    assert not generation.closed


def test_a_batch_of_another_camera_goes_to_the_lost(room: Room) -> None:
    path = fragment_path("camera-2", room.epoch, 0)
    room.send(room.write(camera="camera-2", path=path))
    assert "camera-2" in room.refused[0]


def test_a_child_that_dies_is_replaced_at_once_and_its_successor_after_a_pause(room: Room) -> None:
    room.end(running(room))
    room.go_on(2 * PARTS)
    second = FakeGeneration.made[1]
    assert second.fed
    room.end(second)
    assert all(letter.acked for letter in room.go_on(1))
    assert len(FakeGeneration.made) == 2
    room.go_on(4 * PARTS)
    assert len(FakeGeneration.made) == 3


def test_a_child_that_dies_takes_no_frame_with_it(room: Room) -> None:
    """Its successor begins with the fragment that was open."""
    first = running(room)
    first.room = 2000
    room.go_on(PARTS)
    first.dead = True
    room.callbacks[first.stdin_fd]()
    assert first.killed
    room.end(first)
    room.go_on(PARTS)
    second = FakeGeneration.made[1]
    assert second.fed[0][:2] == (fragment_path("camera-1", room.epoch, 2), 0)
    assert len(second.fed) == 2 * PARTS
    assert not any(acked(room)[-PARTS:])
    assert all(acked(room)[:-PARTS])


def test_children_that_never_start_are_tried_ever_more_seldom(room: Room) -> None:
    FakeGeneration.fails_to_start = True
    tries = 0.0
    for _ in range(200):
        room.go_on(PARTS)
    labels = {"camera": "camera-1", "reason": "start"}
    tries = REGISTRY.get_sample_value("cradle_encoder_child_failures_total", labels) or 0
    assert 5 <= tries <= 200 / (LONGEST_PAUSE_SECONDS / 2) + 7
    assert all(letter.acked for letter in room.letters[:-PARTS])
    FakeGeneration.fails_to_start = False
    room.go_on(int(LONGEST_PAUSE_SECONDS) * PARTS + 3 * PARTS)
    assert len(FakeGeneration.made) == 1


def test_a_child_that_is_stuck_is_killed(room: Room) -> None:
    generation = running(room)
    generation.stuck = "no-segment"
    room.camera.tick()
    assert generation.killed
    assert generation.closed


def test_a_child_that_is_stuck_with_its_input_blocked_is_replaced(room: Room) -> None:
    generation = running(room)
    generation.room = 0
    room.go_on(1)
    generation.stuck = "blocked"
    room.camera.tick()
    room.end(generation)
    room.go_on(3 * PARTS)
    assert len(FakeGeneration.made) == 2
    assert FakeGeneration.made[1].fed


def test_nobody_waits_for_a_child_that_has_said_all_and_is_not_gone(room: Room) -> None:
    first = running(room)
    room.say_all(first)
    assert not first.reaped
    first.killed = False
    room.camera.tick()
    assert not first.killed
    room.go_on(2 * PARTS)
    assert FakeGeneration.made[1].fed
    room.clock.advance(LEAVE_SECONDS)
    room.camera.tick()
    assert first.killed
    room.callbacks[first.exit_fd]()
    assert first.reaped
    assert first.exit_fd not in room.callbacks


def test_a_seat_is_free_when_the_last_child_is_gone(room: Room) -> None:
    generation = running(room)
    room.camera.close()
    room.say_all(generation)
    assert not room.camera.done.is_set()
    room.callbacks[generation.exit_fd]()
    assert room.camera.done.is_set()


def test_segments_are_published_as_they_come(room: Room) -> None:
    generation = running(room)
    generation.write_segment()
    room.hear(generation)
    assert [each.uri for each in room.playlist().segments] == [f"{generation.name}/000000.ts"]
    assert room.camera.state == "live"


def test_a_younger_generation_waits_for_the_last_segment_of_the_one_before(room: Room) -> None:
    first = running(room)
    first.write_segment()
    room.hear(first)
    room.new_epoch()
    room.go_on(2 * PARTS)
    second = FakeGeneration.made[1]
    second.write_segment()
    room.hear(second)
    assert len(room.playlist().segments) == 1
    first.write_segment()
    room.end(first)
    listed = room.playlist().segments
    assert [each.generation for each in listed] == [first.name, first.name, second.name]
    assert [each.discontinuity for each in listed] == [True, False, True]


def test_giving_the_seat_back_publishes_the_last_segment_and_returns_the_rest(room: Room) -> None:
    generation = running(room)
    generation.room = 0
    (unfed,) = room.go_on()
    room.camera.close()
    assert generation.closed
    assert not room.camera.done.is_set()
    assert not room.send(room.write()).acked
    generation.write_segment()
    room.end(generation)
    assert room.camera.done.is_set()
    assert len(room.playlist().segments) == 1
    assert not unfed.acked


def test_a_seat_is_handed_over_between_two_fragments(room: Room) -> None:
    generation = running(room, 2 * PARTS + 1)
    room.camera.hand_over()
    assert not generation.closed
    last = room.go_on(PARTS - 1)
    assert not generation.closed
    (first,) = room.go_on()
    assert generation.closed
    assert all(letter.acked for letter in last)
    assert not first.acked
    generation.write_segment()
    room.end(generation)
    assert room.camera.done.is_set()
    assert len(generation.fed) == 3 * PARTS


def test_a_seat_is_not_kept_for_a_fragment_that_never_ends(room: Room) -> None:
    generation = running(room, 2 * PARTS + 1)
    room.camera.hand_over()
    room.clock.advance(SILENT_SECONDS + 0.1)
    room.camera.tick()
    assert generation.closed
    room.end(generation)
    assert room.camera.done.is_set()


def test_a_seat_without_a_run_is_free_at_once(room: Room) -> None:
    room.camera.hand_over()
    assert room.camera.done.is_set()


def test_a_camera_that_changes_hands_at_ingest_loses_no_picture(room: Room) -> None:
    """Who leaves writes on until it has seen that the next one writes."""
    first = running(room, 2 * PARTS + 1)
    left = (room.epoch, room.fragment, room.part)
    room.new_epoch()
    early = room.go_on()
    taken, (room.epoch, room.fragment, room.part) = (room.epoch, room.fragment, room.part), left
    late = room.go_on(PARTS - 1)
    assert not first.closed
    assert len(first.fed) == 3 * PARTS
    room.epoch, room.fragment, room.part = taken
    rest = room.go_on(PARTS)
    (_, second) = FakeGeneration.made
    assert first.closed
    assert len(second.fed) == PARTS + 1
    room.go_on(PARTS)
    assert all(letter.acked for letter in (*early, *late, *rest))


def test_the_last_words_of_an_epoch_that_was_left_break_nothing(room: Room) -> None:
    running(room)
    left = (room.epoch, room.fragment, room.part)
    room.new_epoch()
    room.go_on(2 * PARTS)
    taken, (room.epoch, room.fragment, room.part) = (room.epoch, room.fragment, room.part), left
    (late,) = room.go_on()
    room.epoch, room.fragment, room.part = taken
    room.go_on(PARTS)
    (_, second) = FakeGeneration.made
    assert late.acked
    assert not second.closed
    assert len(second.fed) == 3 * PARTS


def test_a_dropped_camera_writes_nothing_more(room: Room) -> None:
    generation = running(room)
    generation.write_segment()
    room.camera.abandon("frozen")
    assert room.camera.done.is_set()
    assert generation.killed
    assert not generation.reaped  # it is not gone yet, and nobody waits
    room.callbacks[generation.exit_fd]()
    assert generation.reaped
    assert room.callbacks == {}
    assert not (room.live / NAME).exists()
    (letter,) = room.go_on()
    assert not letter.acked
    room.camera.tick()
    assert not (room.live / NAME).exists()


def test_sound_that_was_not_as_invented_begins_a_new_generation(room: Room) -> None:
    room.go_on(2 * PARTS, sound=False)
    (silent,) = FakeGeneration.made
    assert silent.recipe.sound
    room.go_on(1)  # sound begins inside a fragment
    assert len(FakeGeneration.made) == 1
    room.go_on(3 * PARTS)
    assert len(FakeGeneration.made) == 2
    fed = silent.fed + FakeGeneration.made[1].fed
    assert len(fed) == len(set(fed)) == len(room.letters)


def test_a_fragment_without_sound_gets_silence_before_the_next(room: Room) -> None:
    generation = running(room)
    assert generation.silence == []
    room.go_on(PARTS, sound=False)
    assert generation.silence == []
    room.go_on(3 * PARTS)
    assert len(generation.silence) == 1
    assert FakeGeneration.made == [generation]


def test_a_camera_without_sound_gets_none(room: Room) -> None:
    stream = StreamParameters(
        video_codec="h264", width=320, height=240, frames_per_second=30, audio_codec=None
    )
    for _ in range(4 * PARTS):
        room.send(room.write(sound=False, stream=stream))
    (generation,) = FakeGeneration.made
    assert not generation.recipe.sound
    assert generation.silence == []


def test_a_camera_whose_successor_publishes_is_dropped_and_that_is_no_fault_of_ours(
    room: Room,
) -> None:
    room.go_on(3 * PARTS)
    child = FakeGeneration.made[-1]
    theirs = new_epoch(room.clock.now() + timedelta(seconds=30))
    segment = Segment(f"{theirs}/000000.ts", 1.0, room.clock.now())
    playlist = Playlist.started_at(room.clock.now(), 1)
    playlist = playlist.with_segment(segment, keep=3, least_target_seconds=1)
    (room.live / NAME).write_text(playlist.text())
    child.write_segment()
    room.hear(child)  # nothing is raised: the loop would count it
    assert room.camera.ended == "another worker writes this camera's playlist"
    assert child.killed
