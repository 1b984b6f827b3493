"""Fragments that were fetched: there while they are live, never waited for."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from encoder.cursor import LIVE_BUDGET_SECONDS
from encoder.fetched import KEPT_SECONDS, Fetched
from shared.bucketframes import BucketFrames
from shared.bucketplace import BucketPlace
from shared.clock import SimulatedClock
from shared.config import ArchiveSettings
from shared.errors import BadFragment, FragmentGone
from shared.identity import fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import Batch, StreamParameters
from tests.memory_store import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = new_epoch(NOON)
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec=None
)


class Desk:
    def __init__(self) -> None:
        self.clock = SimulatedClock(NOON)
        self.store = MemoryStore(self.clock)
        frames = BucketFrames(
            ArchiveSettings.model_validate({"secret_key": "x"}), BucketPlace("frames", "")
        )
        store: Any = self.store
        frames.store = store
        self.fetched = Fetched(frames, self.clock, get_logger())

    def fetch(self, number: int, *, is_there: bool = True, age_seconds: float = 0.0) -> str:
        path = fragment_path("camera-1", EPOCH, number)
        if is_there:
            self.store.objects[path] = bytes([number]) * 1000
        batch = Batch(
            camera="camera-1",
            epoch=EPOCH,
            fragment=number,
            path=path,
            part=0,
            offset=0,
            bytes=1000,
            frames=30,
            captured_at=NOON,
            written_at=self.clock.now() - timedelta(seconds=age_seconds),
            stream=STREAM,
        )
        self.fetched.fetch(batch.to_body())
        return path


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_was_fetched_is_read_without_asking_anybody(desk: Desk) -> None:
    path = desk.fetch(7)
    asked = len(desk.store.asked)
    assert desk.fetched.read(path, 10, 5) == bytes([7]) * 5
    assert desk.fetched.sizes([path, "x"]) == [1000, None]
    out, into = os.pipe()
    assert desk.fetched.copy_to(path, 990, 10, into) == 10
    os.close(into)
    assert os.read(out, 100) == bytes([7]) * 10
    os.close(out)
    with pytest.raises(BadFragment):
        desk.fetched.read(path, 995, 10)
    assert len(desk.store.asked) == asked


@pytest.mark.parametrize("is_away", [True, False])
def test_what_could_not_be_fetched_is_gone(desk: Desk, is_away: bool) -> None:
    desk.store.is_away = is_away
    path = desk.fetch(1, is_there=False)
    with pytest.raises(FragmentGone):
        desk.fetched.read(path, 0, 1)
    desk.fetched.fetch(b"no batch at all")


def test_what_is_not_live_any_more_is_not_fetched(desk: Desk) -> None:
    """The loop leaves it out; after an outage it would be asked for behind all that is as old."""
    old = desk.fetch(1, age_seconds=LIVE_BUDGET_SECONDS + 0.1)
    assert desk.store.asked == []
    with pytest.raises(FragmentGone):
        desk.fetched.read(old, 0, 1)
    live = desk.fetch(2, age_seconds=LIVE_BUDGET_SECONDS)
    assert desk.fetched.read(live, 0, 1) == b"\x02"


def test_what_was_fed_stays_while_a_child_may_die_and_then_goes(desk: Desk) -> None:
    first = desk.fetch(1)
    desk.clock.advance(KEPT_SECONDS)
    desk.fetch(2)
    assert desk.fetched.read(first, 0, 1) == b"\x01"
    desk.clock.advance(1)
    third = desk.fetch(3)
    with pytest.raises(FragmentGone):
        desk.fetched.read(first, 0, 1)
    assert desk.fetched.read(third, 0, 1) == b"\x03"
