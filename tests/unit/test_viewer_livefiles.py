"""Live output from a bucket: fetched once for all who look, never old, never waited for twice."""

from typing import Any

import pytest

from shared.clock import SimulatedClock
from shared.log import get_logger
from tests.memory_store import MemoryStore
from viewer.livefiles import AWAY_SECONDS, PLAYLIST_SECONDS, SEGMENT_SECONDS, BucketFiles

PLAYLIST, SEGMENT = "camera-1/index.m3u8", f"camera-1/{'0' * 20}/000001.ts"


class Desk:
    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.store = MemoryStore(self.clock, prefix="live/")
        store: Any = self.store
        self.files = BucketFiles(store, self.clock, get_logger())

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
            assert desk.files.read(name) == name.encode()
    assert desk.reads == 2


def test_a_playlist_is_never_older_than_half_a_second(desk: Desk) -> None:
    desk.put(PLAYLIST, b"one")
    assert desk.files.read(PLAYLIST) == b"one"
    desk.put(PLAYLIST, b"two")
    desk.clock.advance(PLAYLIST_SECONDS)
    assert desk.files.read(PLAYLIST) == b"two"


def test_what_nobody_asks_for_any_more_is_let_go(desk: Desk) -> None:
    desk.put(SEGMENT, b"old")
    desk.files.read(SEGMENT)
    desk.clock.advance(SEGMENT_SECONDS)
    desk.put(PLAYLIST, b"x")
    desk.files.read(PLAYLIST)
    assert list(desk.files._kept) == [PLAYLIST]


def test_what_is_not_there_is_not_remembered(desk: Desk) -> None:
    assert desk.files.read(PLAYLIST) is None
    desk.put(PLAYLIST, b"begun")
    assert desk.files.read(PLAYLIST) == b"begun"


def test_a_store_that_does_not_answer_is_not_asked_by_everybody(desk: Desk) -> None:
    desk.put(PLAYLIST, b"one")
    desk.store.is_away = True
    for _ in range(5):
        assert desk.files.read(PLAYLIST) is None
    assert desk.reads == 1
    desk.store.is_away = False
    desk.clock.advance(AWAY_SECONDS)
    assert desk.files.read(PLAYLIST) == b"one"
