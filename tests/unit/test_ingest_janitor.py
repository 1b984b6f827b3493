"""Cleaning: stored footage first, other footage only at a limit, and never without a word of it."""

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from ingest import janitor
from ingest.choice import GIB, choose
from ingest.janitor import RESERVE_BYTES, missing_room
from ingest.outbox import CURSOR_NAME
from ingest.shelf import Kept, Shelf
from shared.config import from_mapping
from shared.errors import Unavailable
from shared.framestore import INDEX_NAME, FrameReader, store_bytes
from shared.identity import fragment_path
from shared.messages import Fragment
from tests.ingest_house import BYTES, CAMERA, DAY, MINUTE, NOON, STREAM, House, touch


def kept(number: int, *, minutes: float = 0, stored: bool = False, size: int = BYTES) -> Kept:
    starts_at = NOON + timedelta(minutes=minutes)
    stored_at = starts_at if stored else None
    return Kept("camera-1", "0" * 20, number, starts_at, starts_at, size, stored_at)


def chosen_of(
    fragments: list[Kept], *, after_minutes: float = 0, over_bytes: float = 0
) -> dict[str, list[int]]:
    chosen = choose(
        fragments,
        NOON + timedelta(minutes=after_minutes),
        keep_stored=timedelta(minutes=10),
        retention=timedelta(hours=24),
        over_bytes=over_bytes,
    )
    return {reason: [each.number for each in group] for reason, group in chosen.items() if group}


def test_nothing_goes_while_there_is_room_and_time() -> None:
    assert chosen_of([kept(1), kept(2, stored=True)], after_minutes=9) == {}


def test_stored_fragments_go_after_their_time_and_others_stay() -> None:
    assert chosen_of([kept(1), kept(2, stored=True)], after_minutes=11) == {"stored": [2]}


def test_at_retention_everything_goes() -> None:
    found = chosen_of(
        [kept(1), kept(2, stored=True), kept(3, minutes=60)], after_minutes=24 * 60 + 1
    )
    assert found == {"retention": [1], "stored": [2]}


def test_over_quota_the_stored_go_first_then_the_oldest() -> None:
    fragments = [kept(1), kept(2, minutes=1), kept(3, minutes=2, stored=True), kept(4, minutes=3)]
    assert chosen_of(fragments, over_bytes=1) == {"quota": [3]}
    assert chosen_of(fragments, over_bytes=BYTES) == {"quota": [3]}
    assert chosen_of(fragments, over_bytes=BYTES + 1) == {"quota": [3, 1]}
    assert chosen_of(fragments, over_bytes=10 * BYTES) == {"quota": [3, 1, 2, 4]}


def test_what_goes_anyway_counts_towards_the_quota() -> None:
    fragments = [kept(1, stored=True), kept(2)]
    assert chosen_of(fragments, after_minutes=11, over_bytes=BYTES) == {"stored": [1]}


@given(
    st.lists(
        st.tuples(st.floats(min_value=-60, max_value=3000), st.booleans(), st.integers(1, 5000)),
        max_size=30,
    ),
    st.floats(min_value=-1e6, max_value=1e6),
)
def test_enough_goes_and_nothing_unstored_before_a_stored_one(
    drawn: list[tuple[float, bool, int]], over_bytes: float
) -> None:
    fragments = [
        kept(number, minutes=-minutes, stored=stored, size=size)
        for number, (minutes, stored, size) in enumerate(drawn)
    ]
    found = chosen_of(fragments, over_bytes=over_bytes)
    gone = {number for group in found.values() for number in group}
    assert len(gone) == sum(len(group) for group in found.values())
    left = [each for each in fragments if each.number not in gone]
    freed = sum(each.bytes for each in fragments if each.number in gone)
    assert freed >= over_bytes or not left
    of_quota = [fragments[number] for number in found.get("quota", [])]
    if any(not each.stored for each in of_quota):
        assert not any(each.stored for each in left)
    if of_quota:
        assert freed - of_quota[-1].bytes < over_bytes


# -- a whole store ---------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_stored_fragments_are_deleted_after_their_time_without_a_record(house: House) -> None:
    epoch = house.record(5)
    house.store(epoch, 0, 2)
    house.clean(9 * MINUTE)
    assert house.left(epoch) == [0, 1, 2, 3, 4]
    house.clean(2 * MINUTE)
    assert house.left(epoch) == [3, 4]
    assert house.bucket.losses == []


