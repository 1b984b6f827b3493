"""A camera changes hands: what the leaver says, and what the next holder believes of it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.camera import Capture
from ingest.departures import Departures
from ingest.elsewhere import INTEREST_SECONDS, Elsewhere
from ingest.handover import (
    HAND_OVER_SECONDS,
    HANDED_OVER,
    LEAVING_NAME,
    leave,
    left_open,
    newest_epoch,
    stay,
)
from shared.bucketframes import BucketFrames
from shared.bucketplace import BucketPlace
from shared.clock import SimulatedClock
from shared.config import ArchiveSettings, CameraSettings
from shared.framestore import FrameReader
from shared.identity import new_epoch
from shared.log import get_logger
from tests.memory_store import MemoryStore

EPOCH, LATER = "0" * 19 + "1", "0" * 19 + "2"


class FakeCapture(Capture):
    """Records an epoch until it is asked to stop."""

    def __init__(self, source: str = "rtsp://192.0.2.1/1") -> None:
        self.camera = CameraSettings.model_validate({"id": "camera-1", "source": source})
        self.recorded: str | None = EPOCH
        self.asked: str | None = None

    @property
    def epoch(self) -> str | None:
        return self.recorded

    @property
    def closed(self) -> bool:
        return self.asked is not None

    def ask_to_stop(self, reason: str) -> None:
        self.asked = reason


class House:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "camera-1"
        (self.folder / EPOCH).mkdir(parents=True)
        self.clock = SimulatedClock()
        self.departures = Departures(root, self.clock, get_logger())

    def left(self) -> str | None:
        found = left_open(self.folder, self.clock.now())
        return None if found is None else found[0]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_an_epoch_that_is_left_is_spared_for_its_time_and_no_longer(house: House) -> None:
    assert house.left() is None
    leave(house.folder, EPOCH, house.clock.now())
    assert house.left() == EPOCH
    house.clock.advance(HAND_OVER_SECONDS - 0.1)
    assert house.left() == EPOCH
    house.clock.advance(0.2)
    assert house.left() is None


def test_who_leaves_sees_its_successor_on_another_host(tmp_path: Path) -> None:
    house = House(tmp_path)
    store = MemoryStore(house.clock)
    frames = BucketFrames(
        ArchiveSettings.model_validate({"secret_key": "x"}), BucketPlace("frames", "")
    )
    memory: Any = store
    frames.store = memory
    elsewhere = Elsewhere(frames, house.clock, get_logger())
    house.departures = Departures(tmp_path, house.clock, get_logger(), elsewhere.newest)
    capture = FakeCapture()
    store.objects[f"camera-1/{EPOCH}/000000.ts"] = b"its own"
    assert house.departures.begin(capture, "ingest was stopped")
    house.departures.turn()
    elsewhere.look()
    house.departures.turn()
    assert capture.asked is None
    store.objects[f"camera-1/{LATER}/000000.ts"] = b"of one who tried before"
    elsewhere.look()
    house.departures.turn()
    assert capture.asked is None
    store.objects[f"camera-1/{new_epoch(house.clock.now())}/000000.ts"] = b"the other's"
    elsewhere.look()
    house.departures.turn()
    assert capture.asked == HANDED_OVER
    assert not house.departures.unfollowed
    house.clock.advance(INTEREST_SECONDS)
    asked = len(store.asked)
    elsewhere.look()
    assert len(store.asked) == asked


def test_a_word_from_the_future_is_not_believed(house: House) -> None:
    """The clock of one of the two was stepped: nobody knows when the time is over."""
    leave(house.folder, EPOCH, house.clock.now() + timedelta(seconds=1))
    assert house.left() is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b'{"epoch": "../x", "until": "2026-01-01T00:00:00Z"}', b"\xff"]
)
def test_what_cannot_be_read_spares_nothing(house: House, content: bytes) -> None:
    (house.folder / LEAVING_NAME).write_bytes(content)
    assert house.left() is None


def test_who_stays_takes_its_word_back(house: House) -> None:
    leave(house.folder, EPOCH, house.clock.now())
    stay(house.folder)
    assert house.left() is None


def test_somebody_has_followed_when_a_later_epoch_has_begun(house: House) -> None:
    reader = FrameReader(house.root)
    assert newest_epoch(reader, "camera-1") == EPOCH
    (house.folder / LATER).mkdir()
    assert newest_epoch(reader, "camera-1") == LATER
    assert newest_epoch(reader, "camera-2") == ""


def test_a_capture_ends_when_another_records(house: House) -> None:
    capture = FakeCapture()
    assert house.departures.begin(capture, "told to")
    assert house.left() == EPOCH
    house.departures.turn()
    assert capture.asked is None
    (house.folder / LATER).mkdir()
    house.departures.turn()
    assert capture.asked == HANDED_OVER
    assert house.departures.turn() == ["camera-1"]
    assert not house.departures.cameras
    assert not house.departures.unfollowed


def test_an_epoch_that_was_there_before_is_nobody_who_follows(house: House) -> None:
    """Left behind by a worker that recorded beside this one for a while."""
    (house.folder / LATER).mkdir()
    capture = FakeCapture()
    assert house.departures.begin(capture, "told to")
    house.departures.turn()
    assert capture.asked is None


def test_a_capture_ends_when_nobody_comes(house: House) -> None:
    capture = FakeCapture()
    house.departures.begin(capture, "told to")
    house.clock.advance(HAND_OVER_SECONDS)
    house.departures.turn()
    assert capture.asked == "told to, and nobody came"
    assert house.departures.unfollowed == {"camera-1"}


def test_a_capture_ends_with_its_epoch(house: House) -> None:
    """Another one would be nobody's: the next holder may have looked already."""
    capture = FakeCapture()
    house.departures.begin(capture, "told to")
    capture.recorded = None
    house.departures.turn()
    assert capture.asked == "told to"


def test_a_seat_that_comes_back_finds_its_capture(house: House) -> None:
    capture = FakeCapture()
    house.departures.begin(capture, "told to")
    assert house.departures.take_back("camera-1") is capture
    assert house.left() is None
    house.clock.advance(HAND_OVER_SECONDS)
    assert house.departures.turn() == []
    assert capture.asked is None


def test_a_capture_that_is_ending_does_not_come_back(house: House) -> None:
    capture = FakeCapture()
    house.departures.begin(capture, "told to")
    house.departures.end_all()
    assert house.departures.take_back("camera-1") is None


def test_what_records_nothing_and_what_only_one_can_open_is_not_handed_over(house: House) -> None:
    silent = FakeCapture()
    silent.recorded = None
    assert not house.departures.begin(silent, "told to")
    assert not house.departures.begin(FakeCapture("device:0"), "told to")
    assert house.left() is None


def test_where_nothing_can_be_written_nothing_is_handed_over(house: House) -> None:
    (house.folder / EPOCH).rmdir()
    house.folder.rmdir()
    assert not house.departures.begin(FakeCapture(), "told to")
