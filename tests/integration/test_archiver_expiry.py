"""Expiry against a real object store: whole days, never early, holds and custody untouched."""

from datetime import UTC, datetime, timedelta

import pytest

from archiver.clip import Clip, Made
from archiver.expiry import Expiry, expire_forgotten, forgotten_cameras
from archiver.windows import window_of
from shared.config import ArchiveSettings
from shared.custody import EmptyWindow, write_custody
from shared.identity import day_prefix, stamp
from shared.objectstore import ObjectStore
from tests.archiver_fragments import CAMERA, reference

NOW = datetime(2026, 6, 30, 15, tzinfo=UTC)
EXPIRED = datetime(2026, 4, 30, 12, tzinfo=UTC)
"""61 days and some hours old: the whole of its day is older than 60 days."""
KEPT = datetime(2026, 5, 1, 0, 0, 1, tzinfo=UTC)


@pytest.fixture
def store(archive_settings: ArchiveSettings) -> ObjectStore:
    return ObjectStore(archive_settings)


def put(store: ObjectStore, key: str) -> str:
    store.create_bytes(key, key.encode(), content_type="text/plain")
    return key


def put_clip(
    store: ObjectStore, at: datetime, *, last: int = 1, camera: str = CAMERA, committed: bool = True
) -> Clip:
    run = tuple(
        reference(n, captured_at=at + timedelta(seconds=n), camera=camera) for n in range(last + 1)
    )
    clip = Clip(run, window_of(run[0], 600), 600)
    put(store, clip.identity.object_key("mp4"))
    put(store, clip.identity.object_key("jpg"))
    if committed:
        made = Made("mp4", None, 1, "0" * 64, 1)
        manifest = clip.manifest(made, None, NOW)
        key = clip.identity.manifest_key
        store.create_bytes(key, manifest.to_body(), content_type="application/json")
    return clip


def put_analysis(store: ObjectStore, at: datetime) -> str:
    folder = day_prefix("analysis", CAMERA, at)
    return put(store, f"{folder}{CAMERA}_{stamp(at)}_0123456789abcdef.json")


def keys(store: ObjectStore) -> set[str]:
    return {each.key for each in store.list("")}


def all_of(clip: Clip) -> set[str]:
    identity = clip.identity
    return {identity.object_key("mp4"), identity.object_key("jpg"), identity.manifest_key}


def expire(store: ObjectStore) -> None:
    Expiry(store, CAMERA, retention_days=60).run(NOW)


def test_whole_days_go_and_what_is_younger_stays(store: ObjectStore) -> None:
    old, young = put_clip(store, EXPIRED), put_clip(store, KEPT)
    old_note, young_note = put_analysis(store, EXPIRED), put_analysis(store, KEPT)
    leftover = put_clip(store, EXPIRED + timedelta(hours=1), committed=False)
    other = put_clip(store, EXPIRED, camera="camera-2")
    expire(store)
    assert keys(store) == all_of(young) | {young_note} | all_of(other)
    assert old_note not in keys(store)
    assert not keys(store) & (all_of(old) | all_of(leftover))


def test_what_cameras_left_that_are_no_more_expires_too(store: ObjectStore) -> None:
    """Nobody holds their seats; footage of children must not stay for that."""
    old = put_clip(store, EXPIRED, camera="taken-out")
    young = put_clip(store, KEPT, camera="taken-out")
    mine = put_clip(store, EXPIRED)
    strange = put(store, "clips/Not A Camera/2020/01/01/x")
    assert forgotten_cameras(store, [CAMERA]) == ["taken-out"]
    assert expire_forgotten(store, [CAMERA], 60, NOW) == 1
    assert keys(store) == all_of(young) | all_of(mine) | {strange}
    assert not keys(store) & all_of(old)


def test_foreign_objects_among_the_analyses_stay_and_stop_nothing(store: ObjectStore) -> None:
    folder = day_prefix("analysis", CAMERA, EXPIRED)
    strange = {
        put(store, f"{folder}{CAMERA}_99999999T999999999Z_0.json"),
        put(store, f"{folder}notes.txt"),
    }
    note = put_analysis(store, EXPIRED + timedelta(hours=1))
    expire(store)
    assert keys(store) == strange
    assert note not in keys(store)


def test_custody_stays_for_good(store: ObjectStore) -> None:
    record = EmptyWindow(
        camera=CAMERA, starts_at=EXPIRED, ends_at=EXPIRED + timedelta(minutes=10), reason="offline"
    )
    assert write_custody(store, record)
    assert not write_custody(store, record), "the first word stands"
    expire(store)
    assert keys(store) == {record.key}


def test_a_clip_on_hold_stays_and_the_analyses_of_its_time(store: ObjectStore) -> None:
    held, old = put_clip(store, EXPIRED), put_clip(store, EXPIRED + timedelta(hours=1))
    hold = put(store, f"holds/{held.identity.manifest_key}")
    note = put_analysis(store, EXPIRED + timedelta(seconds=1))
    put_analysis(store, EXPIRED + timedelta(seconds=30))
    for _ in range(2):
        expire(store)
        assert keys(store) == all_of(held) | {hold, note}
    store.remove(hold)
    expire(store)
    assert keys(store) == set()
    assert not all_of(old) & keys(store)


def test_a_hold_on_a_clip_that_cannot_be_read_keeps_all_analyses_and_no_other_clip(
    store: ObjectStore,
) -> None:
    held = put_clip(store, EXPIRED, committed=False)
    put(store, held.identity.manifest_key)  # which is not a manifest
    hold = put(store, f"holds/{held.identity.manifest_key}")
    note = put_analysis(store, EXPIRED + timedelta(minutes=30))
    old = put_clip(store, EXPIRED + timedelta(hours=1))
    expire(store)
    assert keys(store) == all_of(held) | {hold, note}
    assert not all_of(old) & keys(store)


def test_a_leftover_goes_after_a_day_and_only_when_clips_cover_it(store: ObjectStore) -> None:
    """The objects are as old as this test, so the day is let pass by the time that is given."""
    today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    clip = put_clip(store, today, last=3)
    shorter = put_clip(store, today, last=2, committed=False)
    longer = put_clip(store, today, last=4, committed=False)
    expiry = Expiry(store, CAMERA, retention_days=60)
    tomorrow = today.replace(hour=0) + timedelta(days=1)
    if tomorrow - datetime.now(UTC) < timedelta(hours=23):
        assert expiry.run(tomorrow).leftovers == 0
    assert expiry.run(tomorrow + timedelta(days=1, hours=23)).leftovers == 2
    left = all_of(longer) - {longer.identity.manifest_key}
    assert keys(store) == all_of(clip) | left
    assert shorter.identity.object_key("mp4") not in keys(store)
