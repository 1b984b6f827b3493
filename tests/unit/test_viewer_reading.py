"""What arrives while a folder is read is neither lost nor called damaged."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from shared.log import get_logger
from shared.objectstore import ObjectStore, StoredObject
from tests.coverage_story import Story
from viewer.index import FILE, Index, clip_row
from viewer.reading import Reading

START = datetime(2026, 3, 1, tzinfo=UTC)


class Bucket:
    """Objects in memory; what is done while they are listed and read comes from the test."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.while_listed: Callable[[], None] = lambda: None
        self.while_read: Callable[[], None] = lambda: None

    def store(self, story: Story) -> None:
        for manifest in story.manifests:
            self.objects[manifest.identity.manifest_key] = manifest.to_body()
            self.objects[manifest.object_key] = bytes(manifest.bytes)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        found = sorted(key for key in self.objects if key.startswith(prefix))
        self.while_listed()
        yield from (StoredObject(key, len(self.objects[key]), None) for key in found)

    def read(self, key: str, _limit: int = 0) -> bytes | None:
        self.while_read()
        return self.objects.get(key)


def story(minutes: int) -> Story:
    made = Story()
    made.store(made.fragments(START.replace(minute=minutes), [1.0] * 3))
    return made


def test_a_clip_that_arrives_meanwhile_stays_a_clip(tmp_path: Path) -> None:
    bucket, index = Bucket(), Index(tmp_path / FILE)
    bucket.store(story(0))
    reading = Reading(cast(ObjectStore, bucket), index, get_logger())
    later = [story(10), story(20)]

    def arrive() -> None:
        if later:
            new = later.pop()
            bucket.store(new)
            index.put(clip_row(each) for each in new.manifests)

    bucket.while_listed = bucket.while_read = arrive
    reading.take_day("camera-1", START.date())
    assert len(index.keys("clips", "clips/camera-1/")) == 3
    assert index.keys("unreadable", "clips/camera-1/") == set()


def test_a_clip_whose_object_is_gone_is_no_footage_until_it_is_back(tmp_path: Path) -> None:
    bucket, index = Bucket(), Index(tmp_path / FILE)
    made = story(0)
    bucket.store(made)
    reading = Reading(cast(ObjectStore, bucket), index, get_logger())
    media = bucket.objects.pop(made.manifests[0].object_key)
    reading.take_day("camera-1", START.date())
    assert index.keys("clips", "clips/") == set()
    assert len(index.keys("unreadable", "clips/")) == 1
    bucket.objects[made.manifests[0].object_key] = media
    reading.take_day("camera-1", START.date())
    assert len(index.keys("clips", "clips/")) == 1
    assert index.keys("unreadable", "clips/") == set()


def test_what_has_expired_is_forgotten(tmp_path: Path) -> None:
    bucket, index = Bucket(), Index(tmp_path / FILE)
    bucket.store(story(0))
    reading = Reading(cast(ObjectStore, bucket), index, get_logger())
    reading.take_day("camera-1", START.date())
    bucket.objects.clear()
    reading.take_day("camera-1", START.date())
    assert index.keys("clips", "clips/") == set()