def test_what_is_deleted_unarchived_is_in_the_custody_record(house: House) -> None:
    epoch = house.record(3)
    house.clean(DAY + MINUTE)
    assert house.left(epoch) == []
    assert house.bucket.losses == [(0, 2, "retention")]


def test_what_is_deleted_with_the_bucket_away_is_told_at_once_and_for_a_day(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, quota_gib=4 * BYTES / GIB)
    house.record(6)
    house.bucket.is_away = True
    house.clean()
    told = house.janitor.expired.news(house.clock.now())[CAMERA]
    assert (told.reason, told.fragments) == ("quota", 2)
    assert (told.starts_at, told.ends_at) == (NOON, NOON + timedelta(seconds=2))
    assert told.deleted_at == house.clock.now()
    house.record(3, starts_at=NOON + timedelta(minutes=1))
    house.clean(MINUTE)
    told = house.janitor.expired.news(house.clock.now())[CAMERA]
    assert (told.fragments, told.starts_at) == (5, NOON)
    assert house.janitor.expired.news(house.clock.now() + DAY) == {CAMERA: told}
    assert house.janitor.expired.news(house.clock.now() + DAY + MINUTE) == {}


def test_what_was_stored_is_deleted_without_telling_anybody(house: House) -> None:
    epoch = house.record(5)
    house.store(epoch, 0, 4)
    house.clean(11 * MINUTE)
    assert house.left(epoch) == []
    assert house.janitor.expired.news(house.clock.now()) == {}


def test_the_bucket_is_asked_before_anything_is_called_lost(house: House) -> None:
    epoch = house.record(6)
    house.bucket.commit(epoch, 1, 3, NOON + timedelta(seconds=1))
    house.clean(DAY + MINUTE)
    assert house.bucket.losses == [(0, 0, "retention"), (4, 5, "retention")]


def test_over_quota_the_oldest_go(tmp_path: Path) -> None:
    house = House(tmp_path, quota_gib=4 * BYTES / GIB)
    epoch = house.record(6)
    house.store(epoch, 3, 3)
    house.clean()
    assert house.left(epoch) == [1, 2, 4, 5]
    assert house.bucket.losses == [(0, 0, "quota")]


def test_two_workers_on_one_store_free_together_what_is_over(tmp_path: Path) -> None:
    house = House(tmp_path, quota_gib=4 * BYTES / GIB)
    mine = house.record(4)
    house.record(4, camera="camera-2")
    other = from_mapping(
        {
            "frames": {"url": tmp_path.as_uri()},
            "cameras": [{"id": each, "source": "test:"} for each in (CAMERA, "camera-2")],
        }
    )
    house.janitor._configured = {camera.id for camera in other.cameras}
    house.clean()
    assert house.left(mine) == [2, 3]


def test_with_the_bucket_away_the_disk_is_kept_free_and_the_record_comes_later(
    house: House,
) -> None:
    epoch = house.record(4)
    house.bucket.commit(epoch, 0, 1, NOON)
    house.bucket.is_away = True
    house.clean(DAY + MINUTE)
    assert house.left(epoch) == []
    house.clean(MINUTE)
    house.bucket.is_away = False
    house.clean(MINUTE)
    assert house.bucket.losses == [(2, 3, "retention")]
    before = dict(house.bucket.objects)
    house.clean(MINUTE)
    assert house.bucket.objects == before


def test_a_loss_that_was_not_reported_is_reported_by_the_next_worker(house: House) -> None:
    house.record(2)
    house.bucket.is_away = True
    house.clean(DAY + MINUTE)
    successor = House(house.root)
    successor.clock.advance(2 * DAY.total_seconds())
    successor.clean()
    assert successor.bucket.losses == [(0, 1, "retention")]


