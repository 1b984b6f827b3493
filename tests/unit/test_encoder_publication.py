"""What the world is told of a camera: live while segments come, stalled when they do not."""

import os
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from encoder.folder import Done, LiveFolder
from encoder.playlist import Playlist, Segment
from encoder.publication import FRESH_SECONDS, LIVE_EVENT_SECONDS, STALLED_SECONDS, Publication
from shared.clock import SimulatedClock
from shared.config import LiveSettings
from shared.errors import SeatTaken
from shared.identity import new_epoch
from shared.log import get_logger

CAMERA = "camera-publication"


class Public:
    def __init__(self, root: Path) -> None:
        self.clock = SimulatedClock()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.folder = LiveFolder(root, CAMERA, self.clock)
        self.publication = Publication(
            CAMERA,
            self.folder,
            LiveSettings(),
            lambda event, facts: self.events.append((event, dict(facts))),
            self.clock,
            get_logger(),
        )
        self.publication.open()
        self.generation = new_epoch(self.clock.now())
        self.count = 0

    def segment(self, seconds: float = 1.0) -> None:
        """A segment of so many seconds is finished just after its last frame."""
        began = self.clock.now()
        self.clock.advance(seconds)
        name = f"{self.generation}/{self.count:06d}.ts"
        self.publication.add([Segment(name, seconds, began, self.count == 0)])
        self.count += 1

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            self.publication.tick()

    @property
    def told(self) -> list[str]:
        return [event for event, _ in self.events]


@pytest.fixture
def public(tmp_path: Path) -> Public:
    return Public(tmp_path)


def figure(name: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"camera": CAMERA})


def test_a_camera_is_live_from_its_first_segment(public: Public) -> None:
    public.pass_time(1)
    assert public.told == []
    public.segment()
    assert public.told == ["live"]
    assert public.events[0][1]["delay_seconds"] == 1.0


def test_a_dead_camera_is_told_once_and_its_playlist_stands_still(public: Public) -> None:
    public.segment()
    before = public.publication.playlist
    public.pass_time(60)
    assert public.told.count("stalled") == 1
    assert public.publication.state == "stalled"
    assert public.publication.playlist == before
    assert figure("cradle_encoder_stalled") == 1
    age = figure("cradle_encoder_newest_picture_age_seconds")
    assert age is not None
    assert age >= 60


def test_a_camera_that_never_sent_anything_is_stalled_too(public: Public) -> None:
    public.pass_time(STALLED_SECONDS + 1)
    assert public.told == ["stalled"]


def test_long_segments_are_waited_for(public: Public) -> None:
    public.segment(seconds=10)
    public.pass_time(25)
    assert public.publication.state == "live"
    public.pass_time(10)
    assert public.publication.state == "stalled"


def test_a_camera_that_comes_back_is_live_again(public: Public) -> None:
    public.segment()
    public.pass_time(20)
    public.segment()
    assert public.told[-2:] == ["stalled", "live"]
    assert figure("cradle_encoder_stalled") == 0


def test_a_live_camera_says_so_now_and_then(public: Public) -> None:
    for _ in range(int(LIVE_EVENT_SECONDS) * 3):
        public.segment()
        public.publication.tick()
    assert 3 <= public.told.count("live") <= 5


def test_the_last_pictures_of_a_dead_camera_do_not_make_it_live(public: Public) -> None:
    public.segment()
    at = public.clock.now()
    public.pass_time(FRESH_SECONDS)
    public.publication.add([Segment(f"{public.generation}/000001.ts", 0.0, at)])
    assert public.publication.state == "stalled"
    assert len(public.publication.playlist.segments) == 2


def test_a_file_that_cannot_be_deleted_stops_nothing(
    public: Public, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(40):
        public.segment()
        public.publication.tick()
    assert public.publication.state == "live"


def test_a_full_disk_is_counted_and_the_next_segment_tries_again(
    public: Public, monkeypatch: pytest.MonkeyPatch
) -> None:
    public.segment()
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "replace", full)
        public.segment()
    assert len(public.publication.playlist.segments) == 1
    assert figure("cradle_encoder_write_failures_total") == 1
    public.segment()
    assert len(public.publication.playlist.segments) == 3


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("error", [None, ValueError("a fault of ours"), SeatTaken("another's")])
def test_nothing_is_waited_for_that_has_come_to_an_end_whatever_end(
    public: Public, monkeypatch: pytest.MonkeyPatch, error: Exception | None, *, at_once: bool
) -> None:
    """A seat that is given back waits for all that is not seen yet."""
    lost: list[str] = []
    told: list[Exception | None] = []
    public.publication.lost = lost.append

    def write(_playlist: Playlist, _before: Playlist, done: Done) -> None:
        if at_once and isinstance(error, SeatTaken):
            raise error
        done(error)

    monkeypatch.setattr(public.folder, "write", write)
    segment = Segment(f"{public.generation}/000000.ts", 1.0, public.clock.now())
    public.publication.add([segment], lambda: told.append(None))
    assert public.publication.unseen == 0
    assert told == [None]
    assert lost == (["another's"] if isinstance(error, SeatTaken) else [])
