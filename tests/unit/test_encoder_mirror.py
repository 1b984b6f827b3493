"""Live output in a bucket: playlists are whole, numbers go on, nothing of the dead stays."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from encoder.folder import LEAST_LINGER_SECONDS
from encoder.mirror import DELETE_SECONDS, LONGEST_PAUSE_SECONDS, MirroredFolder
from encoder.playlist import NAME, Playlist, Segment, parse
from encoder.strand import Strand
from shared.clock import SimulatedClock
from shared.errors import Overtaken, SeatTaken, StoreUnavailable
from shared.log import get_logger
from tests.memory_store import MemoryStore

CAMERA = "camera-1"


class AtOnce:
    """A strand whose jobs are done when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []

    def do(self, job: Callable[[], None]) -> None:
        self.jobs.append(job)

    def do_later(self, seconds: float, job: Callable[[], None]) -> None:
        self.later.append((seconds, job))

    def run(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()


class Host:
    """One encoder's disk, before the bucket that all share."""

    def __init__(self, root: Path, store: MemoryStore, clock: SimulatedClock) -> None:
        self.root, self.store, self.clock = root, store, clock
        self.strand = AtOnce()
        self.seen: list[Exception | None] = []
        self.folder = self.new_folder()

    def new_folder(self) -> MirroredFolder:
        store: Any = self.store
        strand: Any = self.strand
        return MirroredFolder(self.root, CAMERA, self.clock, store, strand, get_logger())

    def take_over(self) -> None:
        self.folder = self.new_folder()
        loaded: list[Playlist] = []
        self.folder.restore(lambda: loaded.append(self.folder.load(1)))
        self.strand.run()
        (self.playlist,) = loaded
        self.name, self.generation = self.folder.new_generation()
        self.count = 0

    def segment(self, *, run: bool = True) -> str:
        name = f"{self.count:06d}.ts"
        (self.generation / name).write_bytes(f"{self.name} {name}".encode())
        uri = f"{self.name}/{name}"
        new = Segment(uri, 1.0, self.clock.now(), self.count == 0)
        before = self.playlist
        self.playlist = before.with_segment(new, keep=3, least_target_seconds=1)
        self.folder.write(self.playlist, before, self.seen.append)
        self.count += 1
        self.clock.advance(1)
        self.folder.clean()
        if run:
            self.strand.run()
        return uri


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def store(clock: SimulatedClock) -> MemoryStore:
    return MemoryStore(clock, prefix="live/")


@pytest.fixture
def host(tmp_path: Path, store: MemoryStore, clock: SimulatedClock) -> Host:
    made = Host(tmp_path / "a", store, clock)
    made.take_over()
    return made


@pytest.fixture
def other(tmp_path: Path, store: MemoryStore, clock: SimulatedClock) -> Host:
    return Host(tmp_path / "b", store, clock)


def published(store: MemoryStore) -> Playlist:
    found = parse(store.objects[f"live/{CAMERA}/{NAME}"].decode())
    assert found is not None
    return found


def segments_of(store: MemoryStore) -> set[str]:
    prefix = f"live/{CAMERA}/"
    names = (key.removeprefix(prefix) for key in store.objects)
    return {name for name in names if name != NAME}


def test_a_playlist_names_only_what_can_be_fetched(host: Host, store: MemoryStore) -> None:
    for _ in range(5):
        host.segment()
        assert {each.uri for each in published(store).segments} <= segments_of(store)
    order = [key.rpartition("/")[2] for what, key in store.asked if what == "replace"]
    assert order[-2:] == ["000004.ts", NAME]
    assert host.seen == [None] * 5


def test_a_store_that_is_behind_is_given_the_newest_playlist_once(
    host: Host, store: MemoryStore
) -> None:
    for _ in range(3):
        host.segment(run=False)
    assert host.seen == []
    host.strand.run()
    assert host.seen == [None] * 3
    assert len(published(store).segments) == 3
    assert store.asked.count(("replace", f"live/{CAMERA}/{NAME}")) == 1


def test_what_does_not_arrive_is_told_and_comes_with_the_next(
    host: Host, store: MemoryStore
) -> None:
    host.segment()
    store.is_away = True
    host.segment()
    store.is_away = False
    host.segment()
    assert [type(each) for each in host.seen] == [type(None), StoreUnavailable, type(None)]
    assert len(published(store).segments) == 3
    assert {each.uri for each in published(store).segments} <= segments_of(store)


def test_whoever_comes_on_whatever_host_carries_the_numbers_on(
    host: Host, other: Host, store: MemoryStore
) -> None:
    for _ in range(5):
        host.segment()
    before = published(store)
    other.take_over()
    assert other.playlist == before
    other.segment()
    after = published(store)
    assert after.media_sequence > before.media_sequence
    assert after.segments[-1].discontinuity
    assert after.segments[:2] == before.segments[1:]


def test_who_was_frozen_does_not_overwrite_its_successor(
    host: Host, other: Host, store: MemoryStore
) -> None:
    host.segment()
    host.segment(run=False)  # it is frozen before this one is on its way
    other.take_over()
    other.segment()
    host.strand.run()
    assert published(store).segments[-1].generation == other.name
    assert isinstance(host.seen[-1], SeatTaken)


@pytest.mark.parametrize("successor_is_before", ["its first segment", "nothing yet"])
def test_a_request_that_was_under_way_when_its_writer_froze_replaces_nothing(
    host: Host, other: Host, store: MemoryStore, successor_is_before: str
) -> None:
    host.segment()
    late: list[Callable[[], str]] = []
    replace = store.replace_version

    def keep(*asked: Any, content_type: str) -> str:
        late.append(lambda: replace(*asked, content_type=content_type))
        raise StoreUnavailable("not answered in time")

    store.replace_version = keep  # type: ignore[method-assign,assignment]
    host.segment()
    store.replace_version = replace  # type: ignore[method-assign]
    other.take_over()
    if successor_is_before == "its first segment":
        other.segment()
    before = published(store)
    with pytest.raises(Overtaken):
        late[0]()
    assert published(store) == before
    assert published(store) == other.playlist


def test_a_request_of_its_own_that_was_answered_too_late_stops_no_writer(
    host: Host, store: MemoryStore
) -> None:
    host.segment()
    replace = store.replace_version

    def lose(*asked: Any, content_type: str) -> str:
        replace(*asked, content_type=content_type)
        raise StoreUnavailable("the answer is lost")

    store.replace_version = lose  # type: ignore[method-assign,assignment]
    host.segment()
    store.replace_version = replace  # type: ignore[method-assign]
    host.segment()
    assert [type(each) for each in host.seen] == [type(None), StoreUnavailable, type(None)]
    assert len(published(store).segments) == 3


def test_a_fault_of_ours_is_told_like_any_other_failure(
    host: Host, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(store, "replace", fail)
        host.segment(run=False)
        host.segment(run=False)
        with pytest.raises(ValueError, match="ours"):  # the strand counts it
            host.strand.run()
    assert [type(each) for each in host.seen] == [ValueError] * 2
    host.strand.run()
    host.segment()
    assert host.seen[-1] is None


def test_what_lies_in_the_bucket_is_the_strands_to_know(host: Host, clock: SimulatedClock) -> None:
    """The loop would look at a set that a thread is changing."""
    for _ in range(4):
        host.segment()
    before = set(host.folder._stored)
    clock.advance(2 * LEAST_LINGER_SECONDS)
    host.folder.clean()
    assert host.folder._stored == before
    host.strand.run()
    assert host.folder._stored < before


def test_nothing_is_published_after_the_camera_was_dropped(host: Host, store: MemoryStore) -> None:
    host.segment()
    host.segment(run=False)
    host.folder.stop()
    host.strand.run()
    assert len(published(store).segments) == 1
    assert isinstance(host.seen[-1], SeatTaken)


def test_what_left_the_playlist_leaves_bucket_and_disk(
    host: Host, store: MemoryStore, clock: SimulatedClock
) -> None:
    for _ in range(6):
        host.segment()
    clock.advance(2 * LEAST_LINGER_SECONDS)
    store.is_away = True
    host.folder.clean()
    host.strand.run()
    store.is_away = False
    clock.advance(DELETE_SECONDS)
    host.folder.clean()  # though nothing more has come since: the camera may be dead
    host.strand.run()
    assert [what for what, _ in store.asked].count("remove all") == 2
    assert segments_of(store) == {each.uri for each in published(store).segments}
    assert list(host.root.glob("*/*/*.ts")) == []


def test_what_a_dead_encoder_left_in_the_bucket_goes(
    host: Host, other: Host, store: MemoryStore, clock: SimulatedClock
) -> None:
    store.objects[f"live/{CAMERA}/{'0' * 20}/000000.ts"] = b"of a run that was killed"
    store.objects[f"live/{CAMERA}/{'0' * 20}/init.mp4"] = b"its beginning"
    store._written_at |= {key: clock.now() for key in store.objects}
    other.take_over()
    clock.advance(LEAST_LINGER_SECONDS + 1)
    other.segment()
    other.strand.run()
    assert {each.partition("/")[0] for each in segments_of(store)} == {other.name}


def test_a_key_of_the_bucket_is_no_path_of_this_machine(
    other: Host, store: MemoryStore, clock: SimulatedClock, tmp_path: Path
) -> None:
    """Whoever may write there would delete any folder here."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "000000.ts").write_text("somebody else's")
    for name in (f"{victim}/000000.ts", f"{'0' * 20}/../../{victim.name}/000000.ts", "x/../y"):
        store.objects[f"live/{CAMERA}/{name}"] = b"x"
    store._written_at |= {key: clock.now() for key in store.objects}
    other.take_over()
    for _ in range(3):
        clock.advance(LEAST_LINGER_SECONDS + 1)
        other.segment()
    assert (victim / "000000.ts").exists()


def test_a_segment_that_cannot_be_read_is_not_named(
    host: Host, store: MemoryStore, clock: SimulatedClock
) -> None:
    host.segment()
    uri = host.segment(run=False)
    (host.root / CAMERA / uri).unlink()
    (host.root / CAMERA / uri).mkdir()  # any other OSError than that it is gone
    host.strand.run()
    assert {each.uri for each in published(store).segments} <= segments_of(store)
    host.segment()
    after = published(store)
    assert [each.uri for each in after.segments] == [host.playlist.segments[-1].uri]
    assert after.media_sequence == host.playlist.media_sequence + 2  # its number stays its own


def test_a_generation_sorts_behind_its_predecessor_whose_clock_was_ahead(
    host: Host, other: Host, clock: SimulatedClock
) -> None:
    clock.step(3)
    host.name, host.generation = host.folder.new_generation()
    host.segment()
    clock.step(-3)
    other.take_over()
    assert other.name > host.name


def test_a_seat_is_not_taken_up_before_the_bucket_has_answered(
    other: Host, store: MemoryStore
) -> None:
    store.is_away = True
    loaded: list[bool] = []
    other.folder.restore(lambda: loaded.append(True))
    for _ in range(3):  # each time the thread is others' until the next
        other.strand.run()
        assert loaded == []
        assert other.folder.obstacle == "the store is away"
        ((seconds, again),) = other.strand.later
        assert 0 < seconds <= LONGEST_PAUSE_SECONDS
        other.strand.later = []
        other.strand.do(again)
    store.is_away = False
    other.strand.run()
    assert loaded == [True]
    assert other.folder.obstacle is None
    assert other.strand.later == []


def test_a_camera_that_was_dropped_waits_for_no_bucket(other: Host, store: MemoryStore) -> None:
    store.is_away = True
    other.folder.restore(lambda: None)
    other.strand.run()
    other.folder.stop()
    ((_, again),) = other.strand.later
    asked = len(store.asked)
    again()
    assert len(store.asked) == asked
    assert len(other.strand.later) == 1


def test_jobs_of_a_strand_are_done_in_order_and_a_fault_ends_none() -> None:
    done: list[int] = []

    class Pool:
        def submit(self, job: Callable[[], None]) -> None:
            waiting.append(job)

    def fail() -> None:
        raise ValueError("a fault of ours")

    waiting: list[Callable[[], None]] = []
    pool: Any = Pool()
    strand = Strand(pool, get_logger())
    strand.do(lambda: done.append(1))
    strand.do(fail)
    strand.do(lambda: done.append(2))
    assert len(waiting) == 1  # one at a time
    while waiting:
        waiting.pop()()
    assert done == [1, 2]


def test_a_job_for_later_holds_no_thread_until_then() -> None:
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        strand = Strand(pool, get_logger())
        strand.do_later(0.05, done.set)
        pool.submit(lambda: None).result(10)
        assert not done.is_set()
        assert done.wait(10)
    strand.do_later(0.0, done.set)  # the worker has stopped: nothing happens
