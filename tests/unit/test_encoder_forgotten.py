"""Pictures of a camera that was taken out of the configuration do not stay for ever."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encoder.folder import LiveFolder
from encoder.forgotten import UNCHANGED, Forgotten
from encoder.playlist import NAME
from shared.clock import SimulatedClock
from shared.identity import new_epoch
from shared.log import get_logger
from tests.memory_store import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD, KNOWN = "camera-old", "camera-1"
SECOND = timedelta(seconds=1)


class Place:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SimulatedClock(NOON)
        self.store = MemoryStore(self.clock, prefix="live/")
        store: Any = self.store
        self.forgotten = Forgotten(root, store, [KNOWN], self.clock, get_logger())
        for camera in (OLD, KNOWN):
            self.publish(camera)

    def publish(self, camera: str) -> None:
        for name in (NAME, f"{new_epoch(NOON)}/000000.ts"):
            self.write(f"{camera}/{name}")
            self.store.replace(f"live/{camera}/{name}", b"x", content_type="x")

    def write(self, name: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        for each in (path, *path.parents):
            if each != self.root.parent and self.root in (each, *each.parents):
                os.utime(each, (self.clock.now().timestamp(),) * 2)

    def clean(self, after: timedelta) -> None:
        self.clock.advance(after.total_seconds())
        self.forgotten.clean()

    @property
    def folders(self) -> set[str]:
        return {path.name for path in self.root.iterdir()}

    @property
    def objects(self) -> set[str]:
        return {key.split("/")[1] for key in self.store.objects}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "live")


def test_what_has_not_changed_for_an_hour_goes_from_folder_and_bucket(place: Place) -> None:
    place.clean(UNCHANGED)
    assert place.folders == place.objects == {OLD, KNOWN}
    place.clean(SECOND)
    assert place.folders == place.objects == {KNOWN}


def test_a_camera_that_another_configuration_names_is_left_alone(place: Place) -> None:
    place.clock.advance(UNCHANGED.total_seconds())
    place.publish(OLD)
    place.clean(SECOND)
    assert place.folders == place.objects == {OLD, KNOWN}


def test_nothing_else_is_touched(place: Place) -> None:
    for name in (f"words/{'0' * 20}/000000.ts", f"{OLD}/notes.txt", "Upper/index.m3u8"):
        place.write(name)
    place.store.replace(f"live/{OLD}/notes.txt", b"x", content_type="x")
    place.store.replace(f"elsewhere/{OLD}/{NAME}", b"x", content_type="x")
    (place.root / "linked").symlink_to(place.root / OLD)
    place.clean(UNCHANGED + SECOND)
    assert place.folders == {KNOWN, OLD, "words", "Upper", "linked"}
    assert [path.name for path in (place.root / OLD).iterdir()] == ["notes.txt"]
    assert (place.root / f"words/{'0' * 20}/000000.ts").exists()
    assert {key for key in place.store.objects if OLD in key} == {
        f"live/{OLD}/notes.txt",
        f"elsewhere/{OLD}/{NAME}",
    }


def test_a_store_that_is_away_is_asked_again_the_next_time(place: Place) -> None:
    place.store.is_away = True
    place.clean(UNCHANGED + SECOND)
    assert place.folders == {KNOWN}
    place.store.is_away = False
    place.clean(SECOND)
    assert place.objects == {KNOWN}


def test_who_holds_such_a_camera_goes_on_when_it_comes_back(place: Place) -> None:
    """It was silent for an hour, and another worker's configuration does not name it."""
    folder = LiveFolder(place.root, OLD, place.clock)
    folder.load(1)
    place.clean(UNCHANGED + SECOND)
    _, path = folder.new_generation()
    assert path.is_dir()
