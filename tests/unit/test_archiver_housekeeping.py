"""The comparison with the frame store ends, however much there is."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from archiver.book import Book
from archiver.continuity import Continuity
from archiver.housekeeping import AGAIN_SECONDS, FIRST_RECONCILE_SECONDS, Housekeeping
from archiver.reconcile import RECONCILE_SECONDS
from shared.bucketframes import BucketFrames
from shared.clock import SimulatedClock
from shared.config import ArchiveSettings
from shared.identity import new_epoch
from shared.log import get_logger
from shared.messages import EpochEnd, Fragment
from tests.archiver_fragments import CAMERA, START, empty_bucket


class Desk:
    """Does a chore at once."""

    def chore(self, job: Callable[[], Any], then: Callable[[Future[Any]], None]) -> None:
        future: Future[Any] = Future()
        future.set_result(job())
        then(future)


class Camera:
    """What housekeeping sees of a camera."""

    def __init__(self, frames: BucketFrames) -> None:
        self.camera, self.closed, self.found = CAMERA, False, None
        self.clock = SimulatedClock(START)
        self.tools = SimpleNamespace(
            clock=self.clock,
            frames=frames,
            store=frames.store,
            awaited_seconds=0.0,
            desk=Desk(),
            settings=ArchiveSettings(),
        )
        self.log = get_logger()
        self.book, self.continuity = Book(600, 10), Continuity()
        self.intake = SimpleNamespace(caught_up=True, prefetch=100)
        self.windows_under_way: set[int] = set()
        self.told: list[Fragment | EpochEnd] = []

    def read_folders(self, _days: object) -> bool:
        return True

    def take_up(self, found: list[Fragment | EpochEnd]) -> None:
        self.told += found
        for each in found:
            assert isinstance(each, EpochEnd)
            self.continuity.end(each, certain=True)


def end_of(number: int) -> EpochEnd:
    moment = START - timedelta(minutes=10 - number)
    epoch = new_epoch(moment)
    return EpochEnd(camera=CAMERA, epoch=epoch, fragments=1, ended_at=moment, reason="it broke off")


def test_more_ended_epochs_than_are_remembered_are_told_once_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a bucket they lie for a day, and a camera that breaks off all the time has many."""
    monkeypatch.setattr("archiver.continuity.KEPT_EPOCHS", 4)
    frames, _ = empty_bucket()
    ends = [end_of(number) for number in range(7)]
    for each in ends[:6]:
        frames.put_end(each)
    camera: Any = Camera(frames)
    housekeeping = Housekeeping(camera)
    for pause in (FIRST_RECONCILE_SECONDS, AGAIN_SECONDS, RECONCILE_SECONDS + AGAIN_SECONDS):
        camera.clock.advance(pause)
        housekeeping.advance()
    assert camera.told == ends[:6]
    frames.put_end(ends[6])
    frames.put_end(better := ends[0].model_copy(update={"fragments": 2}))
    camera.clock.advance(RECONCILE_SECONDS + AGAIN_SECONDS)
    housekeeping.advance()
    assert camera.told[6:] == [better, ends[6]]