def test_on_a_full_disk_the_note_is_written_once_there_is_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = house.record(2)
    real, refusals = os.fsync, []

    def fsync(file: int) -> None:
        if house.left(epoch):
            refusals.append(file)
            raise OSError(28, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    house.clean(DAY + MINUTE)
    assert refusals
    assert house.bucket.losses == [(0, 1, "retention")]


def test_on_a_disk_without_room_the_oldest_go_whatever_the_quota_says(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has filled it, or it is smaller than the quota."""
    epoch = house.record(6)
    house.store(epoch, 4, 5)
    monkeypatch.setattr(janitor, "missing_room", lambda *_: 3 * BYTES)
    house.clean()
    assert house.left(epoch) == [1, 2, 3], "first what is stored, then the oldest"
    assert house.bucket.losses == [(0, 0, "quota")]


def test_a_disk_that_is_nearly_full_costs_nothing_that_is_not_stored(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may keep it so for ever, and there is room for the next fragment."""
    epoch = house.record(6)
    house.store(epoch, 4, 5)
    monkeypatch.setattr(
        janitor, "missing_room", lambda _, most: 10 * BYTES if most == RESERVE_BYTES else -BYTES
    )
    house.clean()
    assert house.left(epoch) == [0, 1, 2, 3]
    assert house.bucket.losses == []


def test_room_is_wanting_below_a_fiftieth_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def disk(blocks: int, free: int) -> None:
        found = SimpleNamespace(f_blocks=blocks, f_bavail=free, f_frsize=4096)
        monkeypatch.setattr(os, "statvfs", lambda _: found)

    disk(50_000, 1000)
    assert missing_room(Path("/"), GIB) == 0
    disk(50_000, 400)
    assert missing_room(Path("/"), GIB) == 600 * 4096
    disk(10**9, 0)
    assert missing_room(Path("/"), GIB) == GIB


def test_an_epoch_that_cannot_be_read_keeps_no_other_from_being_cleaned(house: House) -> None:
    bad, good = house.record(2), house.record(2, starts_at=NOON + timedelta(hours=1))
    index = house.root / CAMERA / bad / INDEX_NAME
    index.unlink()
    index.mkdir()  # reading it is an error, as on a disk that fails
    house.clean(DAY + timedelta(hours=2))
    assert house.left(bad) == [0, 1]
    assert house.left(good) == []


def test_what_lies_behind_a_damaged_line_is_cleaned_like_the_rest(house: House) -> None:
    """Else it would take its room for ever, and at the quota good footage would go instead."""
    epoch = house.record(6)
    index = house.root / CAMERA / epoch / INDEX_NAME
    lines = index.read_bytes().splitlines(keepends=True)
    lines[2] = b"\0" * (len(lines[2]) - 1) + b"\n"
    index.write_bytes(b"".join(lines))
    house.clean()
    house.clean(DAY + MINUTE)
    assert house.left(epoch) == [2], "nobody knows what that one is; it goes with the folder"
    touch(index.parent, NOON)
    house.clean(2 * DAY)
    assert not index.parent.exists()


def test_an_unreadable_note_stops_no_other(house: House) -> None:
    house.record(1)
    (house.root / CAMERA / "deleted-0.json").write_text("{")
    house.clean(DAY + MINUTE)
    assert len(house.bucket.losses) == 1
    assert not list((house.root / CAMERA).glob("deleted-*.json"))


def test_a_manifest_that_cannot_be_read_keeps_no_other_loss_from_custody(house: House) -> None:
    house.janitor.cameras = (CAMERA, "camera-2")
    epoch = house.record(1)
    house.record(2, camera="camera-2")
    for last in (0, 1):  # two objects share one beginning: the manifest says which is the clip
        house.bucket.commit(epoch, 0, last, NOON)
    before = counted("cradle_ingest_unreported_losses_total", CAMERA)
    house.clean(DAY + MINUTE)
    assert house.bucket.losses == [(0, 1, "retention")]
    assert counted("cradle_ingest_unreported_losses_total", CAMERA) == before + 1
    assert list((house.root / CAMERA).glob("deleted-*.json"))


def test_an_epoch_that_is_empty_and_published_is_removed(house: House) -> None:
    epoch = house.record(2)
    later = house.record(1, starts_at=NOON + MINUTE, end=False)
    house.store(epoch, 0, 1)
    cursor = house.root / CAMERA / CURSOR_NAME
    cursor.write_text(json.dumps({"epoch": later, "offset": 0}))
    house.clean(11 * MINUTE)
    touch(house.root / CAMERA / epoch, NOON)
    house.clean()
    assert not (house.root / CAMERA / epoch).exists()
    assert house.left(later) == [0]


def test_an_empty_epoch_that_nobody_has_heard_of_is_kept_for_the_outbox(house: House) -> None:
    epoch = house.record(1)
    house.record(1, starts_at=NOON + MINUTE, end=False)
    house.store(epoch, 0, 0)
    house.clean(11 * MINUTE)
    touch(house.root / CAMERA / epoch, NOON)
    house.clean(60 * MINUTE)
    assert (house.root / CAMERA / epoch / INDEX_NAME).exists()


def test_an_epoch_that_has_not_ended_is_never_removed(house: House) -> None:
    epoch = house.record(0, end=False)
    house.clean(3 * DAY)
    assert (house.root / CAMERA / epoch).exists()


def test_files_that_belong_to_no_fragment_go_with_their_epoch(house: House) -> None:
    epoch = house.record(1)
    (house.root / CAMERA / epoch / "000001.ts").write_bytes(b"x")
    house.clean(DAY + MINUTE)
    touch(house.root / CAMERA / epoch, NOON)
    house.clean(DAY)
    assert not (house.root / CAMERA / epoch).exists()


def test_a_camera_taken_out_of_the_configuration_is_cleaned_too(house: House) -> None:
    epoch = house.record(2, camera="old", end=False)
    house.clean(DAY + MINUTE)
    assert house.left(epoch, "old") == []
    assert [loss[:2] for loss in house.bucket.losses] == [(0, 1)]


def test_a_strange_camera_that_is_still_written_is_left_alone(house: House) -> None:
    """Another worker may have a newer configuration."""
    epoch = house.record(2, camera="new", end=False)
    touch(house.root / "new" / epoch / INDEX_NAME, NOON + DAY)
    house.clean(DAY + MINUTE)
    assert house.left(epoch, "new") == [0, 1]


def test_a_fragment_that_cannot_be_deleted_is_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = house.record(2)

    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", fail)
        house.clean(DAY + MINUTE)
    assert house.bucket.losses == []
    house.clean()
    assert house.left(epoch) == []
    assert house.bucket.losses == [(0, 1, "retention")]


def test_a_fragment_that_cannot_be_deleted_leaves_the_other_cameras_cleaned(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.janitor.cameras = (CAMERA, "camera-2")
    epochs = {each: house.record(2, camera=each) for each in (CAMERA, "camera-2")}
    real = Path.unlink

    def fail(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".ts" and path.parts[-3] == CAMERA:
            raise OSError(5, "Input/output error")
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", fail)
        house.clean(DAY + MINUTE)
    assert house.left(epochs[CAMERA]) == [0, 1]
    assert house.left(epochs["camera-2"], "camera-2") == []
    assert house.bucket.losses == [(0, 1, "retention")], "only of the camera whose files are gone"


def test_a_fragment_that_was_noted_and_is_still_there_is_not_called_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the note and the deletion: the next look may find it stored."""
    epoch = house.record(2)

    class Killed(BaseException):
        pass

    def be_killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(Shelf, "delete", be_killed)
        with pytest.raises(Killed):
            house.clean(DAY + MINUTE)
    assert list((house.root / CAMERA).glob("deleted-*"))
    house.janitor._losses.report([CAMERA])
    assert house.bucket.losses == []
    assert house.left(epoch) == [0, 1]


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), ValueError("what")])
@pytest.mark.parametrize("broken", [CAMERA, "camera-2", "forgotten"])
def test_a_camera_whose_folder_cannot_be_read_leaves_the_others_cleaned(
    house: House, monkeypatch: pytest.MonkeyPatch, broken: str, fault: Exception
) -> None:
    house.janitor._configured = {CAMERA, "camera-2"}
    house.janitor.cameras = (CAMERA, "camera-2")
    epochs = {each: house.record(2, camera=each) for each in (CAMERA, "camera-2", "forgotten")}
    real = FrameReader.epochs

    def epochs_of(reader: FrameReader, camera: str) -> list[str]:
        if camera == broken:
            raise fault
        return real(reader, camera)

    before = counted("cradle_ingest_uncleaned_total", broken)
    with monkeypatch.context() as patch:
        patch.setattr(FrameReader, "epochs", epochs_of)
        house.clean(DAY + MINUTE)
    left = {camera: house.left(epoch, camera) for camera, epoch in epochs.items()}
    assert left == {camera: [0, 1] if camera == broken else [] for camera in epochs}
    assert counted("cradle_ingest_uncleaned_total", broken) == before + 1
    house.clean()
    assert house.left(epochs[broken], broken) == []


def counted(name: str, camera: str) -> float:
    return REGISTRY.get_sample_value(name, {"camera": camera}) or 0.0


def test_the_shelf_reads_only_what_was_added(house: House) -> None:
    epoch = house.record(2, end=False)
    shelf = Shelf(house.root, CAMERA)
    assert [each.number for each in shelf.look()] == [0, 1]
    path = house.root / CAMERA / epoch / INDEX_NAME
    size = path.stat().st_size
    path.write_bytes(b" " * size)  # read again, this would be no index
    with path.open("ab") as index:
        index.write(third(epoch).to_body() + b"\n{torn")
    assert [each.number for each in shelf.look()] == [0, 1, 2]
    shelf.delete(shelf.look()[1])
    assert [each.number for each in shelf.look()] == [0, 2]


def third(epoch: str) -> Fragment:
    return Fragment(
        camera=CAMERA,
        epoch=epoch,
        fragment=2,
        path=fragment_path(CAMERA, epoch, 2),
        bytes=1,
        frames=1,
        captured_at=NOON,
        duration_seconds=1,
        key_frame_bytes=1,
        stream=STREAM,
    )


def test_fragments_that_are_gone_are_not_on_the_shelf(house: House) -> None:
    epoch = house.record(3)
    (house.root / CAMERA / epoch / "000001.ts").unlink()
    shelf = Shelf(house.root, CAMERA)
    assert [each.number for each in shelf.look()] == [0, 2]
    shutil.rmtree(house.root / CAMERA / epoch)
    assert shelf.look() == []


def test_the_size_of_a_store_is_that_of_its_fragments(house: House) -> None:
    house.record(3)
    house.record(2, camera="camera-2")
    assert store_bytes(house.root) == 5 * BYTES


# -- what alerts look at ---------------------------------------------------------------------------


def archived_up_to(camera: str = CAMERA) -> float | None:
    name = "cradle_ingest_archived_up_to_timestamp_seconds"
    return REGISTRY.get_sample_value(name, {"camera": camera})


def test_archived_up_to_stands_at_the_oldest_fragment_that_no_clip_holds(house: House) -> None:
    epoch = house.record(5)
    house.clean(9 * MINUTE)
    assert archived_up_to() == NOON.timestamp(), "no archiver lives: the lag grows"
    house.store(epoch, 0, 2)
    house.clean()
    assert archived_up_to() == (NOON + timedelta(seconds=3)).timestamp()
    house.store(epoch, 3, 4)
    house.clean()
    assert archived_up_to() == house.clock.now().timestamp()


def test_a_camera_that_is_off_has_nothing_that_waits(house: House) -> None:
    house.store(house.record(2), 0, 1)
    house.clean(DAY)
    assert archived_up_to() == house.clock.now().timestamp()


def test_what_a_hint_says_and_the_bucket_does_not_is_not_archived(house: House) -> None:
    house.store(house.record(2), 0, 1)
    house.bucket.is_away = True
    house.clean(MINUTE)
    assert archived_up_to() == NOON.timestamp()


def test_where_a_camera_cannot_be_read_nothing_is_called_archived(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.record(2)
    house.clean()

    def away(_shelf: Shelf) -> list[Kept]:
        raise Unavailable("the disk is away")

    monkeypatch.setattr(Shelf, "look", away)
    house.clean(MINUTE)
    assert archived_up_to() == NOON.timestamp()


def test_of_a_camera_that_another_worker_has_nothing_is_said(house: House) -> None:
    house.record(1)
    house.clean()
    assert archived_up_to() is not None
    house.janitor.cameras = ()
    house.clean()
    assert archived_up_to() is None


def test_the_room_of_the_frame_store_is_told(house: House) -> None:
    house.record(3)
    house.clean()
    figures = {
        name: REGISTRY.get_sample_value(f"cradle_ingest_frame_store_{name}_bytes") or 0.0
        for name in ("quota", "disk_free", "disk_size")
    }
    assert figures["quota"] == GIB
    assert 0 < figures["disk_free"] < figures["disk_size"]
    assert (REGISTRY.get_sample_value("cradle_ingest_frame_store_bytes") or 0) >= 3 * BYTES
