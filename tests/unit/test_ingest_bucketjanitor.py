"""Cleaning a frame store that is a bucket: stored first, others written down, nobody's closed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ingest.bucketjanitor import ABANDONED_SECONDS
from ingest.choice import GIB
from ingest.janitor import Janitor
from ingest.recovery import INTERRUPTED, begin_epoch
from ingest.stored import note_stored
from shared.bucketframes import BucketFrames
from shared.clock import SimulatedClock
from shared.config import from_mapping
from shared.custody import FragmentsLost, read_custody
from shared.identity import ClipIdentity, fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import EpochEnd, Event, Fragment, Stage, StreamParameters
from tests.memory_store import MemoryStore

CAMERA, FORGOTTEN = "camera-1", "camera-9"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec=None
)
BYTES = 1000
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class House:
    """An ingest's janitor, its frames in one bucket and the archive in another."""

    def __init__(self, root: Path, **frames: Any) -> None:
        self.clock = SimulatedClock(NOON)
        self.settings = from_mapping(
            {
                "archive": {"secret_key": "x"},
                "frames": {"url": "s3://frames/nursery", "spool": root.as_uri(), **frames},
                "cameras": [{"id": CAMERA, "source": "test:"}],
            }
        )
        self.settings.frames.root.mkdir(parents=True)
        place = self.settings.frames.bucket
        assert place is not None
        self.frames = BucketFrames(self.settings.archive, place)
        self.store, self.archive = MemoryStore(self.clock), MemoryStore(self.clock)
        store: Any = self.store
        archive: Any = self.archive
        self.frames.store = store
        self.janitor = Janitor(self.settings, archive, self.clock, get_logger(), self.frames)
        self.janitor.cameras = (CAMERA,)

    def record(
        self, fragments: int, *, camera: str = CAMERA, ended: bool = True, first: int = 0
    ) -> str:
        epoch = new_epoch(NOON)
        self.add(epoch, range(first, first + fragments), camera)
        if ended:
            self.end(epoch, first + fragments, camera)
        return epoch

    def add(self, epoch: str, numbers: range, camera: str = CAMERA) -> None:
        for number in numbers:
            record = Fragment(
                camera=camera,
                epoch=epoch,
                fragment=number,
                path=fragment_path(camera, epoch, number),
                bytes=BYTES,
                frames=30,
                captured_at=NOON + timedelta(seconds=number),
                duration_seconds=1,
                key_frame_bytes=100,
                stream=STREAM,
            )
            self.frames.put(record, bytes(BYTES))

    def end(self, epoch: str, fragments: int, camera: str = CAMERA) -> None:
        self.frames.put_end(
            EpochEnd(camera=camera, epoch=epoch, fragments=fragments, ended_at=NOON, reason="x")
        )

    def commit(self, epoch: str, first: int, last: int) -> None:
        """The archiver commits a clip now, and says so."""
        identity = ClipIdentity(CAMERA, epoch, first, last, NOON + timedelta(seconds=first))
        for key in (identity.object_key("mp4"), identity.manifest_key):
            self.archive.create_bytes(key, b"", content_type="x")
        event = Event(
            stage=Stage.ARCHIVER,
            worker="archiver-1",
            camera=CAMERA,
            event="stored",
            at=NOON,
            detail={"epoch": epoch, "first": first, "last": last},
        )
        assert note_stored(self.settings.frames.words, event.to_body(), make=True)

    def clean(self, after: timedelta = timedelta()) -> None:
        self.clock.advance(after.total_seconds())
        self.janitor.clean()

    def left(self, epoch: str, camera: str = CAMERA) -> list[int]:
        index = self.frames.closed(camera, epoch)
        return [each.fragment for each in index.fragments]

    @property
    def losses(self) -> list[tuple[int, int, str]]:
        found = [read_custody(data) for key, data in self.archive.objects.items() if "lost" in key]
        lost = [each for each in found if isinstance(each, FragmentsLost)]
        return [(each.first, each.last, each.reason) for each in lost]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_what_is_in_a_clip_goes_after_its_time_and_nothing_else(house: House) -> None:
    epoch = house.record(6)
    house.commit(epoch, 0, 3)
    house.clean(9 * MINUTE)
    assert house.left(epoch) == [0, 1, 2, 3, 4, 5]
    house.clean(2 * MINUTE)
    assert house.left(epoch) == [4, 5]
    assert house.losses == []


