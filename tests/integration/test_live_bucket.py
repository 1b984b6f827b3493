"""A live playlist on a real object store is replaced by who knows its newest version alone."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings
from shared.createonly import ConditionalPool
from shared.errors import Misconfigured, Overtaken
from shared.livestore import LiveStore

KEY = "live/camera-1/index.m3u8"
KIND = "application/vnd.apple.mpegurl"


@pytest.fixture
def store(archive_settings: ArchiveSettings) -> LiveStore:
    return LiveStore(archive_settings, BucketPlace(archive_settings.bucket, "live/"))


def test_only_who_knows_the_newest_version_replaces_it(store: LiveStore) -> None:
    first = store.replace_version(KEY, b"1", None, content_type=KIND)
    second = store.replace_version(KEY, b"2", first, content_type=KIND)
    for stale in (None, first, "0" * 32):
        with pytest.raises(Overtaken):
            store.replace_version(KEY, b"3", stale, content_type=KIND)
    assert store.read_version(KEY, 100) == (b"2", second)
    store.replace(KEY, b"4", content_type=KIND)  # a condition holds for its own block alone
    store.remove(KEY)
    assert store.read_version(KEY, 100) is None
    with pytest.raises(Overtaken):
        store.replace_version(KEY, b"5", second, content_type=KIND)


def test_of_two_who_write_at_the_same_time_one_is_overtaken(store: LiveStore) -> None:
    version = store.replace_version(KEY, b"first", None, content_type=KIND)
    both = Barrier(2)

    def write(data: bytes) -> str | None:
        both.wait(10)
        try:
            return store.replace_version(KEY, data, version, content_type=KIND)
        except Overtaken:
            return None

    with ThreadPoolExecutor(2) as pool:
        for count in range(50):
            written = list(pool.map(write, (b"a%d" % count, b"b%d" % count)))
            (version,) = (each for each in written if each is not None)


def test_a_store_that_keeps_the_rule_passes_and_one_that_does_not_is_refused(
    store: LiveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.probe()
    assert list(store.list("live/")) == []

    def forget(pool: Any, *request: Any, **options: Any) -> Any:
        options["headers"].pop("If-Match", None)
        return super(ConditionalPool, pool).urlopen(*request, **options)

    monkeypatch.setattr(ConditionalPool, "urlopen", forget)
    with pytest.raises(Misconfigured, match="back in time"):
        store.probe()
    assert list(store.list("live/")) == []
