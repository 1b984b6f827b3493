"""Cleaning a frame store that is a bucket: stored first, others written down, nobody's closed."""

import errno
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ingest.bucketjanitor import ABANDONED_SECONDS, TOTAL_SECONDS
from ingest.choice import GIB
from ingest.janitor import Janitor
from ingest.lines import Cursor
from ingest.recovery import INTERRUPTED, append_lines, begin_epoch, close_epoch
from ingest.shelf import Shelf
from ingest.stored import note_stored
from ingest.uploads import Uploads
from shared.bucketframes import BucketFrames
from shared.clock import SimulatedClock
from shared.config import from_mapping
from shared.custody import FragmentsLost, read_custody
from shared.framestore import INDEX_NAME
from shared.identity import ClipIdentity, fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import EpochEnd, Event, Fragment, Stage, StreamParameters
from tests.memory_store import MemoryStore
from tests.support import eventually

CAMERA, FORGOTTEN = "camera-1", "camera-9"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec=None
)
BYTES = 1000
SECONDS = 10.0
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def make_fragment(epoch: str, number: int, camera: str) -> Fragment:
    return Fragment(
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


class House:
    """An ingest's janitor, its frames in one bucket and the archive in another."""

    def __init__(self, root: Path, others: Sequence[dict[str, str]] = (), **frames: Any) -> None:
        self.clock = SimulatedClock(NOON)
        self.settings = from_mapping(
            {
                "archive": {"secret_key": "x"},
                "frames": {"url": "s3://frames/nursery", "spool": root.as_uri(), **frames},
                "cameras": [{"id": CAMERA, "source": "test:"}, *others],
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
        root, log = self.settings.frames.root, get_logger()
        self.uploads = Uploads(root, self.frames, lambda _: None, self.clock, log)
        self.janitor = Janitor(
            self.settings, archive, self.clock, log, self.frames, self.uploads.wake
        )
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
            self.frames.put(make_fragment(epoch, number, camera), bytes(BYTES))

    def end(self, epoch: str, fragments: int, camera: str = CAMERA) -> None:
        self.frames.put_end(
            EpochEnd(camera=camera, epoch=epoch, fragments=fragments, ended_at=NOON, reason="x")
        )

    def commit(self, epoch: str, first: int, last: int, *, heard: bool = True) -> None:
        """The archiver commits a clip now, and says so; another host may hear it."""
        identity = ClipIdentity(CAMERA, epoch, first, last, NOON + timedelta(seconds=first))
        for key in (identity.object_key("mp4"), identity.manifest_key):
            self.archive.create_bytes(key, b"", content_type="x")
        if not heard:
            return
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
        assert self.janitor.bucket is not None
        self.janitor.bucket.cameras = self.janitor.cameras
        self.janitor.bucket.turn()
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


def test_what_was_stored_while_another_host_had_the_camera_is_found_in_the_bucket(
    house: House,
) -> None:
    epoch = house.record(6)
    house.commit(epoch, 0, 3, heard=False)
    house.clean(14 * MINUTE)
    assert house.left(epoch) == [0, 1, 2, 3, 4, 5]
    asked = len(house.archive.asked)
    house.clean(2 * MINUTE)
    assert house.left(epoch) == [4, 5]
    assert house.archive.asked[asked:] == [("list", "clips/camera-1/2026/03/01/")]
    house.clean(8 * MINUTE)
    assert len(house.archive.asked) == asked + 1
    house.commit(epoch, 4, 5, heard=False)
    house.clean(2 * MINUTE)
    house.clean(9 * MINUTE)
    assert house.left(epoch) == []
    assert house.janitor.expired.news(house.clock.now()) == {}


def test_nobody_is_told_of_a_loss_that_a_clip_denies(tmp_path: Path) -> None:
    house = House(tmp_path, quota_gib=2 * BYTES / GIB)
    epoch = house.record(6)
    house.commit(epoch, 0, 2, heard=False)
    house.clean()
    assert house.left(epoch) == [4, 5]
    assert house.losses == [(3, 3, "quota")]
    assert house.janitor.expired.news(house.clock.now())[CAMERA].fragments == 1


def test_with_the_archive_away_people_are_told_of_all_that_may_be_lost(tmp_path: Path) -> None:
    house = House(tmp_path, quota_gib=2 * BYTES / GIB)
    epoch = house.record(6)
    house.commit(epoch, 0, 2, heard=False)
    house.archive.is_away = True
    house.clean()
    assert house.left(epoch) == [4, 5]
    assert house.janitor.expired.news(house.clock.now())[CAMERA].fragments == 4
    house.archive.is_away = False
    house.clean()
    assert house.losses == [(3, 3, "quota")]


def test_what_was_never_stored_goes_at_its_age_and_is_written_down(house: House) -> None:
    epoch = house.record(3)
    house.clean(25 * HOUR)
    assert house.left(epoch) == []
    assert house.losses == [(0, 2, "retention")]


def test_one_listing_tells_which_of_all_that_was_deleted_is_there_all_the_same(
    house: House,
) -> None:
    house.record(200)
    before = len(house.store.asked)
    house.clean(25 * HOUR)
    assert house.losses == [(0, 199, "retention")]
    assert [what for what, _ in house.store.asked[before:]].count("stat") == 200  # its metadata
    assert len(house.store.asked) - before < 210


def test_nothing_unarchived_goes_that_cannot_be_written_down_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool's disk is full, and deleting from the bucket makes no room there."""
    house = House(tmp_path, quota_gib=BYTES / GIB)
    epoch = house.record(6)
    house.commit(epoch, 4, 5)

    def no_room(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", no_room)
        house.clean()
        assert house.left(epoch) == [0, 1, 2, 3]
        assert house.janitor.expired.news(NOON) == {}
        house.clean(25 * HOUR)
        assert house.left(epoch) == [0, 1, 2, 3]
    house.clean()
    assert house.left(epoch) == []
    assert house.losses == [(0, 3, "retention")]


def test_over_the_quota_the_oldest_goes_first_the_stored(tmp_path: Path) -> None:
    house = House(tmp_path, quota_gib=4 * BYTES / GIB)
    epoch = house.record(6)
    house.commit(epoch, 4, 5)
    house.clean()
    assert house.left(epoch) == [0, 1, 2, 3]
    house.add(epoch, range(6, 7))
    house.clean(timedelta(seconds=TOTAL_SECONDS + 1))
    assert house.left(epoch) == [1, 2, 3, 6]
    assert house.losses == [(0, 0, "quota")]


def test_a_camera_with_more_than_its_share_loses_nothing_while_there_is_room(
    tmp_path: Path,
) -> None:
    others = [{"id": f"other-{number}", "source": "test:"} for number in range(5)]
    house = House(tmp_path, others, quota_gib=12 * BYTES / GIB)
    epoch = house.record(10)
    house.clean()
    assert house.left(epoch) == list(range(10))


def test_of_what_is_too_much_each_camera_gives_its_part(tmp_path: Path) -> None:
    others = [{"id": "other-1", "source": "test:"}]
    house = House(tmp_path, others, quota_gib=12 * BYTES / GIB)
    epoch = house.record(12)
    house.record(4, camera="other-1")
    house.clean()
    assert house.left(epoch) == list(range(3, 12))
    house.clean(MINUTE)  # how large the whole store is was looked at before that
    assert house.left(epoch) == list(range(3, 12))


def test_the_size_of_the_whole_store_is_told_whoever_has_the_cameras(tmp_path: Path) -> None:
    house = House(tmp_path, [{"id": "other-1", "source": "test:"}])
    house.record(3)
    house.record(4, camera="other-1")  # another worker has it
    house.clean()
    house.janitor.clean()
    assert REGISTRY.get_sample_value("cradle_ingest_frame_store_bytes") == 7 * BYTES


def test_what_was_put_here_is_not_asked_about(house: House) -> None:
    epoch = house.record(3)
    assert house.janitor.bucket is not None
    for record in house.frames.closed(CAMERA, epoch).fragments:
        house.janitor.bucket.tell(record)
    before = len(house.store.asked)
    house.clean()
    assert "stat" not in {what for what, _ in house.store.asked[before:]}
    assert len(house.janitor.bucket.kept(CAMERA)) == 3


def test_an_object_that_nobody_can_read_goes_at_its_age(house: House) -> None:
    epoch = house.record(1)
    key = f"nursery/{fragment_path(CAMERA, epoch, 7)}"
    house.store.create_bytes(key, b"by hand", content_type="x")
    house.clean()
    house.clean(25 * HOUR)
    assert key not in house.store.objects


def test_what_was_uploaded_is_nothing_that_the_spool_still_holds(house: House) -> None:
    """Files go behind the back of the spool's janitor."""
    root, epoch = house.settings.frames.root, new_epoch(NOON)
    folder = root / CAMERA / epoch
    begin_epoch(folder, NOON, STREAM)
    shelf = Shelf(root, CAMERA, is_spool=True)
    for number in range(3):
        path = fragment_path(CAMERA, epoch, number)
        (root / path).write_bytes(bytes(10))
        line = make_fragment(epoch, number, CAMERA)
        index = folder / INDEX_NAME
        append_lines(index, [line], index.stat().st_size if index.exists() else 0)
        assert len(shelf.look()) == 1
        (root / path).unlink()
    assert shelf.look() == []


def test_what_is_closed_for_a_dead_writer_is_uploaded_though_no_line_of_its_camera_comes(
    house: House,
) -> None:
    root, epoch = house.settings.frames.root, new_epoch(NOON)
    begin_epoch(root / FORGOTTEN / epoch, NOON, STREAM)
    house.uploads.start()
    eventually(lambda: house.uploads.reaches(FORGOTTEN, Cursor("", 0)), SECONDS)
    waiting = "cradle_ingest_upload_waiting_cameras"
    eventually(lambda: REGISTRY.get_sample_value(waiting) == 0, SECONDS)
    close_epoch(root, FORGOTTEN, epoch, INTERRUPTED, get_logger())
    house.janitor.clean()
    eventually(lambda: house.frames.closed(FORGOTTEN, epoch).end, SECONDS)
    house.uploads.finish(SECONDS)


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


def test_a_camera_that_another_configuration_names_is_left_alone(house: House) -> None:
    epoch = house.record(2, camera=FORGOTTEN, ended=False)
    house.clean()
    house.clean(timedelta(seconds=2 * ABANDONED_SECONDS))
    assert house.frames.closed(FORGOTTEN, epoch).end is None


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


def test_the_name_of_an_epoch_is_in_memory_once_however_many_fragments_it_has(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    epoch = house.record(3)
    bucket = house.janitor.bucket
    assert bucket is not None
    bucket.tell(make_fragment("".join(epoch), 0, "".join(CAMERA)))  # ours is not asked for
    bucket.clean(CAMERA)
    kept = bucket.kept(CAMERA)
    assert [each.number for each in kept] == [0, 1, 2]
    assert len({id(each.epoch) for each in kept}) == len({id(each.camera) for each in kept}) == 1