def test_a_word_that_the_bucket_does_not_bear_out_deletes_nothing(house: House) -> None:
    epoch = house.record(3)
    house.commit(epoch, 0, 2)
    for key in [key for key in house.archive.objects if key.startswith("clips/")]:
        del house.archive.objects[key]
    house.clean(HOUR)
    assert house.left(epoch) == [0, 1, 2]


def test_what_was_never_stored_goes_at_its_age_and_is_written_down(house: House) -> None:
    epoch = house.record(3)
    house.clean(25 * HOUR)
    assert house.left(epoch) == []
    assert house.losses == [(0, 2, "retention")]


def test_over_its_share_of_the_quota_the_oldest_goes_first_the_stored(tmp_path: Path) -> None:
    house = House(tmp_path, quota_gib=4 * BYTES / GIB)
    epoch = house.record(6)
    house.commit(epoch, 4, 5)
    house.clean()
    assert house.left(epoch) == [0, 1, 2, 3]
    house.add(epoch, range(6, 7))
    house.clean()
    assert house.left(epoch) == [1, 2, 3, 6]
    assert house.losses == [(0, 0, "quota")]


def test_each_fragment_is_asked_about_once(house: House) -> None:
    house.record(5)
    house.clean()
    before = len(house.store.asked)
    house.clean()
    assert {what for what, _ in house.store.asked[before:]} == {"list"}


def test_an_epoch_whose_writer_is_gone_is_closed_as_it_stands(house: House) -> None:
    epoch = house.record(3, ended=False)
    house.clean()
    house.add(epoch, range(3, 4))  # it still writes
    house.clean(timedelta(seconds=ABANDONED_SECONDS))
    assert house.frames.closed(CAMERA, epoch).end is None
    house.clean(timedelta(seconds=ABANDONED_SECONDS))
    end = house.frames.closed(CAMERA, epoch).end
    assert end is not None
    assert (end.fragments, end.reason) == (4, INTERRUPTED)
    assert end.ended_at == NOON + timedelta(seconds=4)
    house.add(epoch, range(4, 6))  # its host is back, and had more in its spool
    house.end(epoch, 6)
    house.clean()
    end = house.frames.closed(CAMERA, epoch).end
    assert end is not None
    assert (end.fragments, end.reason) == (6, "x")


def test_an_epoch_that_is_written_here_is_closed_by_its_writer(house: House) -> None:
    epoch = house.record(3, ended=False)
    begin_epoch(house.settings.frames.root / CAMERA / epoch, NOON, STREAM)
    house.clean()
    house.clean(2 * timedelta(seconds=ABANDONED_SECONDS))
    assert house.frames.closed(CAMERA, epoch).end is None


def test_nothing_is_left_of_an_epoch_in_the_end(house: House) -> None:
    epoch = house.record(2)
    house.commit(epoch, 0, 1)
    house.clean(HOUR)
    assert house.frames.closed(CAMERA, epoch).end is not None  # an archiver may want to know
    house.clean(25 * HOUR)
    house.clean()
    assert house.store.objects == {}
    assert list((house.settings.frames.words / CAMERA).iterdir()) == []


def test_a_camera_that_no_configuration_names_is_cleaned_after(house: House) -> None:
    epoch = house.record(2, camera=FORGOTTEN)
    house.clean(25 * HOUR)
    assert house.left(epoch, FORGOTTEN) == []


def test_a_store_that_is_away_keeps_no_spool_from_being_cleaned(house: House) -> None:
    house.record(2)
    house.store.is_away = house.archive.is_away = True
    house.clean(25 * HOUR)
    house.store.is_away = house.archive.is_away = False
    house.clean()
    assert house.losses == [(0, 1, "retention")]


def test_a_spool_is_told_with_its_limit_and_what_the_archive_waits_for_with_its_age(
    house: House,
) -> None:
    house.record(2)
    house.clean()
    limit = REGISTRY.get_sample_value("cradle_ingest_spool_quota_bytes")
    assert limit == house.settings.frames.spool_gib * GIB
    name = "cradle_ingest_archived_up_to_timestamp_seconds"
    assert REGISTRY.get_sample_value(name, {"camera": CAMERA}) == NOON.timestamp()
