"""Live output from a bucket: fetched once for all who look, never old, never waited for twice."""

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from shared.clock import SimulatedClock
from shared.createonly import KEPT_CONNECTIONS
from shared.log import get_logger
from tests.memory_store import MemoryStore
from viewer.live import _read
from viewer.livefiles import (
    AWAY_SECONDS,
    BUCKET_READERS,
    MOST_FETCHES,
    PLAYLIST_SECONDS,
    SEGMENT_SECONDS,
    BucketFiles,
)

PLAYLIST, SEGMENT = "camera-1/index.m3u8", f"camera-1/{'0' * 20}/000001.ts"


class Desk:
    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.store = MemoryStore(self.clock, prefix="live/")
        store: Any = self.store
        self.files = BucketFiles(store, self.clock, get_logger())

    def read(self, name: str) -> bytes | None:
        return self.files.read(name).result(10)

    def put(self, name: str, data: bytes) -> None:
        self.store.replace(f"live/{name}", data, content_type="x")

    @property
    def reads(self) -> int:
        return sum(1 for what, _ in self.store.asked if what == "read")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_file_is_fetched_once_for_all_who_look(desk: Desk) -> None:
    for name in (PLAYLIST, SEGMENT):
        desk.put(name, name.encode())
        for _ in range(5):
            assert desk.read(name) == name.encode()
    assert desk.reads == 2


def test_a_playlist_is_never_older_than_half_a_second(desk: Desk) -> None:
    desk.put(PLAYLIST, b"one")
    assert desk.read(PLAYLIST) == b"one"
    desk.put(PLAYLIST, b"two")
    desk.clock.advance(PLAYLIST_SECONDS)
    assert desk.read(PLAYLIST) == b"two"


def test_a_segment_is_kept_while_players_ask_for_it(desk: Desk) -> None:
    desk.put(SEGMENT, b"a second of a room")
    desk.read(SEGMENT)
    desk.clock.advance(SEGMENT_SECONDS - 0.1)
    desk.read(SEGMENT)
    assert desk.reads == 1


@pytest.mark.parametrize("name", [PLAYLIST, SEGMENT])
def test_that_something_is_not_there_is_believed_for_half_a_second(desk: Desk, name: str) -> None:
    for _ in range(5):
        assert desk.read(name) is None
    assert desk.reads == 1
    desk.put(name, b"begun")
    desk.clock.advance(PLAYLIST_SECONDS)
    assert desk.read(name) == b"begun"


class SlowStore:
    """It answers each request when the test says so."""

    prefix = ""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.begun = threading.Semaphore(0)
        self.asked: list[str] = []

    def read(self, key: str, _limit_bytes: int) -> bytes:
        self.asked.append(key)
        self.begun.release()
        if "slow" in key:
            assert self.answers.wait(10)
        return key.encode()


@pytest.fixture
def slow() -> Iterator[SlowStore]:
    store = SlowStore()
    yield store
    store.answers.set()


def test_who_waits_for_one_slow_file_holds_up_nobody_else(slow: SlowStore) -> None:
    store: Any = slow
    files = BucketFiles(store, SimulatedClock(), get_logger())
    waiting = [files.read("slow") for _ in range(4 * BUCKET_READERS)]
    assert files.read("another").result(10) == b"another"
    assert not any(each.done() for each in waiting)
    slow.answers.set()
    assert {each.result(10) for each in waiting} == {b"slow"}
    assert sorted(slow.asked) == ["another", "slow"]


def test_a_wall_of_cameras_is_asked_for_at_the_same_time(slow: SlowStore) -> None:
    """120 files a second of a store that is 50 ms away: six at once, and some room."""
    store: Any = slow
    files = BucketFiles(store, SimulatedClock(), get_logger())
    waiting = [files.read(f"slow-{number}") for number in range(BUCKET_READERS)]
    assert all(slow.begun.acquire(timeout=10) for _ in waiting)
    assert 120 * 0.05 * 2 <= BUCKET_READERS <= KEPT_CONNECTIONS


def test_what_waits_for_a_reader_is_bounded(slow: SlowStore) -> None:
    store: Any = slow
    files = BucketFiles(store, SimulatedClock(), get_logger())
    waiting = [files.read(f"slow-{number}") for number in range(MOST_FETCHES)]
    assert files.read("one-more").result(0) is None
    slow.answers.set()
    assert all(each.result(10) for each in waiting)
    assert files.read("one-more").result(10) == b"one-more"


def test_a_person_who_leaves_takes_nothing_from_those_who_look_with_them(
    slow: SlowStore,
) -> None:
    store: Any = slow
    files = BucketFiles(store, SimulatedClock(), get_logger())
    here: Any = SimpleNamespace(live=files)

    for number in range(BUCKET_READERS):
        files.read(f"slow-{number}")  # so that the next one waits, and could be cancelled

    async def look() -> bytes:
        leaving, staying = (asyncio.ensure_future(_read(here, "slow")) for _ in range(2))
        await asyncio.sleep(0)  # both have asked
        leaving.cancel()
        await asyncio.wait([leaving])
        slow.answers.set()
        return await asyncio.wait_for(staying, 10)

    assert asyncio.run(look()) == b"slow"
    assert slow.asked.count("slow") == 1


def test_a_store_that_does_not_answer_is_not_asked_by_everybody(desk: Desk) -> None:
    desk.put(PLAYLIST, b"one")
    desk.store.is_away = True
    for _ in range(5):
        assert desk.read(PLAYLIST) is None
    assert desk.reads == 1
    desk.store.is_away = False
    desk.clock.advance(AWAY_SECONDS)
    assert desk.read(PLAYLIST) == b"one"
